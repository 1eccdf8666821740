/**
 * A disk in memory that can do to its files what a crash, a power failure or a bad device does.
 *
 * A file has what was written to it and what of that is durable. `crash()` gives the disk that is
 * found after a power failure: of the sectors that were written and not synced, each is there or is
 * not, as the caller chooses. The same holds for directory entries. `handOver()` gives the one that
 * is found when only the process ended.
 *
 * A sync that fails is as on Linux: what it did not write is taken for written all the same. It is
 * seen until the system lets go of it, which it may at any time, see `evicts`; and no later sync
 * makes it durable. Nor does a later sync make a file longer than what of it was written back: so
 * does XFS, and ext4 may. Of a file that was removed, a power failure may leave the first half.
 *
 * @module
 */
import { basename, dirname } from "@std/path";
import type { Disk, DiskFile, OpenMode } from "../../node/disk/disk.ts";
import { unreadable } from "../../node/disk/disk_errors.ts";
import { SECTOR_BYTES } from "../../node/log/log_format.ts";

/** Says of each unsynced sector whether it reached the disk. */
export type Survives = (file: string, sector: number) => boolean;

/** Says of each unsynced change of a directory whether it reached the disk. */
export type EntrySurvives = (path: string) => boolean;

/** What a process asks of its disk. */
export type DiskCall =
  | "list"
  | "open"
  | "create"
  | "size"
  | "read"
  | "write"
  | "sync"
  | "rename"
  | "remove"
  | "sync directory";

/** A bit that was turned over, and what that has left in its byte. */
export interface FlippedBit {
  readonly path: string;
  readonly bit: number;
  readonly left: readonly number[];
}

/** Names of files, and what they are the names of. */
type Entries = Map<string, Content>;

/** A change of a directory that is not durable yet. */
interface EntryChange {
  readonly path: string;
  readonly make: (entries: Entries) => void;
}

class Content {
  written = new Uint8Array(0);
  durable = new Uint8Array(0);
  /** Sectors that the next sync makes durable. */
  readonly dirty = new Set<number>();
  /** Sectors that a failed sync left as they are: not durable, and never synced again. */
  readonly lost = new Set<number>();
  locked = false;

  static of(bytes: Uint8Array<ArrayBuffer>): Content {
    const content = new Content();
    content.written = bytes;
    content.durable = bytes.slice();
    return content;
  }

  write(bytes: Uint8Array, position: number): void {
    const end = position + bytes.length;
    if (end > this.written.length) this.written = resized(this.written, end);
    this.written.set(bytes, position);
    for (let sector = Math.floor(position / SECTOR_BYTES); sector * SECTOR_BYTES < end; sector++) {
      this.dirty.add(sector);
      this.lost.delete(sector);
    }
  }

  sync(): void {
    const end = Math.min((Math.max(-1, ...this.dirty) + 1) * SECTOR_BYTES, this.written.length);
    if (end > this.durable.length) this.durable = resized(this.durable, end);
    for (const sector of this.dirty) copySector(this.written, this.durable, sector);
    this.dirty.clear();
  }

  failSync(path: string, survives: Survives): void {
    this.durable = whatSurvives(path, this, survives);
    for (const sector of this.dirty) this.lost.add(sector);
    this.dirty.clear();
  }

  /** The system reads again from the disk what it took for written. */
  evict(path: string, evicts: Survives): void {
    for (const sector of this.lost) {
      if (!evicts(path, sector)) continue;
      this.written.fill(0, sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
      copySector(this.durable, this.written, sector);
      this.lost.delete(sector);
    }
  }
}

/** See the module's own comment. Paths are plain strings; directories need not be made. */
export class SimulatedDisk implements Disk {
  /** Files by path, as a process sees them. */
  readonly files: Entries = new Map();
  /** Files by path, as they are found after a power failure. */
  #durableEntries: Entries = new Map();
  #changes: EntryChange[] = [];
  #abandoned = false;
  /** Called before every call; throws to make it fail. `grows`: the call makes a file larger. */
  beforeCall: (call: DiskCall, path: string, grows: boolean) => void = () => {};
  /** Says, whenever a file is read or written, which of its lost sectors the system lets go of. */
  evicts: Survives = () => false;
  /** Resolves when the device has done what it is asked for. Reads and writes end in memory. */
  latency: (call: DiskCall) => Promise<void> = () => Promise.resolve();
  /** Most bytes that one write takes. */
  writeBytesMax = Infinity;
  /** Bytes by which files may still grow. */
  freeBytes = Infinity;

