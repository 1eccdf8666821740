/**
 * What a node remembers of its clients, so that a write that is sent twice is applied once.
 *
 * Per client, a session remembers the results of the newest sequence numbers, a window of 1,024 below
 * and including the highest one seen. Results live in one table, outside the V8 heap, under the
 * session's number and the sequence modulo the window, so that a new result takes the place of the
 * one that leaves the window:
 *
 *     clients:  client bytes          → session number
 *     results:  session, seq mod 1024 → seq, log index, fingerprint, flags, prevValue
 *               session, 0xffff       → client bytes
 *
 * Sessions stand in a row in the order of their last use. Everything here depends only on the
 * commands and their order, so replaying the log remembers, forgets and evicts the same.
 *
 * @module
 */
import { setUint53 } from "../lib/byte_writer.ts";
import { Outcome, type Result } from "../lib/key_value.ts";
import {
  CLIENT_BYTES_MAX,
  SESSION_BYTES_MAX,
  SESSION_BYTES_SOFT_MAX,
  SESSION_WINDOW,
  SESSIONS_MAX,
} from "../lib/limits.ts";
import { Table } from "./table.ts";

// A result as bytes.
const SEQ_OFFSET = 0;
const LOG_INDEX_OFFSET = 8;
const FINGERPRINT_OFFSET = 16;
const FLAGS_OFFSET = 20;
const PREV_VALUE_OFFSET = 24;
/** Flag: `prevValue` was let go. */
const FORGOTTEN = 1;

/** A key of `results`: session number (4 bytes), place in the window or `CLIENT_SLOT` (2). */
const KEY_BYTES = 6;
const CLIENT_SLOT = 0xffff;

export interface SessionsOptions {
  readonly hashKey: readonly [number, number];
  readonly sessionsMax?: number;
  readonly bytesSoftMax?: number;
  readonly bytesMax?: number;
}

/** The sessions of one node. */
export class Sessions {
  readonly #clients: Table;
  readonly #results: Table;
  readonly #sessionsMax: number;
  readonly #bytesSoftMax: number;
  readonly #bytesMax: number;

  // Per session number, from 1: highest seq seen, seq applied last, results held, and the neighbours
  // in the order of use.
  readonly #top: Float64Array;
  readonly #latest: Float64Array;
  readonly #held: Uint16Array;
  readonly #older: Uint32Array;
  readonly #newer: Uint32Array;
  /** Session numbers that are free again; numbers above `#numbered` were never given out. */
  readonly #free: number[] = [];
  #numbered = 0;
  #oldest = 0;
  #newest = 0;
  #evictions = 0;

  /** Where in `results` the last search ended; 0 if nothing was there. */
  #place = 0;
  readonly #key = new Uint8Array(KEY_BYTES);
  readonly #keyView = new DataView(this.#key.buffer);
  #value = new Uint8Array(4096);
  #valueView = new DataView(this.#value.buffer);

  constructor(options: SessionsOptions) {
    const { hashKey } = options;
    this.#clients = new Table({ hashKey });
    this.#results = new Table({ hashKey });
    this.#sessionsMax = options.sessionsMax ?? SESSIONS_MAX;
    this.#bytesSoftMax = options.bytesSoftMax ?? SESSION_BYTES_SOFT_MAX;
    this.#bytesMax = options.bytesMax ?? SESSION_BYTES_MAX;
    this.#top = new Float64Array(this.#sessionsMax + 1);
    this.#latest = new Float64Array(this.#sessionsMax + 1);
    this.#held = new Uint16Array(this.#sessionsMax + 1);
    this.#older = new Uint32Array(this.#sessionsMax + 1);
    this.#newer = new Uint32Array(this.#sessionsMax + 1);
  }

  /** Sessions remembered. */
  get size(): number {
    return this.#clients.size;
  }

  /** Bytes of remembered clients and results. */
  get bytes(): number {
    return this.#clients.liveBytes + this.#results.liveBytes;
  }

  /** Sessions that were forgotten because there were too many. */
  get evictions(): number {
    return this.#evictions;
  }

  /**
   * The session of the client whose id is `bytes` from `start` to `end`; a new one if it has none.
   * It becomes the one used last.
   */
  use(bytes: Uint8Array, start: number, end: number): number {
    const position = this.#clients.find(bytes, start, end);
    if (position === 0) return this.#create(bytes, start, end);
    const session = this.#clients.valueUint32(position, 0);
    if (session !== this.#newest) {
      this.#unlink(session);
      this.#linkNewest(session);
    }
    return session;
  }

