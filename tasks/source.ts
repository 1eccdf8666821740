/**
 * Where the source of sixpaths is, for processes that are started from it.
 *
 * @module
 */

import { fromFileUrl } from "@std/path";

function pathOf(path: string): string {
  return fromFileUrl(new URL(`../${path}`, import.meta.url));
}

export const MAIN = pathOf("main.ts");
/** What a node has to read to load its snapshot thread. */
export const THREAD_SOURCES: readonly string[] = [pathOf("node"), pathOf("lib")];
