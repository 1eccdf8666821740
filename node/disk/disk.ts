/**
 * The handful of file operations that a log needs, as a parameter: the real disk is in
 * `real_disk.ts`; a simulated one, which can lose and damage what it was given, is in
 * `tasks/simulate/`.
 *
 * @module
 */
import { join } from "@std/path";
import { asRefusal, synced } from "./disk_errors.ts";

/**
 * How a file is opened: to read it; to write it as well (`write or create` makes it if it is
 * missing); or to write it anew, empty (`create`).
 */
export type OpenMode = "read" | "write" | "write or create" | "create";

/**
 * Directories and files. Every failure is thrown as the error of the operating system, but for that
 * to read a file.
 */
export interface Disk {
  /** Names in `directory`, sorted. */
  list(directory: string): Promise<string[]>;
  /** Creates `directory` if it is missing, and its parents. True if it did. */
  makeDirectory(directory: string): Promise<boolean>;
  /** Opens a file. */
  open(path: string, mode: OpenMode): Promise<DiskFile>;
  /** Renames a file; one that has the name is replaced, at once or not at all. */
  rename(from: string, to: string): Promise<void>;
  /** Removes a file. A large one may go in pieces: a crash can then leave the beginning of it. */
  remove(path: string): Promise<void>;
  /** Makes the names in `directory` durable. */
  syncDirectory(directory: string): Promise<void>;
}

/** An open file. One caller, one call at a time. */
export interface DiskFile {
  /** In bytes. */
  size(): Promise<number>;
  /**
   * Reads into `bytes` what stands at `position`; returns how many bytes, 0 at the end.
   *
   * @throws {DamageError} They cannot be read.
   */
  read(bytes: Uint8Array, position: number): number;
  /** Writes at `position` and returns how many of `bytes` were taken. Durable only after a sync. */
  write(bytes: Uint8Array, position: number): number;
  /** Makes the bytes durable, and the size if it is needed to read them (fdatasync). */
  syncData(): Promise<void>;
  /** Takes the lock of this file for this process. False if another process has it. */
  tryLock(): boolean;
  close(): void;
}

/** The same disk, but for how it opens a file. */
export function withOpen(disk: Disk, open: Disk["open"]): Disk {
  return {
    list: (directory) => disk.list(directory),
    makeDirectory: (directory) => disk.makeDirectory(directory),
    open,
    rename: (from, to) => disk.rename(from, to),
    remove: (path) => disk.remove(path),
    syncDirectory: (directory) => disk.syncDirectory(directory),
  };
}

/** Reads `length` bytes at `position`; fewer where the file ends. */
export function readBytes(
  file: DiskFile,
  position: number,
  length: number,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const count = file.read(bytes.subarray(filled), position + filled);
    if (count === 0) return bytes.subarray(0, filled);
    filled += count;
  }
  return bytes;
}

/** Reads all of a file. */
export async function readFile(disk: Disk, path: string): Promise<Uint8Array<ArrayBuffer>> {
  const file = await disk.open(path, "read");
  try {
    return readBytes(file, 0, await file.size());
  } finally {
    file.close();
  }
}

/** Writes all of `bytes` at `position`, in as many calls as the disk makes of it. */
export function writeBytes(file: DiskFile, bytes: Uint8Array, position: number): void {
  let taken = file.write(bytes, position);
  while (taken < bytes.length) {
    const count = file.write(bytes.subarray(taken), position + taken);
    if (count === 0) throw new Error(`Cannot write: disk took 0 of ${bytes.length - taken} bytes`);
    taken += count;
  }
}

/**
 * Creates a file that is there whole, with these bytes, or not at all. After a failure it may be
 * called again with the same.
 */
export async function createFile(
  disk: Disk,
  directory: string,
  name: string,
  bytes: Uint8Array,
): Promise<void> {
  const path = join(directory, name);
  const temporary = `${path}.tmp`;
  try {
    await writeFile(disk, temporary, bytes);
    await disk.rename(temporary, path);
  } catch (error) {
    // What the full disk did take is given back; the error that counts is the first one.
    if (asRefusal(error) !== null) await disk.remove(temporary).catch(() => {});
    throw error;
  }
  await synced(disk.syncDirectory(directory));
}

async function writeFile(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const file = await disk.open(path, "create");
  try {
    writeBytes(file, bytes, 0);
    await synced(file.syncData());
  } finally {
    file.close();
  }
}