  /**
   * The disk that a process finds which starts after a power failure. What of the directories was
   * not synced is gone, unless `entrySurvives`.
   */
  crash(survives: Survives, entrySurvives: EntrySurvives = () => false): SimulatedDisk {
    const entries = new Map(this.#durableEntries);
    for (const { path, make } of this.#changes) if (entrySurvives(path)) make(entries);
    const after = new SimulatedDisk();
    for (const [path, content] of entries) {
      after.files.set(path, Content.of(whatSurvives(path, content, survives)));
    }
    after.#durableEntries = new Map(after.files);
    after.freeBytes = this.freeBytes;
    return after;
  }

  /** The disk that the next process finds when this one was killed: all is there, synced or not. */
  handOver(evicts: Survives = () => false): SimulatedDisk {
    const after = new SimulatedDisk();
    for (const [path, content] of this.files) {
      content.evict(path, evicts);
      content.locked = false;
      after.files.set(path, content);
    }
    after.#durableEntries = this.#durableEntries;
    after.#changes = this.#changes;
    after.freeBytes = this.freeBytes;
    this.abandon();
    return after;
  }

  /** Changes of directories that are not durable yet. */
  get unsyncedEntries(): number {
    return this.#changes.length;
  }

  /** The process is gone: its calls have no effect any more, and no end. */
  abandon(): void {
    this.#abandoned = true;
  }

  /**
   * A copy, with all that was written durable, whose files can be damaged without touching this.
   */
  copy(): SimulatedDisk {
    const copy = new SimulatedDisk();
    for (const [path, { written }] of this.files) copy.files.set(path, Content.of(written.slice()));
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

  /** Turns over one bit of a file, where it is kept and in memory. */
  flip(path: string, bit: number): FlippedBit {
    const { written, durable } = this.#content(path);
    const left = [];
    for (const bytes of [written, durable]) {
      if (bit >> 3 < bytes.length) left.push(bytes[bit >> 3] ^= 1 << (bit & 7));
    }
    return { path, bit, left };
  }

  /** Turns a bit back, where its byte was not written since. */
  flipBack({ path, bit, left }: FlippedBit): void {
    const content = this.files.get(path);
    for (const bytes of content === undefined ? [] : [content.written, content.durable]) {
      if (left.includes(bytes[bit >> 3])) bytes[bit >> 3] ^= 1 << (bit & 7);
    }
  }

  /** Makes a sync fail that has written these sectors and no others. The caller throws. */
  failSync(path: string, survives: Survives): void {
    this.#content(path).failSync(path, survives);
  }

  #content(path: string): Content {
    const content = this.files.get(path);
    if (content === undefined) throw new Deno.errors.NotFound(`No such file: ${path}`);
    return content;
  }

  #changeEntries(path: string, make: (entries: Entries) => void): void {
    make(this.files);
    this.#changes.push({ path, make });
  }

  async #begin(call: DiskCall, path: string): Promise<void> {
    this.beforeCall(call, path, false);
    await this.#whileThere();
    await this.latency(call);
    await this.#whileThere();
  }

  /** Never resolves for a process that is gone. */
  #whileThere(): Promise<void> {
    return this.#abandoned ? new Promise(() => {}) : Promise.resolve();
  }

  #beginAtOnce(call: DiskCall, path: string, grows: boolean): void {
    this.beforeCall(call, path, grows);
    if (this.#abandoned) throw new Error("Process is gone");
  }

