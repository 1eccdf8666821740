/**
 * The disk of the machine, by way of Deno.
 *
 * @module
 */
import { REMOVE_PIECE_BYTES } from "../../lib/limits.ts";
import type { Disk, DiskFile } from "./disk.ts";
import { unreadable } from "./disk_errors.ts";

/** Reads and writes files of this machine. */
export const realDisk: Disk = {
  async list(directory) {
    const names = [];
    for await (const entry of Deno.readDir(directory)) names.push(entry.name);
    return names.sort();
  },
  async makeDirectory(directory) {
    try {
      await Deno.mkdir(directory);
    } catch (error) {
      if (error instanceof Deno.errors.AlreadyExists) return false;
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      await Deno.mkdir(directory, { recursive: true });
    }
    return true;
  },
  async open(path, mode) {
    const write = mode !== "read";
    const truncate = mode === "create";
    const create = truncate || mode === "write or create";
    return new RealFile(await Deno.open(path, { read: true, write, create, truncate }), path);
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
  readonly #path: string;
  /** Where the operating system's own position is; a sequential write then needs no seek. */
  #position = 0;

  constructor(file: Deno.FsFile, path: string) {
    this.#file = file;
    this.#path = path;
  }

  async size(): Promise<number> {
    return (await this.#file.stat()).size;
  }

  read(bytes: Uint8Array, position: number): number {
    this.#seek(position);
    try {
      const count = this.#file.readSync(bytes) ?? 0;
      this.#position = position + count;
      return count;
    } catch (cause) {
      throw unreadable(this.#path, position, cause);
    }
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
