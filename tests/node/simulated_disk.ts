/**
 * A disk in memory that can do to its files what a crash, a power failure or a bad device does.
 *
 * A file has what was written to it and what of that is durable. `crash()` gives the disk that is
 * found afterwards: of the sectors that were written and not synced, each is there or is not, as the
 * caller chooses. The same holds for directory entries.
 *
 * @module
 */
import { basename, dirname } from "@std/path";
import type { Disk, DiskFile } from "../../node/disk.ts";
import { SECTOR_BYTES } from "../../node/log_format.ts";

/** Says of each unsynced sector whether it reached the disk before the crash. */
export type Survives = (file: string, sector: number) => boolean;

class Content {
  written = new Uint8Array(0);
  durable = new Uint8Array(0);
  locked = false;

  resize(length: number): void {
    if (length <= this.written.length) return;
    const grown = new Uint8Array(length);
    grown.set(this.written);
    this.written = grown;
  }

  sync(): void {
    this.durable = this.written.slice();
  }
}

/** See the module's own comment. Paths are plain strings; directories need not be made. */
export class SimulatedDisk implements Disk {
  /** Files by path, as a process sees them. */
  readonly files = new Map<string, Content>();
  /** Files by path, as they are found after a crash. */
  #durableEntries = new Map<string, Content>();
  /** Called before every write and sync with a word of what is done; throws to make it fail. */
  beforeCall: (call: string, path: string) => void = () => {};
  /** Most bytes that one write takes. */
  writeBytesMax = Infinity;

  /** The disk that a process finds which starts after a crash. */
  crash(survives: Survives): SimulatedDisk {
    const after = new SimulatedDisk();
    for (const [path, content] of this.#durableEntries) {
      const found = new Content();
      found.written = whatSurvives(path, content, survives);
      found.sync();
      after.files.set(path, found);
      after.#durableEntries.set(path, found);
    }
    return after;
  }

  /** A copy, with all that was written durable, whose files can be damaged without touching this. */
  copy(): SimulatedDisk {
    const copy = new SimulatedDisk();
    for (const [path, { written }] of this.files) {
      const content = new Content();
      content.written = written.slice();
      content.durable = content.written.slice();
      copy.files.set(path, content);
    }
    copy.#durableEntries = new Map(copy.files);
    return copy;
  }

  /** The bytes of a file, to look at or to damage. */
  bytes(path: string): Uint8Array {
    return this.#content(path).written;
  }

  /** Cuts a file off. */
  cut(path: string, length: number): void {
    const content = this.#content(path);
    content.written = content.written.slice(0, length);
  }

  #content(path: string): Content {
    const content = this.files.get(path);
    if (content === undefined) throw new Deno.errors.NotFound(`No such file: ${path}`);
    return content;
  }

  list(directory: string): Promise<string[]> {
    const names = [...this.files.keys()].filter((path) => dirname(path) === directory);
    return Promise.resolve(names.map((path) => basename(path)).sort());
  }

  makeDirectory(_directory: string): Promise<boolean> {
    return Promise.resolve(false);
  }

  // deno-lint-ignore require-await
  async open(path: string, mode: "read" | "write" | "create"): Promise<DiskFile> {
    if (mode === "create") {
      this.beforeCall("create", path);
      this.files.set(path, new Content());
    }
    return this.#handle(path, this.#content(path));
  }

  #handle(path: string, content: Content): DiskFile {
    return {
      size: () => Promise.resolve(content.written.length),
      read(bytes, position) {
        const piece = content.written.subarray(position, position + bytes.length);
        bytes.set(piece);
        return piece.length;
      },
      write: (bytes, position) => {
        this.beforeCall("write", path);
        const taken = bytes.subarray(0, Math.min(bytes.length, this.writeBytesMax));
        content.resize(position + taken.length);
        content.written.set(taken, position);
        return taken.length;
      },
      // deno-lint-ignore require-await
      syncData: async () => {
        this.beforeCall("sync", path);
        content.sync();
      },
      tryLock() {
        if (content.locked) return false;
        return content.locked = true;
      },
      close() {
        content.locked = false;
      },
    };
  }

  // deno-lint-ignore require-await
  async rename(from: string, to: string): Promise<void> {
    this.beforeCall("rename", from);
    this.files.set(to, this.#content(from));
    this.files.delete(from);
  }

  // deno-lint-ignore require-await
  async remove(path: string): Promise<void> {
    this.beforeCall("remove", path);
    this.files.delete(path);
  }

  // deno-lint-ignore require-await
  async syncDirectory(directory: string): Promise<void> {
    this.beforeCall("sync directory", directory);
    this.#durableEntries = new Map(this.files);
  }
}

function whatSurvives(path: string, content: Content, survives: Survives): Uint8Array<ArrayBuffer> {
  const { written, durable } = content;
  // The size is durable with the sync, and grows with the last sector that survives.
  let length = durable.length;
  const found = new Uint8Array(Math.max(written.length, durable.length));
  found.set(durable);
  for (let start = 0; start < written.length; start += SECTOR_BYTES) {
    const end = Math.min(start + SECTOR_BYTES, written.length);
    if (equal(written, durable, start, end) || !survives(path, start / SECTOR_BYTES)) continue;
    found.set(written.subarray(start, end), start);
    length = Math.max(length, end);
  }
  return found.slice(0, length);
}

function equal(a: Uint8Array, b: Uint8Array, start: number, end: number): boolean {
  if (end > b.length) return false;
  for (let i = start; i < end; i++) if (a[i] !== b[i]) return false;
  return true;
}
