/**
 * Frames over a byte stream, both ways, many in flight. What is sent within one turn of the event
 * loop is written in one call: with six nodes behind a router, system calls are the main cost.
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
import { decodeUtf8 } from "./utf8.ts";

const LENGTH_BYTES = 4;
const ID_OFFSET = 4;
const TYPE_OFFSET = 8;
const HEADER_BYTES = 9;
/** What the length field says when the payload is empty. */
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

/**
 * A received frame. One object is moved over all frames in a receive buffer: it is valid during the
 * call that it is handed to, and not afterwards.
 */
export class Frame {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly view: DataView<ArrayBuffer>;
  type = 0;
  id = 0;
  /** The payload is in `bytes` from here to `end`. */
  start = 0;
  end = 0;

  /** Appends the payload to `writer`. Bound to the frame, so that it can be passed as it is. */
  readonly copyTo = (writer: ByteWriter): void => {
    writer.bytes(this.bytes, this.start, this.end);
  };

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /**
   * Moves to the frame whose length field is at `offset`. False, without moving, if not all of it
   * is among the first `filled` bytes.
   *
   * @throws {RangeError} It is longer or shorter than a frame can be.
   */
  moveTo(offset: number, filled: number): boolean {
    if (filled - offset < LENGTH_BYTES) return false;
    const length = this.view.getUint32(offset, true);
    if (length < FRAME_BYTES_MIN || length > LINK_FRAME_BYTES_MAX) {
      throw new RangeError(
        `Frame has ${length} bytes, expected ${FRAME_BYTES_MIN} to ${LINK_FRAME_BYTES_MAX}`,
      );
    }
    const end = offset + LENGTH_BYTES + length;
    if (end > filled) return false;
    this.id = this.view.getUint32(offset + ID_OFFSET, true);
    this.type = this.bytes[offset + TYPE_OFFSET];
    this.start = offset + HEADER_BYTES;
    this.end = end;
    return true;
  }

  /** The UTF-8 in `bytes` from `start` to `end` as text; by default all of the payload. */
  text(start: number = this.start, end: number = this.end): string {
    return decodeUtf8(this.bytes, start, end);
  }
}

/** Takes a received frame. It must not keep it, see {@linkcode Frame}. */
export type FrameHandler = (frame: Frame) => void;

export interface WireOptions {
  /**
   * Unsent bytes above which nothing more is read. Only one end of a link may have such a bound: if
   * both had, and both were above it, neither would read again. Default: `LINK_BACKLOG_BYTES_MAX`,
   * for the end that replies; the end that asks has `Infinity`.
   */
  readonly backlogBytesMax?: number;
}

/** One end of a link. */
export class Wire {
  readonly #duplex: Duplex;
  readonly #clock: Clock;
  readonly #backlogBytesMax: number;
  /** Frames for the next write, and those of the write that is under way. */
  #queued = new ByteWriter(BUFFER_BYTES);
  #writing = new ByteWriter(BUFFER_BYTES);
  /** Bytes of the latter that the stream has not taken yet. */
  #unwritten = 0;
  /** Where in `#queued` the frame starts that was begun last. */
  #frameStart = 0;
  #writeScheduled = false;
  /** Resolves when the write that is under way has ended. */
  #written: Promise<void> | null = null;
  #receivedAtMs: number;
  #closed = false;

  constructor(duplex: Duplex, clock: Clock, options: WireOptions = {}) {
    this.#duplex = duplex;
    this.#clock = clock;
    this.#backlogBytesMax = options.backlogBytesMax ?? LINK_BACKLOG_BYTES_MAX;
    this.#receivedAtMs = clock.monotonic();
  }

  /** Unsent bytes: of frames that were sent here and are not written to the stream yet. */
  get backlog(): number {
    return this.#queued.length + this.#unwritten;
  }

  /** When bytes last arrived, on the monotonic clock; at first, when the wire was made. */
  get receivedAtMs(): number {
    return this.#receivedAtMs;
  }

