/**
 * A node's data directory: whose it is, that it belongs to one process at a time, and that it has
 * held a log. All three are the file `NODE` in it, the marker, which is locked while a node runs:
 *
 *     sixpaths node n1, shard 1 of 6, data format 1, crc32 72b072a5
 *
 * The number and order of the nodes in the config decide which node owns a key. Under a config in
 * which a node is another shard, clients would look for its keys elsewhere, and find nothing: so it
 * does not start.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import { dirname, join } from "@std/path";
import type { Clock } from "../../lib/clock.ts";
import { DamageError } from "./damage.ts";
import { createFile, type Disk, type DiskFile, readBytes, writeBytes } from "../disk/disk.ts";
import { SECTOR_BYTES } from "./log_format.ts";

export const MARKER_NAME = "NODE";
/** How long a process waits for the lock: one that only looks, see `isLocked`, soon lets go. */
const LOCK_TRIES_MAX = 20;
const LOCK_RETRY_MS = 10;

/** Which of the shards of a cluster, in the order of its config, such as `1 of 6`. */
export type ShardNumber = `${number} of ${number}`;

/** What a marker says. */
export interface Marker {
  /** Null if it says only that a log was durable; the log then knows whose it is. */
  readonly nodeId: string | null;
  /** Null until a node that knows its number has marked the directory. */
  readonly shard: ShardNumber | null;
}

/** A directory holds data, but not of the node or the shard that wants to use it. */
export class WrongDirectoryError extends Error {
  override name = "WrongDirectoryError";
}

export interface OpenDataDirectoryOptions {
  /** Whether a log must be there: without it nothing is created. Default: no. */
  readonly mustExist?: boolean;
  /** Default: whichever the directory holds. */
  readonly shard?: ShardNumber | null;
  readonly clock: Clock;
  /** Told what a person who runs the node should know, in one line each. */
  readonly report: (line: string) => void;
}

/** Exclusive hold on a data directory, for as long as it is open. */
export interface DataDirectory extends Disposable {
  /** Whether a log was ever durable in it: one that is missing now has been lost. */
  readonly existing: boolean;
  /** Makes durable that there is a log, and of whom: from now on no node starts without one. */
  markExisting(): Promise<void>;
}

/**
 * Creates the directory if it is missing, and takes it for this process.
 *
 * @throws {DamageError} The marker is not what was written, or missing although it must exist.
 * @throws {WrongDirectoryError} It belongs to another node, or holds another shard.
 * @throws {Error} Another process has it.
 */
export async function openDataDirectory(
  disk: Disk,
  directory: string,
  nodeId: string,
  { mustExist = false, shard, clock, report }: OpenDataDirectoryOptions,
): Promise<DataDirectory> {
  if (mustExist && await checkMarker(disk, directory) === null) throw missingData(directory);
  await makeDataDirectory(disk, directory, report);
  const path = join(directory, MARKER_NAME);
  // Never emptied: until it is locked here, another process may be marking it.
  const file = await disk.open(path, "write or create");
  try {
    if (!await lock(file, clock)) {
      throw new Error(`Cannot use "${directory}": another process has locked it`);
    }
    const marker = await readMarker(file, path);
    requireOwner(directory, marker, nodeId, shard);
    const held = { nodeId, shard: marker?.shard ?? shard ?? null };
    return {
      existing: marker !== null,
      // Again at every start: a marker that was only read may not be durable, after a failed sync.
      async markExisting() {
        writeBytes(file, markerOf(held), 0);
        await file.syncData();
        await disk.syncDirectory(directory);
      },
      [Symbol.dispose]: () => file.close(),
    };
  } catch (error) {
    file.close();
    throw error;
  }
}

/**
 * Returns if a directory with this marker, or with none, may be used by this node. Without a
 * `shard`, by whichever it is.
 *
 * @throws {WrongDirectoryError}
 */
export function requireOwner(
  directory: string,
  marker: Marker | null,
  nodeId: string,
  shard?: ShardNumber | null,
): void {
  const owner = marker?.nodeId ?? nodeId;
  if (owner !== nodeId) {
    throw new WrongDirectoryError(
      `Cannot use "${directory}": it belongs to node "${owner}", expected "${nodeId}"`,
    );
  }
  if (marker?.shard && shard && marker.shard !== shard) {
    throw new WrongDirectoryError(
      `Cannot use "${directory}": it holds shard ${marker.shard}, and by the config node ` +
        `"${nodeId}" is shard ${shard}; put the number and order of the nodes back as they were`,
    );
  }
}

function missingData(directory: string): DamageError {
  const reason = "it is missing, though this node had data before: is its disk there?";
  return new DamageError(join(directory, MARKER_NAME), 0, reason);
}

