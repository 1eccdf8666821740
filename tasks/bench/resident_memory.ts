/**
 * The resident memory of other processes, as `ps` tells it. (Deno reads `/proc` for nobody who has
 * not been granted everything.)
 *
 * @module
 */

import { firstLineOf } from "./command.ts";

/** Bytes of memory that a process holds; undefined where there is no `ps`. */
export async function residentBytes(pid: number): Promise<number | undefined> {
  const line = await firstLineOf("ps", "-o", "rss=", "-p", `${pid}`);
  return line === undefined ? undefined : Number(line) * 1024;
}
