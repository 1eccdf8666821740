/**
 * Frames over a byte stream, both ways, many in flight. What is sent within one turn of the event
 * loop leaves in one write: with six nodes behind a router, the system calls are what costs.
 *
 * A frame, numbers little-endian:
 *
 * | offset | size | field |
 * | --- | --- | --- |
 * | 0 | 4 | length of what follows, from 5 |
 * | 4 | 4 | id: a reply has that of its request |
 * | 8 | 1 | type |
 * | 9 | … | payload |
 *
 * @module
 */
import { ByteWriter } from "./byte_writer.ts";
import type { Clock } from "./clock.ts";
import { LINK_BACKLOG_BYTES_MAX, LINK_FRAME_BYTES_MAX } from "./limits.ts";

const LENGTH_BYTES = 4;
const HEADER_BYTES = 9;
/** Of what follows the length field, when the payload is empty. */
const FRAME_BYTES_MIN = HEADER_BYTES - LENGTH_BYTES;
const BUFFER_BYTES = 64 * 1024;

/** A byte stream in both directions: a `Deno.Conn`, or a pipe in memory. */
export interface Duplex {
  /** Resolves to the count of bytes read, or null at the end. */
  read(bytes: Uint8Array): Promise<number | null>;
  /** Resolves to the count of bytes taken, at least one. */
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
}

/** The payload of a received frame, `bytes` from `start` to `end`; only valid during the call. */
export type FrameHandler = (
  type: number,
  id: number,
  bytes: Uint8Array<ArrayBuffer>,
  start: number,
  end: number,
) => void;

export interface WireOptions {
  /**
   * Bytes that may wait to leave; above that, nothing more is read. Only one end of a link may have
   * such a bound: if both had, and both were above it, neither would read again. Default:
   * `LINK_BACKLOG_BYTES_MAX`, for the end that replies; the one that asks has `Infinity`.
   */
  readonly backlogBytesMax?: number;
}

/** One end of a link. */
export class Wire {
  readonly #duplex: Duplex;
  readonly #clock: Clock;
  readonly #backlogBytesMax: number;
  #gathering = new ByteWriter(BUFFER_BYTES);
  #leaving = new ByteWriter(BUFFER_BYTES);
  #frameStart = 0;
  #flushScheduled = false;
  /** Resolves when the write under way is done. */
  #writing: Promise<void> | null = null;
  #closed = false;

  constructor(duplex: Duplex, clock: Clock, options: WireOptions = {}) {
    this.#duplex = duplex;
    this.#clock = clock;
    this.#backlogBytesMax = options.backlogBytesMax ?? LINK_BACKLOG_BYTES_MAX;
  }

  /** Bytes that have not left yet. */
  get backlog(): number {
    return this.#gathering.length + this.#leaving.length;
  }

  /** Whether it was closed, from here: nothing that is sent leaves any more. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Begins a frame. Its payload is written to what this returns; {@linkcode endFrame} sends it. */
  beginFrame(type: number, id: number): ByteWriter {
    const writer = this.#gathering;
    this.#frameStart = writer.length;
    writer.uint32(0);
    writer.uint32(id);
    writer.uint8(type);
    return writer;
  }

  endFrame(): void {
    const writer = this.#gathering;
    writer.uint32At(this.#frameStart, writer.length - this.#frameStart - LENGTH_BYTES);
    if (this.#flushScheduled || this.#closed) return;
    this.#flushScheduled = true;
    this.#clock.afterTurn(() => {
      this.#flushScheduled = false;
      this.#writing ??= this.#write();
    });
  }

  /**
   * Resolves when nothing waits to leave any more, or the wire is closed. What is sent in the
   * meantime is waited for too: whoever goes on sending may wait for ever.
   */
  async flush(): Promise<void> {
    while (this.backlog > 0 && !this.#closed) {
      this.#writing ??= this.#write();
      await this.#writing;
    }
  }

  /** Never rejects: a stream that cannot be written to is closed, and its reader gets to know. */
  async #write(): Promise<void> {
    await null; // not before the caller has stored this promise: at its end it is forgotten again
    try {
      while (this.#gathering.length > 0 && !this.#closed) {
        const writer = this.#gathering;
        this.#gathering = this.#leaving;
        this.#leaving = writer;
        let bytes = writer.written();
        while (bytes.length > 0) bytes = bytes.subarray(await this.#duplex.write(bytes));
        writer.clear(BUFFER_BYTES * 16);
      }
    } catch {
      this.close();
    }
    this.#writing = null;
  }

  /**
   * Reads frames until the stream ends or the wire is closed. Above `backlogBytesMax`, nothing more
   * is read until all has left: a peer that does not take its replies gets no further requests in.
   * What is sent meanwhile are replies to those that it got in before, and those are bounded.
   *
   * @throws {RangeError} What arrives is not a frame.
   */
  async read(handle: FrameHandler): Promise<void> {
    let bytes = new Uint8Array(BUFFER_BYTES);
    let filled = 0;
    while (!this.#closed) {
      const count = await this.#readSome(bytes.subarray(filled));
      if (count === null) return;
      filled += count;
      for (let early = true; early && !this.#closed;) {
        const used = this.#takeFrames(bytes, filled, handle);
        bytes.copyWithin(0, used, filled);
        filled -= used;
        early = this.backlog > this.#backlogBytesMax;
        if (early) await this.flush();
      }
      bytes = roomForFrame(bytes, filled);
    }
  }

  /** A stream that breaks has ended. */
  async #readSome(bytes: Uint8Array): Promise<number | null> {
    try {
      return await this.#duplex.read(bytes);
    } catch {
      return null;
    }
  }

  /**
   * Handles the whole frames among the first `filled` bytes, up to the one with which too much
   * waits to leave: small requests may have large replies. Returns how many bytes they were.
   */
  #takeFrames(bytes: Uint8Array<ArrayBuffer>, filled: number, handle: FrameHandler): number {
    const view = new DataView(bytes.buffer);
    let start = 0;
    while (filled - start >= LENGTH_BYTES) {
      const length = view.getUint32(start, true);
      if (length < FRAME_BYTES_MIN || length > LINK_FRAME_BYTES_MAX) {
        throw new RangeError(
          `Frame has ${length} bytes, expected ${FRAME_BYTES_MIN} to ${LINK_FRAME_BYTES_MAX}`,
        );
      }
      const end = start + LENGTH_BYTES + length;
      if (end > filled) break;
      handle(bytes[start + 8], view.getUint32(start + 4, true), bytes, start + HEADER_BYTES, end);
      start = end;
      if (this.#closed || this.backlog > this.#backlogBytesMax) break;
    }
    return start;
  }

  /** Closes the stream. What has not left is lost. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#duplex.close();
  }
}

/** `bytes`, or a larger copy of it if the frame that begins it needs that; or a usual one again. */
function roomForFrame(bytes: Uint8Array<ArrayBuffer>, filled: number): Uint8Array<ArrayBuffer> {
  let needed = BUFFER_BYTES;
  if (filled >= LENGTH_BYTES) {
    needed = Math.max(needed, LENGTH_BYTES + new DataView(bytes.buffer).getUint32(0, true));
  }
  if (needed > LENGTH_BYTES + LINK_FRAME_BYTES_MAX || needed === bytes.length) return bytes;
  const resized = new Uint8Array(needed);
  resized.set(bytes.subarray(0, filled));
  return resized;
}