  #beginRead(path: string, position: number): void {
    try {
      this.#beginAtOnce("read", path, false);
    } catch (cause) {
      if (!(cause instanceof DeviceError)) throw cause;
      throw unreadable(path, position, cause);
    }
  }

  async list(directory: string): Promise<string[]> {
    await this.#begin("list", directory);
    const names = [...this.files.keys()].filter((path) => dirname(path) === directory);
    return names.map((path) => basename(path)).sort();
  }

  makeDirectory(_directory: string): Promise<boolean> {
    return Promise.resolve(false);
  }

  async open(path: string, mode: OpenMode): Promise<DiskFile> {
    const creates = mode === "create" || (mode === "write or create" && !this.files.has(path));
    await this.#begin(creates ? "create" : "open", path);
    if (creates) {
      const content = new Content();
      this.#changeEntries(path, (entries) => entries.set(path, content));
    }
    return this.#handle(path, this.#content(path));
  }

  #handle(path: string, content: Content): DiskFile {
    let isLocking = false;
    return {
      size: async () => {
        await this.#begin("size", path);
        return content.written.length;
      },
      read: (bytes, position) => {
        this.#beginRead(path, position);
        content.evict(path, this.evicts);
        const piece = content.written.subarray(position, position + bytes.length);
        bytes.set(piece);
        return piece.length;
      },
      write: (bytes, position) => {
        this.#beginAtOnce("write", path, position + bytes.length > content.written.length);
        content.evict(path, this.evicts);
        const taken = this.#whatFits(bytes, position, content.written.length);
        content.write(taken, position);
        return taken.length;
      },
      syncData: async () => {
        await this.#begin("sync", path);
        content.sync();
      },
      tryLock() {
        if (content.locked) return isLocking;
        return content.locked = isLocking = true;
      },
      close: () => {
        if (isLocking && !this.#abandoned) content.locked = false;
        isLocking = false;
      },
    };
  }

  /** @throws {Error} With code `ENOSPC`: no byte of it does. */
  #whatFits(bytes: Uint8Array, position: number, size: number): Uint8Array {
    // Files grow by whole sectors, or not at all.
    const room = roundDown(Math.max(size, position) + this.freeBytes) - position;
    const count = Math.min(bytes.length, this.writeBytesMax, Math.max(size - position, room));
    if (count <= 0 && bytes.length > 0) throw noSpace();
    this.freeBytes -= Math.max(0, position + count - size);
    return bytes.subarray(0, count);
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#begin("rename", from);
    const content = this.#content(from);
    this.#changeEntries(from, (entries) => {
      entries.set(to, content);
      entries.delete(from);
    });
  }

  async remove(path: string): Promise<void> {
    await this.#begin("remove", path);
    const content = this.#content(path);
    this.freeBytes += content.written.length;
    content.durable = content.durable.slice(0, roundDown(content.durable.length / 2));
    content.dirty.clear();
    this.#changeEntries(path, (entries) => entries.delete(path));
  }

  async syncDirectory(directory: string): Promise<void> {
    await this.#begin("sync directory", directory);
    this.#changes = this.#changes.filter(({ path, make }) => {
      if (dirname(path) !== directory) return true;
      make(this.#durableEntries);
      return false;
    });
  }
}

/** What the operating system says when the disk is full. */
export function noSpace(): Error {
  return Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" });
}

/** What the operating system says when the device fails. */
export class DeviceError extends Error {
  readonly code = "EIO";

  constructor() {
    super("Input/output error (os error 5)");
  }
}

/** The durable bytes of a file, and those of its unsynced sectors that survive. */
function whatSurvives(path: string, content: Content, survives: Survives): Uint8Array<ArrayBuffer> {
  const { written, durable, dirty } = content;
  const found = resized(durable, Math.max(written.length, durable.length));
  // The size grows with the last sector that survives.
  let length = durable.length;
  for (const sector of dirty) {
    if (!survives(path, sector)) continue;
    copySector(written, found, sector);
    length = Math.max(length, Math.min((sector + 1) * SECTOR_BYTES, written.length));
  }
  return found.slice(0, length);
}

function roundDown(bytes: number): number {
  return Number.isFinite(bytes) ? bytes - bytes % SECTOR_BYTES : bytes;
}

function copySector(from: Uint8Array, to: Uint8Array, sector: number): void {
  const start = sector * SECTOR_BYTES;
  to.set(from.subarray(start, Math.min(start + SECTOR_BYTES, to.length)), start);
}

function resized(bytes: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(length);
  copy.set(bytes.subarray(0, length));
  return copy;
}