  /** Whether this end is closed: what is sent from now on is lost. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Begins a frame. Its payload is written to what this returns; {@linkcode endFrame} sends it. */
  beginFrame(type: number, id: number): ByteWriter {
    const writer = this.#queued;
    this.#frameStart = writer.length;
    writer.uint32(0);
    writer.uint32(id);
    writer.uint8(type);
    return writer;
  }

  /** Gives the frame that was begun another type. */
  changeType(type: number): void {
    this.#queued.buffer[this.#frameStart + TYPE_OFFSET] = type;
  }

  endFrame(): void {
    const writer = this.#queued;
    writer.uint32At(this.#frameStart, writer.length - this.#frameStart - LENGTH_BYTES);
    if (this.#writeScheduled || this.#closed) return;
    this.#writeScheduled = true;
    this.#clock.afterTurn(() => {
      this.#writeScheduled = false;
      this.#written ??= this.#write();
    });
  }

  /**
   * Resolves when everything that was sent is written, or the wire is closed. It also waits for
   * what is sent in the meantime: for ever, if that does not stop.
   */
  async flush(): Promise<void> {
    while (this.backlog > 0 && !this.#closed) {
      this.#written ??= this.#write();
      await this.#written;
    }
  }

  /** Never rejects: a stream that cannot be written to is closed, which also ends the reading. */
  async #write(): Promise<void> {
    await null; // the caller has to store this promise before it can be forgotten below
    try {
      while (this.#queued.length > 0 && !this.#closed) {
        const writer = this.#queued;
        this.#queued = this.#writing;
        this.#writing = writer;
        const bytes = writer.written();
        for (this.#unwritten = bytes.length; this.#unwritten > 0;) {
          const rest = bytes.subarray(bytes.length - this.#unwritten);
          this.#unwritten -= await this.#duplex.write(rest);
        }
        writer.clear(BUFFER_BYTES * 16);
      }
    } catch {
      this.close();
    }
    this.#written = null;
  }

  /**
   * Reads frames until the stream ends or the wire is closed. While more than `backlogBytesMax` is
   * unsent, nothing is read: a peer that does not take its replies can make no further requests.
   * Replies to its earlier requests are still added; the user of the wire bounds them.
   *
   * @throws {RangeError} What arrives is not a frame.
   */
  async read(handle: FrameHandler): Promise<void> {
    let frame = new Frame(new Uint8Array(BUFFER_BYTES));
    let filled = 0;
    while (!this.#closed) {
      frame = withRoom(frame, filled);
      const count = await this.#readSome(frame.bytes.subarray(filled));
      if (count === null) return;
      this.#receivedAtMs = this.#clock.monotonic();
      filled += count;
      for (let isPaused = true; isPaused && !this.#closed;) {
        const used = this.#handleFrames(frame, filled, handle);
        frame.bytes.copyWithin(0, used, filled);
        filled -= used;
        isPaused = this.backlog > this.#backlogBytesMax;
        if (isPaused) await this.flush();
      }
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
   * Handles the whole frames among the first `filled` bytes, up to the one whose reply makes the
   * backlog too large: small requests may have large replies. Returns how many bytes they took.
   */
  #handleFrames(frame: Frame, filled: number, handle: FrameHandler): number {
    let used = 0;
    while (frame.moveTo(used, filled)) {
      handle(frame);
      used = frame.end;
      if (this.#closed || this.backlog > this.#backlogBytesMax) break;
    }
    return used;
  }

  /** Closes the stream. What is not written yet is lost. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#duplex.close();
  }
}

/**
 * The receive buffer to go on with: that of `frame`, unless the frame at its start, of which
 * `filled` bytes are there, needs a larger one, or the usual size is enough again.
 */
function withRoom(frame: Frame, filled: number): Frame {
  let size = BUFFER_BYTES;
  if (filled >= LENGTH_BYTES) size = Math.max(size, LENGTH_BYTES + frame.view.getUint32(0, true));
  if (size === frame.bytes.length) return frame;
  const bytes = new Uint8Array(size);
  bytes.set(frame.bytes.subarray(0, filled));
  return new Frame(bytes);
}
