/**
 * @module
 */

import { Failure } from "./subcommand.ts";

/**
 * For the subcommands that read a node's data directory.
 *
 * @throws {Failure} `path` is not a directory.
 */
export async function requireDirectory(path: string): Promise<void> {
  try {
    if ((await Deno.stat(path)).isDirectory) return;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Failure(`Cannot read "${path}": it does not exist, expected the data of a node`);
  }
  throw new Failure(`Cannot read "${path}": it is a file, expected the directory of a node`);
}
