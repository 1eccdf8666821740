/**
 * A node's data directory: whose it is, that it belongs to one process at a time, and that it has
 * held a log. All three are the file `NODE` in it.
 *
 *     data/n1/NODE                   locked while a node runs; whose log this is, with a checksum
 *     data/n1/0000000000000001.log   the log's segments, and snapshots (`….snapshot`)
 *
 * @module
 */
import { crc32 } from "node:zlib";
import { dirname, join } from "@std/path";
import type { Clock } from "../lib/clock.ts";
import { DamageError } from "./damage.ts";
import { type Disk, type DiskFile, readBytes, writeBytes } from "./disk.ts";

export const MARKER_NAME = "NODE";
const MARKER_BYTES_MAX = 256;
/** How long a process waits for the lock: who only looks, see `isLocked`, has it for a moment. */
const LOCK_TRIES_MAX = 20;
const LOCK_RETRY_MS = 10;
/** The owner that a marker of zeros names: a log was durable, which knows whose it is. */
const UNKNOWN = "";

export interface OpenDataDirectoryOptions {
  readonly clock: Clock;
  /** Told what a person who runs the node should know, in one line each. */
  readonly report: (line: string) => void;
}

/** Exclusive hold on a data directory, for as long as it is open. */
export interface DataDirectory extends Disposable {
  /** Whether a log was ever durable in it: one that is missing now has been lost. */
  readonly existing: boolean;
  /** Makes durable that there is a log, and whose: from now on none starts without one. */
  markExisting(): Promise<void>;
}

/**
 * Creates the directory if it is missing, and takes it for this process.
 *
 * @throws {Error} Another process has it, or it belongs to another node.
 */
export async function openDataDirectory(
  disk: Disk,
  directory: string,
  nodeId: string,
  { clock, report }: OpenDataDirectoryOptions,
): Promise<DataDirectory> {
  await makeDataDirectory(disk, directory, report);
  const path = join(directory, MARKER_NAME);
  // Never emptied: until it is locked here, another process may be marking it.
  const file = await disk.open(path, "write or create");
  try {
    if (!await lock(file, clock)) {
      throw new Error(`Cannot use "${directory}": another process has locked it`);
    }
    const owner = await readMarker(file, path);
    if (owner !== null && owner !== UNKNOWN && owner !== nodeId) {
      throw new Error(
        `Cannot use "${directory}": it belongs to node "${owner}", expected "${nodeId}"`,
      );
    }
    return {
      existing: owner !== null,
      // Again at every start: a marker that was only read may not be durable, after a failed sync.
      async markExisting() {
        writeBytes(file, new TextEncoder().encode(markerOf(nodeId)), 0);
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

function markerOf(nodeId: string): string {
  const text = plainMarkerOf(nodeId);
  return `${text}, crc32 ${crc32(text).toString(16).padStart(8, "0")}\n`;
}

function plainMarkerOf(nodeId: string): string {
  return `sixpaths node ${nodeId}, data format 1`;
}

/**
 * What a marker may be. It once had no checksum; the next start writes it again with one. A power
 * failure may then leave the size of the old one and the bytes of the new one, or the other way
 * round, with zeros behind.
 */
function markersOf(nodeId: string): string[] {
  const plain = plainMarkerOf(nodeId);
  return [markerOf(nodeId), `${plain}\n`, `${plain},`];
}

/**
 * Reads and checks the marker. An empty one says that no log was durable yet: null. One of zeros
 * has never reached the disk, only its size has; there is a log then, which knows whose it is.
 */
async function readMarker(file: DiskFile, path: string): Promise<string | null> {
  const length = await file.size();
  if (length === 0) return null;
  const bytes = readBytes(file, 0, Math.min(length, MARKER_BYTES_MAX));
  if (bytes.every((byte) => byte === 0)) return UNKNOWN;
  const text = new TextDecoder().decode(bytes).replace(/\0+$/, "");
  const nodeId = /^sixpaths node ([\w-]+), /.exec(text)?.[1];
  if (nodeId !== undefined && markersOf(nodeId).includes(text)) return nodeId;
  const expected = JSON.stringify(markerOf(nodeId ?? "…"));
  throw new DamageError(path, 0, `content is ${JSON.stringify(text)}, expected ${expected}`);
}

/**
 * Whose directory it is, by its marker; `""` if that says only that it has held a log, null if it
 * does not even say that.
 *
 * @throws {DamageError} The marker is not what was written.
 */
export async function checkMarker(disk: Disk, directory: string): Promise<string | null> {
  if (!(await disk.list(directory)).includes(MARKER_NAME)) return null;
  const path = join(directory, MARKER_NAME);
  const file = await disk.open(path, "read");
  try {
    return await readMarker(file, path);
  } finally {
    file.close();
  }
}

/**
 * Creates the directory if it is missing, and sees to it that its name is durable before there is a
 * marker in it. So a directory without one may be there by name only, whoever made it.
 *
 * A directory is durable when its parent is synced. A node that may not open the parent cannot see
 * to that, and says so; whoever gave it the directory has to (`cluster` does).
 */
export async function makeDataDirectory(
  disk: Disk,
  directory: string,
  report: (line: string) => void,
): Promise<void> {
  if (await makeDirectory(disk, directory, report)) return;
  if ((await disk.list(directory)).includes(MARKER_NAME)) return;
  await syncIfPermitted(disk, dirname(directory));
}

/** True if it was missing. Its parents are made first, each durable before the next one is made. */
async function makeDirectory(
  disk: Disk,
  directory: string,
  report: (line: string) => void,
): Promise<boolean> {
  const parent = dirname(directory);
  try {
    if (!await disk.makeDirectory(directory)) return false;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound) || parent === directory) throw error;
    const withParents = !await makeParent(disk, parent, report);
    await disk.makeDirectory(directory, withParents);
  }
  // The parent too may be there by name only, made by a start that was killed right then.
  await syncIfPermitted(disk, dirname(parent));
  if (!await syncIfPermitted(disk, parent)) {
    report(
      `no permission to read "${parent}", which makes the new directory "${directory}" durable: ` +
        `until you run "sync", a power failure may take it away with all that is in it`,
    );
  }
  return true;
}

/** False if there is no permission to make it by itself. */
async function makeParent(
  disk: Disk,
  directory: string,
  report: (line: string) => void,
): Promise<boolean> {
  try {
    await makeDirectory(disk, directory, report);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) return false;
    throw error;
  }
}

/** False if there is no permission to open `directory`. */
async function syncIfPermitted(disk: Disk, directory: string): Promise<boolean> {
  try {
    await disk.syncDirectory(directory);
    return true;
  } catch (error) {
    if (isPermission(error)) return false;
    throw error;
  }
}

/** Whether Deno or the system does not permit something. */
function isPermission(error: unknown): boolean {
  return error instanceof Deno.errors.NotCapable || error instanceof Deno.errors.PermissionDenied;
}
