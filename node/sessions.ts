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
 * Sessions stand in a row in the order of their last use. What is remembered is bounded, in three
 * steps, each of which costs a client less than the next:
 *
 * 1. Past a first bound in bytes, only the newest result of a client keeps its `prevValue`.
 * 2. Past a second one, the clients that have been idle for longest lose first that `prevValue`, then
 *    their results, lowest sequence number first. A session's *floor* says up to where: what is at or
 *    below it is refused as stale, and so never applied twice.
 * 3. When there are too many clients, the one that has been idle for longest is forgotten whole. Only
 *    this can make an old write look new.
 *
 * Everything here depends only on the commands and their order, so replaying the log remembers,
 * forgets and evicts the same.
 *
 * @module
 */
import { getUint53, setUint53 } from "../lib/byte_writer.ts";
import { Outcome, type Result } from "../lib/key_value.ts";
import {
  CLIENT_BYTES_MAX,
  SESSION_BYTES_MAX,
  SESSION_BYTES_SOFT_MAX,
  SESSION_WINDOW,
  SESSIONS_MAX,
} from "../lib/limits.ts";
import { SessionRow } from "./session_row.ts";
import { Table, type TableOptions } from "./table.ts";

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

/** The bounds of sessions, and the sizes of tables; each has its default. */
export interface SessionsOptions extends TableOptions {
  readonly sessionsMax?: number;
  readonly bytesSoftMax?: number;
  readonly bytesMax?: number;
}

/** What a session is beside its client and its results. */
export interface SessionState {
  /** The highest sequence number that was applied. */
  readonly top: number;
  /** The one that was applied last. */
  readonly latest: number;
  /** The highest one whose result was let go to make room; 0 if none was. */
  readonly floor: number;
}

/** A result as people read it. */
export interface RememberedResult {
  readonly seq: number;
  readonly logIndex: number;
  readonly prevValue: string | null;
}

/** Reads a result as {@linkcode Sessions.resultsOf} has it. */
export function decodeResult(bytes: Uint8Array): RememberedResult {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isForgotten = view.getUint32(FLAGS_OFFSET, true) === FORGOTTEN;
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  return {
    seq: getUint53(view, SEQ_OFFSET),
    logIndex: getUint53(view, LOG_INDEX_OFFSET),
    prevValue: isForgotten ? null : decoder.decode(bytes.subarray(PREV_VALUE_OFFSET)),
  };
}

/** The sessions of one node. */
export class Sessions {
  readonly #clients: Table;
  readonly #results: Table;
  readonly #sessionsMax: number;
  readonly #bytesSoftMax: number;
  readonly #bytesMax: number;

  // Per session number, from 1: highest seq seen, seq applied last, floor, results held, and how many
  // of those have a `prevValue` that could be let go.
  readonly #top: Float64Array;
  readonly #latest: Float64Array;
  readonly #floor: Float64Array;
  readonly #held: Uint16Array;
  readonly #whole: Uint16Array;
  readonly #row: SessionRow;
  /** Session numbers that are free again; numbers above `#numbered` were never given out. */
  readonly #free: number[] = [];
  #numbered = 0;
  /** All that are older in the row than these have no `prevValue`, and no result. */
  #shrinkNext = 0;
  #dropNext = 0;
  #evictions = 0;
  #drops = 0;

  /** Where in `results` the last search ended; 0 if nothing was there. */
  #place = 0;
  readonly #key = new Uint8Array(KEY_BYTES);
  readonly #keyView = new DataView(this.#key.buffer);
  #value = new Uint8Array(4096);
  #valueView = new DataView(this.#value.buffer);

  constructor(options: SessionsOptions) {
    this.#clients = new Table(options);
    this.#results = new Table(options);
    this.#sessionsMax = options.sessionsMax ?? SESSIONS_MAX;
    this.#bytesSoftMax = options.bytesSoftMax ?? SESSION_BYTES_SOFT_MAX;
    this.#bytesMax = options.bytesMax ?? SESSION_BYTES_MAX;
    this.#top = new Float64Array(this.#sessionsMax + 1);
    this.#latest = new Float64Array(this.#sessionsMax + 1);
    this.#floor = new Float64Array(this.#sessionsMax + 1);
    this.#held = new Uint16Array(this.#sessionsMax + 1);
    this.#whole = new Uint16Array(this.#sessionsMax + 1);
    this.#row = new SessionRow(this.#sessionsMax);
  }

  /** Sessions remembered. */
  get size(): number {
    return this.#clients.size;
  }

