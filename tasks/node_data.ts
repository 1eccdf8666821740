/**
 * For the subcommands that look at a node's data directory.
 *
 * @module
 */

import { join } from "@std/path";
import { isLocked } from "../node/data_directory.ts";
import { realDisk } from "../node/real_disk.ts";
import { Failure } from "./subcommand.ts";

/** @throws {Failure} `path` is not a directory. */
export async function requireDirectory(path: string): Promise<void> {
  try {
    if ((await Deno.stat(path)).isDirectory) return;
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw new Failure(`Cannot read "${path}": it does not exist, expected the data of a node`);
  }
  throw new Failure(`Cannot read "${path}": it is a file, expected the directory of a node`);
}

/** Whether an error says that a path leads nowhere: a part of it is missing, or is a file. */
function isMissing(error: unknown): boolean {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
}

/**
 * Reads a directory that a node may be using.
 *
 * @throws {Failure} That node took a snapshot meanwhile, and removed what was to be read next.
 */
export async function readBesideNode<T>(directory: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    const isGone = error instanceof Deno.errors.NotFound;
    if (!isGone || !await isLocked(realDisk, directory)) throw error;
    const reason = "the node that uses it took a snapshot meanwhile, and removed older files";
    throw new Failure(`Cannot read "${directory}": ${reason}; try again`, { cause: error });
  }
}

/** Bytes of all files in the data directory of a node. */
export async function sizeOf(directory: string): Promise<number> {
  let bytes = 0;
  for await (const { name } of Deno.readDir(directory)) {
    bytes += (await Deno.lstat(join(directory, name))).size;
  }
  return bytes;
}
