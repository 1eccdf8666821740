/**
 * One segment of the log while it is written: frames at its tail, zeros filled in ahead of them,
 * the seal when it is left. `log_format.ts` says why in that order.
 *
 * @module
 */
import { join } from "@std/path";
import { errorMessage } from "../../lib/error_message.ts";
import { createFile, type Disk, type DiskFile, writeBytes } from "../disk/disk.ts";
import { asRefusal, synced } from "../disk/disk_errors.ts";
import { FrameBuffer } from "./frame_buffer.ts";
import {
  encodeFileHeader,
  frameBytes,
  FrameKind,
  Mark,
  SECTOR_BYTES,
  segmentName,
} from "./log_format.ts";
import { LogRefusal } from "./log.ts";
import type { LogIdentity, SegmentScan } from "./log_scan.ts";

/** What the segments of a log have in common. */
export class SegmentContext {
  readonly disk: Disk;
  readonly directory: string;
  readonly identity: LogIdentity;
  /** One step of filling. */
  readonly zeros: Uint8Array;
  readonly frames = new FrameBuffer();
  /** Counted since the log was opened, without the frames of seals. */
  syncs = 0;
  bytesAppended = 0;

  constructor(disk: Disk, directory: string, identity: LogIdentity, fillBytes: number) {
    this.disk = disk;
    this.directory = directory;
    this.identity = identity;
    this.zeros = new Uint8Array(fillBytes);
  }
}

/** How far a segment is written. */
interface SegmentState {
  readonly firstIndex: number;
  /** Index of the next record. */
  readonly nextIndex: number;
  /** Where the next frame goes, and how far zeros follow. */
  readonly tail: number;
  readonly filled: number;
  /** Bytes from the tail on that are not known to be durable zeros. */
  readonly dirtyBytes: number;
  /** Checksum that the next frame continues. */
  readonly chain: number;
}

/**
 * Writes one segment; one call at a time. After a failure that is not a refusal, see `asRefusal`,
 * nobody knows what is durable: it is to be closed.
 */
export class SegmentWriter {
  readonly firstIndex: number;
  readonly #file: DiskFile;
  readonly #context: SegmentContext;
  #nextIndex: number;
  #tail: number;
  #filled: number;
  #chain: number;
  /** Bytes from the tail on that have to become durable zeros before a frame may be written. */
  #dirtyBytes: number;
  #closed = false;

  private constructor(file: DiskFile, state: SegmentState, context: SegmentContext) {
    this.#file = file;
    this.#context = context;
    this.firstIndex = state.firstIndex;
    this.#nextIndex = state.nextIndex;
    this.#tail = state.tail;
    this.#filled = state.filled;
    this.#dirtyBytes = state.dirtyBytes;
    this.#chain = state.chain;
  }

  /**
   * Creates the segment that begins with the record `firstIndex` and continues the checksum
   * `chain`. After a refusal it may be called again.
   */
  static async create(
    context: SegmentContext,
    firstIndex: number,
    chain: number,
  ): Promise<SegmentWriter> {
    const { disk, directory, identity } = context;
    const header = { ...identity, firstIndex, chain };
    const { sector, checksum } = encodeFileHeader(Mark.segment, header);
    const bytes = new Uint8Array(SECTOR_BYTES + context.zeros.length);
    bytes.set(sector);
    const name = segmentName(firstIndex);
    await createFile(disk, directory, name, bytes);
    const state = {
      firstIndex,
      nextIndex: firstIndex,
      tail: SECTOR_BYTES,
      filled: bytes.length,
      dirtyBytes: 0,
      chain: checksum,
    };
    return new SegmentWriter(await disk.open(join(directory, name), "write"), state, context);
  }

  /**
   * Takes up a segment where a scan found the end of its frames. What the scan read may be in
   * memory alone: {@linkcode rewriteTail} comes before the first frame.
   */
  static async open(context: SegmentContext, scan: SegmentScan): Promise<SegmentWriter> {
    const { disk, directory } = context;
    const { name, firstIndex, tail, sizeBytes, chain } = scan;
    const filled = sizeBytes - sizeBytes % SECTOR_BYTES;
    const state = {
      firstIndex,
      nextIndex: firstIndex + scan.records,
      tail,
      filled,
      dirtyBytes: filled - tail,
      chain,
    };
    return new SegmentWriter(await disk.open(join(directory, name), "write"), state, context);
  }