  /** Bytes of remembered clients and results. */
  get bytes(): number {
    return this.#clients.liveBytes + this.#results.liveBytes;
  }

  /** Sessions that were forgotten because there were too many, since the log began. */
  get evictions(): number {
    return this.#evictions;
  }

  /** Results that were let go because there were too many bytes of them, since the log began. */
  get drops(): number {
    return this.#drops;
  }

  /**
   * The session of the client whose id is `bytes` from `start` to `end`; a new one if it has none.
   * It becomes the one used last.
   */
  use(bytes: Uint8Array, start: number, end: number): number {
    const position = this.#clients.find(bytes, start, end);
    if (position === 0) return this.#create(bytes, start, end);
    const session = this.#clients.valueUint32(position, 0);
    if (session !== this.#row.newest) {
      this.#unlink(session);
      this.#linkNewest(session);
    }
    return session;
  }

  /** The session of a client as in {@linkcode use}; 0 if it has none. Changes nothing. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const position = this.#clients.find(bytes, start, end);
    return position === 0 ? 0 : this.#clients.valueUint32(position, 0);
  }

  /** What is to become of a write: `applied` says that it is new and may be. */
  judge(session: number, seq: number, fingerprint: number): Outcome {
    if (seq <= this.#staleUpTo(session)) return Outcome.stale;
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
    else if (this.#hasPrevValue()) this.#whole[session]--;
    if (prevLength > 0) this.#whole[session]++;
    if (this.#place === 0 || !this.#results.overwrite(this.#place, this.#value, 0, length)) {
      this.#results.set(this.#key, 0, KEY_BYTES, this.#value, 0, length);
      if (this.bytes > this.#bytesSoftMax) this.#shed(session, seq);
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

  /** Sequence numbers up to this one are no longer remembered. */
  #staleUpTo(session: number): number {
    return Math.max(this.#top[session] - SESSION_WINDOW, this.#floor[session]);
  }

  /** Whether the result at `#place` has a `prevValue` that could be let go. */
  #hasPrevValue(): boolean {
    return this.#results.valueLength(this.#place) > PREV_VALUE_OFFSET;
  }

  /** Makes room beside the result of `seq`, new in `session`; the module's comment says how. */
  #shed(session: number, seq: number): void {
    const latest = this.#latest[session];
    if (latest % SESSION_WINDOW !== seq % SESSION_WINDOW) this.#forgetPrevValue(session, latest);
    while (this.bytes > this.#bytesMax && this.#shrinkNext !== session) {
      this.#forgetPrevValues(this.#shrinkNext);
      this.#shrinkNext = this.#row.newerThan(this.#shrinkNext);
    }
    while (this.bytes > this.#bytesMax && this.#dropNext !== session) {
      if (this.#held[this.#dropNext] > 0) this.#dropLowest(this.#dropNext);
      else this.#dropNext = this.#row.newerThan(this.#dropNext);
    }
  }

  #forgetPrevValues(session: number): void {
    for (let seq = this.#top[session]; this.#whole[session] > 0; seq--) {
      this.#forgetPrevValue(session, seq);
    }
  }

  /** Shrinks the result in the place of `seq` to what tells a duplicate from a new write. */
  #forgetPrevValue(session: number, seq: number): void {
    this.#find(session, seq);
    if (this.#place === 0 || !this.#hasPrevValue()) return;
    this.#results.copyValue(this.#place, this.#scratch(this.#results.valueLength(this.#place)), 0);
    this.#valueView.setUint32(FLAGS_OFFSET, FORGOTTEN, true);
    this.#results.set(this.#key, 0, KEY_BYTES, this.#value, 0, PREV_VALUE_OFFSET);
    this.#whole[session]--;
  }

  /** Raises the floor by one, with the result that stood there. */
  #dropLowest(session: number): void {
    const seq = Math.max(this.#staleUpTo(session), 0) + 1;
    this.#floor[session] = seq;
    if (this.#deleteResult(session, seq)) this.#drops++;
  }

  /** Deletes what is in the place of `seq`. Whether something was. */
  #deleteResult(session: number, seq: number): boolean {
    this.#find(session, seq);
    if (this.#place === 0) return false;
    if (this.#hasPrevValue()) this.#whole[session]--;
    this.#held[session]--;
    return this.#results.delete(this.#key, 0, KEY_BYTES);
  }

  /** The numbers of all sessions, the one that has been idle for longest first. */
  numbers(): Iterable<number> {
    return this.#row;
  }

  stateOf(session: number): SessionState {
    return {
      top: this.#top[session],
      latest: this.#latest[session],
      floor: this.#floor[session],
    };
  }

  /** Copies the id of a session's client to the start of `target` and returns its length. */
  copyClient(session: number, target: Uint8Array): number {
    this.#setKey(session, CLIENT_SLOT);
    return this.#results.copyValue(this.#results.find(this.#key, 0, KEY_BYTES), target, 0);
  }

  /** The results of a session, each as bytes that are valid until the next one is taken. */
  *resultsOf(session: number): Generator<Uint8Array> {
    let left = this.#held[session];
    for (let seq = this.#top[session]; left > 0; seq--) {
      this.#find(session, seq);
      if (this.#place === 0) continue;
      left--;
      const target = this.#scratch(this.#results.valueLength(this.#place));
      yield target.subarray(0, this.#results.copyValue(this.#place, target, 0));
    }
  }

  /** Adds the session of the client in `bytes` from a snapshot, as the one used last. */
  restore(bytes: Uint8Array, start: number, end: number, state: SessionState): number {
    const session = this.#create(bytes, start, end);
    this.#top[session] = state.top;
    this.#latest[session] = state.latest;
    this.#floor[session] = state.floor;
    return session;
  }

  /** Adds a result of this session, as {@linkcode resultsOf} has it. */
  restoreResult(session: number, bytes: Uint8Array, start: number, end: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#setKey(session, getUint53(view, start + SEQ_OFFSET) % SESSION_WINDOW);
    this.#results.set(this.#key, 0, KEY_BYTES, bytes, start, end);
    this.#held[session]++;
    if (end - start > PREV_VALUE_OFFSET) this.#whole[session]++;
  }

  /** Lets go of all results of a session: what its client has sent so far is refused as stale. */
  forgetResults(session: number): void {
    for (let seq = this.#top[session]; this.#held[session] > 0; seq--) {
      this.#deleteResult(session, seq);
    }
    this.#floor[session] = this.#top[session];
  }

  /** Goes on counting from here. */
  restoreCounts(counts: { evictions: number; drops: number }): void {
    this.#evictions = counts.evictions;
    this.#drops = counts.drops;
  }

  /**
   * Walks over all sessions, which takes long: for tests and doctors.
   *
   * @throws {Error} The row of sessions, the tables and the counts do not agree.
   */
  check(): void {
    this.#clients.check();
    this.#results.check();
    this.#row.check();
    let sessions = 0;
    let results = 0;
    for (const session of this.#row) {
      sessions++;
      results += 1 + this.#held[session]; // its client's id is in the table too
      this.#checkWhole(session);
    }
    if (sessions !== this.size || results !== this.#results.size) {
      throw new Error(
        `Sessions in row are ${sessions} with ${results} entries, ` +
          `expected ${this.size} with ${this.#results.size}`,
      );
    }
  }

  #checkWhole(session: number): void {
    let whole = 0;
    for (let slot = 0; slot < SESSION_WINDOW; slot++) {
      this.#find(session, slot);
      if (this.#place !== 0 && this.#hasPrevValue()) whole++;
    }
    if (whole !== this.#whole[session]) {
      throw new Error(
        `Session ${session} has ${whole} previous values, expected ${this.#whole[session]}`,
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
    this.#floor[session] = 0;
    this.#held[session] = 0;
    this.#whole[session] = 0;
    this.#linkNewest(session);
    return session;
  }

  #evictOldest(): void {
    const session = this.#row.oldest;
    const client = new Uint8Array(CLIENT_BYTES_MAX);
    this.#setKey(session, CLIENT_SLOT);
    const length = this.#results.copyValue(this.#results.find(this.#key, 0, KEY_BYTES), client, 0);
    this.#results.delete(this.#key, 0, KEY_BYTES);
    this.#clients.delete(client, 0, length);
    for (let seq = this.#top[session]; this.#held[session] > 0; seq--) {
      this.#deleteResult(session, seq);
    }
    this.#unlink(session);
    this.#free.push(session);
    this.#evictions++;
  }

  #linkNewest(session: number): void {
    this.#row.add(session);
    if (this.#shrinkNext === 0) this.#shrinkNext = session;
    if (this.#dropNext === 0) this.#dropNext = session;
  }

  #unlink(session: number): void {
    const newer = this.#row.newerThan(session);
    if (this.#shrinkNext === session) this.#shrinkNext = newer;
    if (this.#dropNext === session) this.#dropNext = newer;
    this.#row.remove(session);
  }
}