  /** What is to become of a write: `applied` says that it is new and may be. */
  judge(session: number, seq: number, fingerprint: number): Outcome {
    if (seq <= this.#top[session] - SESSION_WINDOW) return Outcome.stale;
    this.#find(session, seq);
    // The place may still hold the result whose place `seq` is to take.
    if (this.#place === 0 || this.#uint53(SEQ_OFFSET) !== seq) return Outcome.applied;
    return this.#results.valueUint32(this.#place, FINGERPRINT_OFFSET) === fingerprint
      ? Outcome.duplicate
      : Outcome.mismatch;
  }

  /**
   * Remembers the result of a write right after {@linkcode judge} called it new. `prevValue` is the
   * value at `prevPosition` in `store`, none if that is 0; it is read before this returns.
   */
  remember(
    session: number,
    seq: number,
    logIndex: number,
    fingerprint: number,
    store: Table,
    prevPosition: number,
  ): void {
    const prevLength = prevPosition === 0 ? 0 : store.valueLength(prevPosition);
    const length = PREV_VALUE_OFFSET + prevLength;
    this.#scratch(length);
    setUint53(this.#valueView, SEQ_OFFSET, seq);
    setUint53(this.#valueView, LOG_INDEX_OFFSET, logIndex);
    this.#valueView.setUint32(FINGERPRINT_OFFSET, fingerprint, true);
    this.#valueView.setUint32(FLAGS_OFFSET, 0, true);
    if (prevLength > 0) store.copyValue(prevPosition, this.#value, PREV_VALUE_OFFSET);
    if (this.#place === 0) this.#held[session]++;
    if (this.#place === 0 || !this.#results.overwrite(this.#place, this.#value, 0, length)) {
      this.#results.set(this.#key, 0, KEY_BYTES, this.#value, 0, length);
      if (this.bytes > this.#bytesSoftMax) this.#shed(session);
      this.#find(session, seq);
    }
    if (seq > this.#top[session]) this.#top[session] = seq;
    this.#latest[session] = seq;
  }

  /** The result that {@linkcode judge} found or {@linkcode remember} wrote, whichever was last. */
  lastResult(outcome: Outcome): Result {
    const forgotten = this.#results.valueUint32(this.#place, FLAGS_OFFSET) === FORGOTTEN;
    return {
      outcome,
      logIndex: this.#uint53(LOG_INDEX_OFFSET),
      prevValue: forgotten ? null : this.#results.valueText(this.#place, PREV_VALUE_OFFSET),
    };
  }

  /** Looks where the result of `seq` is or would be. */
  #find(session: number, seq: number): void {
    this.#setKey(session, seq % SESSION_WINDOW);
    this.#place = this.#results.find(this.#key, 0, KEY_BYTES);
  }

  #uint53(offset: number): number {
    return this.#results.valueUint32(this.#place, offset + 4) * 0x1_0000_0000 +
      this.#results.valueUint32(this.#place, offset);
  }

  #setKey(session: number, slot: number): void {
    this.#keyView.setUint32(0, session, true);
    this.#keyView.setUint16(4, slot, true);
  }

  /** `#value` with room for `length` bytes. */
  #scratch(length: number): Uint8Array {
    if (this.#value.length < length) {
      this.#value = new Uint8Array(length * 2);
      this.#valueView = new DataView(this.#value.buffer);
    }
    return this.#value;
  }

  /** Makes room by letting go of older `prevValue`s and, far above the bound, of idle sessions. */
  #shed(session: number): void {
    this.#forgetPrevValue(session, this.#latest[session]);
    while (this.bytes > this.#bytesMax && this.#oldest !== session) this.#evictOldest();
  }

  /** Shrinks the result of `seq` to what tells a duplicate from a new write. */
  #forgetPrevValue(session: number, seq: number): void {
    this.#find(session, seq);
    if (this.#place === 0 || this.#uint53(SEQ_OFFSET) !== seq) return; // it has left the window
    this.#results.copyValue(this.#place, this.#scratch(this.#results.valueLength(this.#place)), 0);
    this.#valueView.setUint32(FLAGS_OFFSET, FORGOTTEN, true);
    this.#results.set(this.#key, 0, KEY_BYTES, this.#value, 0, PREV_VALUE_OFFSET);
  }

  /**
   * Walks over all sessions, which takes long: for tests and doctors.
   *
   * @throws {Error} The row of sessions, the tables and the counts do not agree.
   */
  check(): void {
    this.#clients.check();
    this.#results.check();
    let sessions = 0;
    let results = 0;
    for (let session = this.#oldest, older = 0; session !== 0; session = this.#newer[session]) {
      if (this.#older[session] !== older) throw new Error(`Session ${session} is out of row`);
      older = session;
      sessions++;
      results += 1 + this.#held[session]; // its client's id is in the table too
    }
    if (sessions !== this.size || results !== this.#results.size) {
      throw new Error(
        `Sessions in row are ${sessions} with ${results} entries, ` +
          `expected ${this.size} with ${this.#results.size}`,
      );
    }
  }

  #create(bytes: Uint8Array, start: number, end: number): number {
    if (this.size >= this.#sessionsMax) this.#evictOldest();
    const session = this.#free.pop() ?? ++this.#numbered;
    this.#valueView.setUint32(0, session, true);
    this.#clients.set(bytes, start, end, this.#value, 0, 4);
    this.#setKey(session, CLIENT_SLOT);
    this.#results.set(this.#key, 0, KEY_BYTES, bytes, start, end);
    this.#top[session] = 0;
    this.#latest[session] = 0;
    this.#held[session] = 0;
    this.#linkNewest(session);
    return session;
  }

  #evictOldest(): void {
    const session = this.#oldest;
    const client = new Uint8Array(CLIENT_BYTES_MAX);
    this.#setKey(session, CLIENT_SLOT);
    const length = this.#results.copyValue(this.#results.find(this.#key, 0, KEY_BYTES), client, 0);
    this.#results.delete(this.#key, 0, KEY_BYTES);
    this.#clients.delete(client, 0, length);
    for (let seq = this.#top[session]; this.#held[session] > 0; seq--) {
      this.#setKey(session, seq % SESSION_WINDOW);
      if (this.#results.delete(this.#key, 0, KEY_BYTES)) this.#held[session]--;
    }
    this.#unlink(session);
    this.#free.push(session);
    this.#evictions++;
  }

  #linkNewest(session: number): void {
    this.#older[session] = this.#newest;
    this.#newer[session] = 0;
    if (this.#newest !== 0) this.#newer[this.#newest] = session;
    else this.#oldest = session;
    this.#newest = session;
  }

  #unlink(session: number): void {
    const older = this.#older[session];
    const newer = this.#newer[session];
    if (older !== 0) this.#newer[older] = newer;
    else this.#oldest = newer;
    if (newer !== 0) this.#older[newer] = older;
    else this.#newest = older;
  }
}
