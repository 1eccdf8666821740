/**
 * What the subcommands share that look at a node's data directory.
 *
 * @module
 */

import { join } from "@std/path";
import { checkDirectory, DirectoryChangedError } from "../node/repair/check.ts";
import { DamageError } from "../node/log/damage.ts";
import { isLocked, MARKER_NAME, type ShardNumber } from "../node/log/data_directory.ts";
import { isSegmentName, isSnapshotName } from "../node/log/log_format.ts";
import { realDisk } from "../node/disk/real_disk.ts";
import { Failure } from "./subcommand.ts";

/** @throws {Failure} `path` is not a directory, or no node has written to it. */
export async function requireData(path: string): Promise<void> {
  await requireDirectory(path);
  const names = await realDisk.list(path);
  if (names.some((name) => isSegmentName(name) || isSnapshotName(name))) return;
  // An empty marker is one that a crash left at the very first start.
  if (names.includes(MARKER_NAME) && (await Deno.stat(join(path, MARKER_NAME))).size > 0) return;
  throw new Failure(`Cannot read "${path}": no node has written to it`);
}

async function requireDirectory(path: string): Promise<void> {
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
 * @throws {Failure} That node has changed it meanwhile, so what was to be read next is not there.
 */
export async function readBesideNode<T>(directory: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (!await isLocked(realDisk, directory) || !await isPassing(error, directory)) throw error;
    const reason = "the node that uses it has changed its files meanwhile";
    throw new Failure(`Cannot read "${directory}": ${reason}; try again`, { cause: error });
  }
}

/** Whether an error says of a file only that it went or changed while it was read. */
async function isPassing(error: unknown, directory: string): Promise<boolean> {
  const { NotFound } = Deno.errors;
  if (error instanceof NotFound || error instanceof DirectoryChangedError) return true;
  if (!(error instanceof DamageError)) return false;
  try {
    return (await checkDirectory(realDisk, directory)).damage?.message !== error.message;
  } catch (another) {
    return await isPassing(another, directory);
  }
}

/** A node and, if it is known, its shard: `n1, shard 1 of 6`. */
export function describeNode(nodeId: string, shard: ShardNumber | null): string {
  return shard === null ? nodeId : `${nodeId}, shard ${shard}`;
}

/** Bytes of all files in the data directory of a node. */
export async function sizeOf(directory: string): Promise<number> {
  let bytes = 0;
  for await (const { name } of Deno.readDir(directory)) {
    bytes += (await Deno.lstat(join(directory, name))).size;
  }
  return bytes;
}
