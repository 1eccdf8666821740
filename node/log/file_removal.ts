/**
 * Removes files of a log that nothing needs any more.
 *
 * @module
 */
import { join } from "@std/path";
import { errorMessage } from "../../lib/error_message.ts";
import { isTemporary } from "./directory_scan.ts";
import type { Disk } from "../disk/disk.ts";

/**
 * Removes files that a snapshot stands for, oldest first: what a crash leaves is the newest part of
 * the log, without a gap. A file may go in pieces, so before that it loses its name. Then removes
 * `leftovers`, which have none. Each is tried, whatever becomes of the others; returns what went
 * wrong, by name.
 */
export async function removeFiles(
  disk: Disk,
  directory: string,
  covered: readonly string[],
  leftovers: readonly string[],
): Promise<Map<string, Error>> {
  const failures = new Map<string, Error>();
  const attempt = async (name: string, step: (path: string) => Promise<void>) => {
    if (failures.has(name)) return;
    try {
      await step(join(directory, name));
    } catch (cause) {
      const message = `Cannot remove "${name}": ${errorMessage(cause)}`;
      failures.set(name, new Error(message, { cause }));
    }
  };
  for (const name of covered) await attempt(name, (path) => disk.rename(path, `${path}.tmp`));
  await disk.syncDirectory(directory);
  for (const name of covered) await attempt(name, (path) => disk.remove(`${path}.tmp`));
  const others = leftovers.filter((name) => !isTemporary(name, (rest) => covered.includes(rest)));
  for (const name of others) await attempt(name, (path) => disk.remove(path));
  return failures;
}
