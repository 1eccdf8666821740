/**
 * The handful of file operations that a log needs, as a parameter: the real disk is here, a
 * simulated one, which can lose and damage what it was given, is in `tasks/simulate/`.
 *
 * @module
 */
import { join } from "@std/path";
import { InsufficientStorageError, UnavailableError } from "../lib/key_value.ts";
import { REMOVE_PIECE_BYTES } from "../lib/limits.ts";

/** Directories and files. Every failure is thrown as the error of the operating system. */
export interface Disk {
  /** Names in `directory`, sorted. */
  list(directory: string): Promise<string[]>;
  /** Creates `directory` and its parents where they are missing. True if it did. */
  makeDirectory(directory: string): Promise<boolean>;
  /** Opens a file: to read it, to write it as well, or to write it anew, empty. */
  open(path: string, mode: "read" | "write" | "create"): Promise<DiskFile>;
  /** Takes the place of a file of that name, at once or not at all. */
  rename(from: string, to: string): Promise<void>;
  /** May take a large file away in pieces: a crash then leaves the beginning of it. */
  remove(path: string): Promise<void>;
  /** Makes durable which files `directory` has. */
  syncDirectory(directory: string): Promise<void>;
}

/** An open file. One caller, one call at a time. */
export interface DiskFile {
  /** In bytes. */
  size(): Promise<number>;
  /** Reads into `bytes` what stands at `position`; returns how many bytes, 0 at the end. */
  read(bytes: Uint8Array, position: number): number;
  /** Writes at `position` and returns how many of `bytes` were taken. Durable only after a sync. */
  write(bytes: Uint8Array, position: number): number;
  /** Makes the bytes durable, and the size if it is needed to read them (fdatasync). */
  syncData(): Promise<void>;
  /** Takes the lock of this file for this process. False if another process has it. */
  tryLock(): boolean;
  close(): void;
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
    if (refusalOf(error) !== null) await disk.remove(temporary).catch(() => {});
    throw error;
  }
  await settled(disk.syncDirectory(directory));
}

async function writeFile(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const file = await disk.open(path, "create");
  try {
    writeBytes(file, bytes, 0);
    await settled(file.syncData());
  } finally {
    file.close();
  }
}

/** A sync failed: what of the file is durable is unknown, whatever the reason was. */
export class SyncError extends Error {
  override name = "SyncError";
}

/** Waits for a sync. @throws {SyncError} It failed. */
export async function settled(sync: Promise<void>): Promise<void> {
  try {
    await sync;
  } catch (cause) {
    if (isOutOfFiles(cause)) throw cause; // a directory could not be opened, so nothing was tried
    throw new SyncError(`Cannot sync: ${reasonOf(cause)}`, { cause });
  }
}

/**
 * The error for whoever wanted to write, if `error` says that the system took nothing because it is
 * short of something that may come back; null if it says anything else.
 */
export function refusalOf(error: unknown): InsufficientStorageError | UnavailableError | null {
  if (error instanceof InsufficientStorageError || error instanceof UnavailableError) return error;
  const options = { cause: error };
  const rest = `(${reasonOf(error)}): the write was not applied, and may be sent again later`;
  if (isOutOfSpace(error)) return new InsufficientStorageError(`Disk is full ${rest}`, options);
  if (isOutOfFiles(error)) return new UnavailableError(`Too many files are open ${rest}`, options);
  return null;
}

/** No space on the device or in the quota; or the process may not write files of that size. */
function isOutOfSpace(error: unknown): boolean {
  // Deno gives EFBIG, which is 27 everywhere, no code.
  return hasCode(error, ["ENOSPC", "EDQUOT"]) || /\(os error 27\)/.test(reasonOf(error));
}

function isOutOfFiles(error: unknown): boolean {
  return hasCode(error, ["EMFILE", "ENFILE"]);
}

function hasCode(error: unknown, codes: string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The disk of the machine. */
export const realDisk: Disk = {
  async list(directory) {
    const names = [];
    for await (const entry of Deno.readDir(directory)) names.push(entry.name);
    return names.sort();
  },
  async makeDirectory(directory) {
    try {
      await Deno.mkdir(directory);
      return true;
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists) return false;
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
    await Deno.mkdir(directory, { recursive: true });
    return true;
  },
  async open(path, mode) {
    const write = mode !== "read";
    const create = mode === "create";
    return new RealFile(await Deno.open(path, { read: true, write, create, truncate: create }));
  },
  rename: (from, to) => Deno.rename(from, to),
  async remove(path) {
    // In one piece it would keep every sync on that file system waiting: 160 MiB for up to 50 ms.
    using file = await Deno.open(path, { write: true });
    const { size } = await file.stat();
    for (let left = size - REMOVE_PIECE_BYTES; left > 0; left -= REMOVE_PIECE_BYTES) {
      await file.truncate(left);
    }
    await Deno.remove(path);
  },
  async syncDirectory(directory) {
    using handle = await Deno.open(directory);
    await handle.sync();
  },
};

/**
 * A `Deno.FsFile` that is read and written at positions. Reads and writes are the synchronous ones:
 * they end in the page cache, within microseconds, where a hop to another thread and back costs
 * tens. Only a sync waits for the device, and that one does not hold up the event loop.
 */
class RealFile implements DiskFile {
  readonly #file: Deno.FsFile;
  /** Where the operating system's own position is; a sequential write then needs no seek. */
  #position = 0;

  constructor(file: Deno.FsFile) {
    this.#file = file;
  }

  async size(): Promise<number> {
    return (await this.#file.stat()).size;
  }

  read(bytes: Uint8Array, position: number): number {
    this.#seek(position);
    const count = this.#file.readSync(bytes) ?? 0;
    this.#position = position + count;
    return count;
  }

  write(bytes: Uint8Array, position: number): number {
    this.#seek(position);
    const count = this.#file.writeSync(bytes);
    this.#position = position + count;
    return count;
  }

  #seek(position: number): void {
    if (this.#position !== position) this.#file.seekSync(position, Deno.SeekMode.Start);
    this.#position = -1; // unknown, should the call that follows fail
  }

  syncData(): Promise<void> {
    return this.#file.syncData();
  }

  tryLock(): boolean {
    return this.#file.tryLockSync(true);
  }

  close(): void {
    this.#file.close();
  }
}