  /** Index of the next record. */
  get nextIndex(): number {
    return this.#nextIndex;
  }

  /** Bytes of the header and the frames. */
  get tail(): number {
    return this.#tail;
  }

  /** Checksum that the header of the next segment continues. */
  get chain(): number {
    return this.#chain;
  }

  /** Whether there is no frame in it. */
  get isEmpty(): boolean {
    return this.#tail === SECTOR_BYTES;
  }

  /** Whether anything but durable zeros may follow the tail: then {@linkcode wipe} comes first. */
  get isDirty(): boolean {
    return this.#dirtyBytes > 0;
  }

  /** Bytes that the segment needs once it has a frame with such a body, and its seal. */
  bytesWith(bodyLength: number): number {
    return this.#tail + frameBytes(bodyLength) + SECTOR_BYTES;
  }

  /**
   * Appends a batch of `count` records, and resolves when it is durable.
   *
   * @throws {LogRefusal} Of one that is half written, a part may be there, see {@linkcode isDirty}.
   */
  async append(body: Uint8Array, count: number): Promise<void> {
    // After the frame there is always room for the seal, and zeros that are durable.
    const needed = this.bytesWith(body.length);
    if (needed > this.#filled) await this.#fill(needed);
    const length = frameBytes(body.length);
    let checksum: number;
    try {
      checksum = this.#write(FrameKind.batch, body, count);
    } catch (error) {
      if (asRefusal(error) !== null) await this.#takeBack(length);
      throw error;
    }
    await this.sync();
    this.#chain = checksum;
    this.#tail += length;
    this.#nextIndex += count;
    this.#context.bytesAppended += length;
  }

  #write(kind: FrameKind, body: Uint8Array, count: number): number {
    const frame = { kind, firstIndex: this.#nextIndex, count, chain: this.#chain };
    return this.#context.frames.write(this.#file, this.#tail, body, frame);
  }

  /** Writes zeros up to `needed` at least, in whole steps, and makes them durable. */
  async #fill(needed: number): Promise<void> {
    const { zeros } = this.#context;
    let filled = this.#filled;
    while (filled < needed) {
      writeBytes(this.#file, zeros, filled);
      filled += zeros.length;
    }
    await this.sync();
    this.#filled = filled;
  }

  /**
   * Sees to it that nothing is left of a frame that the disk had no room for. Most disks always
   * take a frame, as its place was filled with zeros; one that copies on write may not.
   */
  async #takeBack(length: number): Promise<void> {
    this.#dirtyBytes = length;
    try {
      await this.wipe();
    } catch (cause) {
      if (asRefusal(cause) === null) throw cause;
      throw new LogRefusal("half written", errorMessage(cause), { cause });
    }
  }

  /** Puts zeros back where the next frame goes: it may only be written over durable ones. */
  async wipe(): Promise<void> {
    this.#writeZeros(this.#dirtyBytes);
    await this.sync();
    this.#dirtyBytes = 0;
  }

  #writeZeros(length: number): void {
    const { zeros } = this.#context;
    for (let written = 0; written < length; written += zeros.length) {
      writeBytes(this.#file, zeros.subarray(0, length - written), this.#tail + written);
    }
  }

  /**
   * Writes again all that a scan read and that a failed sync may have left in memory alone: the
   * last batch, `lastFrame`, and the zeros after it. A sync alone would not do: the system takes
   * such bytes for written. Nor would it do to read them once more: by then the system may have
   * let go of them, and show what is durable.
   *
   * Without room for the zeros a node starts all the same, and serves reads. Without room for the
   * batch (a disk that copies on write may have none) it does not: its writes are answered as
   * applied from now on, so they have to be durable.
   */
  async rewriteTail(lastFrame: Uint8Array): Promise<void> {
    writeBytes(this.#file, lastFrame, this.#tail - lastFrame.length);
    try {
      await this.wipe();
    } catch (error) {
      if (asRefusal(error) === null) throw error;
      await this.sync(); // no room for the zeros: the next append begins with them
    }
  }

  /** Writes the seal, or the same one again, and makes it durable. */
  async seal(): Promise<void> {
    this.#write(FrameKind.seal, new Uint8Array(0), 0);
    await this.sync();
  }

  /** Makes durable what was written. */
  sync(): Promise<void> {
    this.#context.syncs++;
    return synced(this.#file.syncData());
  }

  close(): void {
    if (!this.#closed) this.#file.close();
    this.#closed = true;
  }
}
