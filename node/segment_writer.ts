/**
 * One segment of the log while it is written: frames at its tail, zeros filled in ahead of them,
 * the seal when it is left. `log_format.ts` says why in that order.
 *
 * @module
 */
import { join } from "@std/path";
import { UnavailableError } from "../lib/key_value.ts";
import { createFile, type Disk, type DiskFile, writeBytes } from "./disk.ts";
import { asRefusal, synced } from "./disk_errors.ts";
import { FrameBuffer } from "./frame_buffer.ts";
import {
  encodeFileHeader,
  type FileHeader,
  frameBytes,
  FrameKind,
  Mark,
  SECTOR_BYTES,
  segmentName,
} from "./log_format.ts";
import type { SegmentScan } from "./log_scan.ts";

/** What the segments of a log have in common. */
export class SegmentContext {
  /** By which the filled part of a segment grows. */
  readonly zeros: Uint8Array;
  readonly frames = new FrameBuffer();
  /** Counts since the log was opened; without the frames of seals. */
  syncs = 0;
  bytesAppended = 0;

  constructor(fillBytes: number) {
    this.zeros = new Uint8Array(fillBytes);
  }
}

/** How far a segment is written. */
interface SegmentState {
  readonly firstIndex: number;
  /** Of the record that comes next. */
  readonly nextIndex: number;
  /** Where the next frame goes, and how far zeros follow. */
  readonly tail: number;
  readonly filled: number;
  /** From the tail on: bytes of which nobody knows that they are durable zeros. */
  readonly spoiledBytes: number;
  /** To which the next frame is chained. */
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
  /** From the tail on: bytes in place of which zeros have to be made durable, before any frame. */
  #spoiledBytes: number;
  #closed = false;

  private constructor(file: DiskFile, state: SegmentState, context: SegmentContext) {
    this.#file = file;
    this.#context = context;
    this.firstIndex = state.firstIndex;
    this.#nextIndex = state.nextIndex;
    this.#tail = state.tail;
    this.#filled = state.filled;
    this.#spoiledBytes = state.spoiledBytes;
    this.#chain = state.chain;
  }

  /** Creates the segment that begins with this header. After a refusal it may be called again. */
  static async create(
    disk: Disk,
    directory: string,
    header: FileHeader,
    context: SegmentContext,
  ): Promise<SegmentWriter> {
    const { firstIndex } = header;
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
      spoiledBytes: 0,
      chain: checksum,
    };
    return new SegmentWriter(await disk.open(join(directory, name), "write"), state, context);
  }

  /**
   * Takes up a segment where a scan found the end of its frames. What the scan read may be in
   * memory alone: {@linkcode settle} comes before the first frame.
   */
  static async open(
    disk: Disk,
    directory: string,
    scan: SegmentScan,
    context: SegmentContext,
  ): Promise<SegmentWriter> {
    const { name, firstIndex, tail, sizeBytes, chain } = scan;
    const filled = sizeBytes - sizeBytes % SECTOR_BYTES;
    const state = {
      firstIndex,
      nextIndex: firstIndex + scan.records,
      tail,
      filled,
      spoiledBytes: filled - tail,
      chain,
    };
    return new SegmentWriter(await disk.open(join(directory, name), "write"), state, context);
  }

  /** Of the record that comes next. */
  get nextIndex(): number {
    return this.#nextIndex;
  }

  /** Bytes that hold frames, and the header. */
  get tail(): number {
    return this.#tail;
  }

  /** To which the header of the next segment is chained. */
  get chain(): number {
    return this.#chain;
  }

  /** Whether there is no frame in it. */
  get isEmpty(): boolean {
    return this.#tail === SECTOR_BYTES;
  }

  /** Whether something else than zeros may follow the tail: {@linkcode wipe} comes first then. */
  get isSpoiled(): boolean {
    return this.#spoiledBytes > 0;
  }

  /** Bytes that the segment needs once it has a frame with such a body, and its seal. */
  bytesWith(bodyLength: number): number {
    return this.#tail + frameBytes(bodyLength) + SECTOR_BYTES;
  }

  /**
   * Appends a batch of `count` records, and resolves when it is durable.
   *
   * @throws {UnavailableError} A part of it may still be there, see {@linkcode isSpoiled}.
   */
  append(body: Uint8Array, count: number): Promise<void> {
    // After the frame there is always room for the seal, and zeros that are durable.
    const needed = this.bytesWith(body.length);
    if (needed > this.#filled) return this.#fill(needed).then(() => this.append(body, count));
    const length = frameBytes(body.length);
    let checksum: number;
    try {
      checksum = this.#write(FrameKind.batch, body, count);
    } catch (error) {
      return this.#takeBack(length, error);
    }
    return this.sync().then(() => {
      this.#chain = checksum;
      this.#tail += length;
      this.#nextIndex += count;
      this.#context.bytesAppended += length;
    });
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
   * Rejects with `error`, when nothing is left of a frame that the disk had no room for. Most disks
   * take a frame always, as its place was filled with zeros; one that copies on write may not.
   */
  async #takeBack(length: number, error: unknown): Promise<never> {
    if (asRefusal(error) === null) throw error;
    this.#spoiledBytes = length;
    try {
      await this.wipe();
    } catch (cause) {
      if (asRefusal(cause) === null) throw cause;
      throw new UnavailableError(
        "Disk is full, and cannot take back a part of a batch: whether this write will be " +
          "applied is unknown until there is space",
        { cause },
      );
    }
    throw error;
  }

  /** Puts zeros back where the next frame goes: it may only be written over durable ones. */
  async wipe(): Promise<void> {
    this.#writeZeros(this.#spoiledBytes);
    await this.sync();
    this.#spoiledBytes = 0;
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
   */
  async settle(lastFrame: Uint8Array): Promise<void> {
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
