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
import { Outcome } from "../lib/key_value.ts";
import {
  CLIENT_BYTES_MAX,
  SESSION_BYTES_MAX,
  SESSION_BYTES_SOFT_MAX,
  SESSION_WINDOW,
  SESSIONS_MAX,
} from "../lib/limits.ts";
import { Table } from "./table.ts";

/** Result as bytes: seq, log index, fingerprint, flags, and from here on `prevValue`. */
const PREV_VALUE_OFFSET = 24;
const FORGOTTEN = 1;
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

  /** Per session number, from 1: highest seq seen, results held, neighbours in the order of use. */
  readonly #top: Float64Array;
  readonly #held: Uint16Array;
  readonly #older: Uint32Array;
  readonly #newer: Uint32Array;
  /** Session numbers that are free again; numbers above `#numbered` were never given out. */
  readonly #free: number[] = [];
  #numbered = 0;
  #oldest = 0;
  #newest = 0;
  #evictions = 0;

  readonly #key = new Uint8Array(6);
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
    const position = this.#find(session, seq);
    if (position === 0) return Outcome.applied;
    return this.#results.valueUint32(position, 16) === fingerprint
      ? Outcome.duplicate
      : Outcome.mismatch;
  }

  /**
   * Remembers the result of a write that {@linkcode judge} called new. `prevValue` is the value at
   * `prevPosition` in `store`, none if that is 0: it has to be called before the store is changed.
   */
  remember(
    session: number,
    seq: number,
    logIndex: number,
    fingerprint: number,
    store: Table,
    prevPosition: number,
  ): void {
    const length = prevPosition === 0 ? 0 : store.valueLength(prevPosition);
    this.#reserveValue(PREV_VALUE_OFFSET + length);
    if (length > 0) store.copyValue(prevPosition, this.#value, PREV_VALUE_OFFSET);
    setUint53(this.#valueView, 0, seq);
    setUint53(this.#valueView, 8, logIndex);
    this.#valueView.setUint32(16, fingerprint, true);
    this.#valueView.setUint32(20, 0, true);
    const top = this.#top[session];
    if (seq > top) {
      if (this.bytes > this.#bytesSoftMax) this.#forgetPrevValue(session, top);
      this.#top[session] = seq;
    }
    this.#setKey(session, seq % SESSION_WINDOW);
    const held = this.#results.size;
    this.#results.set(this.#key, 0, 6, this.#value, 0, PREV_VALUE_OFFSET + length);
    this.#held[session] += this.#results.size - held;
    while (this.bytes > this.#bytesMax && this.#oldest !== session) this.#evictOldest();
  }

  /** Log index of the remembered result. To be asked of remembered results only. */
  logIndex(session: number, seq: number): number {
    const position = this.#find(session, seq);
    return this.#results.valueUint32(position, 12) * 0x1_0000_0000 +
      this.#results.valueUint32(position, 8);
  }

  /** `prevValue` of the remembered result, or null if it was let go. */
  prevValue(session: number, seq: number): string | null {
    const position = this.#find(session, seq);
    if (this.#results.valueUint32(position, 20) === FORGOTTEN) return null;
    return this.#results.valueText(position, PREV_VALUE_OFFSET);
  }

  /** Position in `#results` of the remembered result of `seq`, 0 if there is none. */
  #find(session: number, seq: number): number {
    this.#setKey(session, seq % SESSION_WINDOW);
    const position = this.#results.find(this.#key, 0, 6);
    if (position === 0) return 0;
    // The place may still hold the result that `seq` will take the place of.
    const remembered = this.#results.valueUint32(position, 4) * 0x1_0000_0000 +
      this.#results.valueUint32(position, 0);
    return remembered === seq ? position : 0;
  }

  #setKey(session: number, slot: number): void {
    this.#keyView.setUint32(0, session, true);
    this.#keyView.setUint16(4, slot, true);
  }

  #reserveValue(length: number): void {
    if (this.#value.length >= length) return;
    this.#value = new Uint8Array(length * 2);
    this.#valueView = new DataView(this.#value.buffer);
  }

  /** Shrinks the result of `seq` to what tells a duplicate from a new write. */
  #forgetPrevValue(session: number, seq: number): void {
    const position = this.#find(session, seq);
    if (position === 0) return;
    const value = new Uint8Array(PREV_VALUE_OFFSET);
    for (let offset = 0; offset < 20; offset += 4) {
      new DataView(value.buffer).setUint32(
        offset,
        this.#results.valueUint32(position, offset),
        true,
      );
    }
    value[20] = FORGOTTEN;
    this.#results.set(this.#key, 0, 6, value, 0, PREV_VALUE_OFFSET);
  }

  #create(bytes: Uint8Array, start: number, end: number): number {
    if (this.size >= this.#sessionsMax) this.#evictOldest();
    const session = this.#free.pop() ?? ++this.#numbered;
    this.#valueView.setUint32(0, session, true);
    this.#clients.set(bytes, start, end, this.#value, 0, 4);
    this.#setKey(session, CLIENT_SLOT);
    this.#results.set(this.#key, 0, 6, bytes, start, end);
    this.#top[session] = 0;
    this.#held[session] = 0;
    this.#linkNewest(session);
    return session;
  }

  #evictOldest(): void {
    const session = this.#oldest;
    const client = new Uint8Array(CLIENT_BYTES_MAX);
    this.#setKey(session, CLIENT_SLOT);
    const length = this.#results.copyValue(this.#results.find(this.#key, 0, 6), client, 0);
    this.#results.delete(this.#key, 0, 6);
    this.#clients.delete(client, 0, length);
    for (let seq = this.#top[session]; this.#held[session] > 0; seq--) {
      this.#setKey(session, seq % SESSION_WINDOW);
      if (this.#results.delete(this.#key, 0, 6)) this.#held[session]--;
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