async function lock(file: DiskFile, clock: Clock): Promise<boolean> {
  for (let tries = 1; !file.tryLock(); tries++) {
    if (tries === LOCK_TRIES_MAX) return false;
    await new Promise<void>((resolve) => clock.after(LOCK_RETRY_MS, resolve));
  }
  return true;
}

/** Whether a node holds `directory` at this moment. */
export async function isLocked(disk: Disk, directory: string): Promise<boolean> {
  try {
    const file = await disk.open(join(directory, MARKER_NAME), "read");
    try {
      return !file.tryLock();
    } finally {
      file.close();
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/**
 * Marks a new directory, at once or not at all: from then on no node starts without a log in it.
 * Not for a directory that a node may use, whose lock it would take away.
 */
export function createMarker(disk: Disk, directory: string, marker: Marker): Promise<void> {
  return createFile(disk, directory, MARKER_NAME, markerOf(marker));
}

/** The bytes of a marker. Zeros fill up its sector, which a disk writes whole or not at all. */
function markerOf(marker: Marker): Uint8Array {
  const bytes = new Uint8Array(SECTOR_BYTES);
  bytes.set(new TextEncoder().encode(lineOf(marker)));
  return bytes;
}

function lineOf({ nodeId, shard }: Marker): string {
  const text = `sixpaths node ${nodeId}, ${shard ? `shard ${shard}, ` : ""}data format 1`;
  return `${text}, crc32 ${crc32(text).toString(16).padStart(8, "0")}\n`;
}

/**
 * Reads and checks the marker. An empty one says that no log was durable yet: null. One of zeros
 * has never reached the disk, only its size has; it says no more than that there is a log.
 */
async function readMarker(file: DiskFile, path: string): Promise<Marker | null> {
  const length = await file.size();
  if (length === 0) return null;
  const bytes = readBytes(file, 0, Math.min(length, SECTOR_BYTES));
  if (bytes.every((byte) => byte === 0)) return { nodeId: null, shard: null };
  const line = new TextDecoder().decode(bytes).replace(/\0+$/, "");
  const found = /^sixpaths node ([\w-]+), (?:shard (\d+ of \d+), )?/.exec(line);
  const shard = (found?.[2] ?? null) as ShardNumber | null;
  const marker = { nodeId: found?.[1] ?? "…", shard };
  const expected = lineOf(marker);
  if (length === SECTOR_BYTES && line === expected) return marker;
  const reason = line === expected
    ? `it has ${length} bytes, expected ${SECTOR_BYTES}`
    : `content is ${JSON.stringify(line)}, expected ${JSON.stringify(expected)}`;
  throw new DamageError(path, 0, reason);
}

/**
 * What the marker of a directory says; null if no log was ever durable there.
 *
 * @throws {DamageError} The marker is not what was written.
 */
export async function checkMarker(disk: Disk, directory: string): Promise<Marker | null> {
  const path = join(directory, MARKER_NAME);
  try {
    const file = await disk.open(path, "read");
    try {
      return await readMarker(file, path);
    } finally {
      file.close();
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/**
 * Creates the directory, with its parents, if it is missing; and sees to it that its name is
 * durable before there is a marker in it. Without a marker, whatever was made may be there by name
 * only: so the next start sees to all of it again.
 *
 * A directory is durable when its parent is synced. A node that may not open the parent cannot see
 * to that, and says so; whoever gave it the directory has to (`cluster` does).
 */
export async function makeDataDirectory(
  disk: Disk,
  directory: string,
  report: (line: string) => void,
): Promise<void> {
  const isNew = await disk.makeDirectory(directory);
  if ((await disk.list(directory)).includes(MARKER_NAME)) return;
  const parent = dirname(directory);
  const isDurable = await syncIfPossible(disk, parent);
  for (const ancestor of ancestorsOf(parent)) await syncIfPossible(disk, ancestor);
  if (!isNew || isDurable) return;
  report(
    `cannot open and sync "${parent}", which makes the new directory "${directory}" durable: ` +
      `until you run "sync", a power failure may take it away with all that is in it`,
  );
}

/** The directories above `path`, from the nearest one up. */
function ancestorsOf(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [] : [parent, ...ancestorsOf(parent)];
}

/** False if Deno or the system does not permit it, or the file system has no such sync (EINVAL). */
async function syncIfPossible(disk: Disk, directory: string): Promise<boolean> {
  try {
    await disk.syncDirectory(directory);
    return true;
  } catch (error) {
    const { NotCapable, PermissionDenied } = Deno.errors;
    if (error instanceof NotCapable || error instanceof PermissionDenied) return false;
    if (error instanceof Error && "code" in error && error.code === "EINVAL") return false;
    throw error;
  }
}
