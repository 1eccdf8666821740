/**
 * What a node remembers of its clients, so that a write that is sent twice is applied once.
 *
 * Per client, a session remembers the results of the newest sequence numbers, a window of 1,024
 * below and including the highest one seen. A table leads from a client to the number of its
 * session; what a session remembers is kept outside the V8 heap as well, see `session_results.ts`.
 *
 * Sessions are listed in the order of their last use. What is remembered is bounded, in three
 * steps, each of which costs a client less than the next:
 *
 * 1. Past a first bound in bytes, each new result of a client costs the one before its `prevValue`.
 * 2. Past a second one, the clients that have been idle for longest lose first every `prevValue`,
 *    then their results, lowest sequence number first. A session's *floor* says up to where: what
 *    is at or below it is refused as stale, and so never applied twice.
 * 3. When there are too many clients, the one that has been idle for longest is forgotten whole.
 *    Only this can make an old write look new.
 *
 * Everything here depends only on the commands and their order, so replaying the log remembers,
 * forgets and evicts the same.
 *
 * @module
 */
import { type EncodedResult, Outcome } from "../../lib/key_value.ts";
import {
  CLIENT_BYTES_MAX,
  SESSION_BYTES_MAX,
  SESSION_BYTES_SOFT_MAX,
  SESSION_WINDOW,
  SESSIONS_MAX,
} from "../../lib/limits.ts";
import { copyBytes } from "../store/copy_bytes.ts";
import { expectEqual } from "../store/invariant.ts";
import { LruList } from "./lru_list.ts";
import { RememberedResult } from "./remembered_result.ts";
import { decodeFields, ResultEncoder } from "./result_codec.ts";
import { SessionResults } from "./session_results.ts";
import { Table, type TableOptions } from "../store/table.ts";

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
  /** The highest one whose result was dropped to make room; 0 if none was. */
  readonly floor: number;
}

/** The sessions of one node. */
export class Sessions {
  readonly #clients: Table;
  readonly #results: SessionResults;
  readonly #encoder: ResultEncoder;
  readonly #lastResult: RememberedResult;
  readonly #sessionsMax: number;
  readonly #bytesSoftMax: number;
  readonly #bytesMax: number;

  // For each session, a number from 1: its state, see `SessionState`.
  readonly #top: Float64Array;
  readonly #latest: Float64Array;
  readonly #floor: Float64Array;
  readonly #byLastUse: LruList;
  /** Numbers that are free again; those above `#numberMax` were never given out. */
  readonly #freeNumbers: number[] = [];
  #numberMax = 0;
  // Where to go on making room: sessions with nothing left to give are passed over once only.
  /** Sessions used before this one have no `prevValue` left; 0 if there are no sessions. */
  #shrinkNext = 0;
  /** Sessions used before this one have no results left; 0 if there are no sessions. */
  #dropNext = 0;
  #evictions = 0;
  #drops = 0;

  // The write that was judged last: its session, and its row there, or the one it would get.
  #session = 0;
  #row = 0;
  /** A session's number as the table of clients has it: 4 bytes, little-endian. */
  readonly #numberBytes = new Uint8Array(4);
  readonly #numberView = new DataView(this.#numberBytes.buffer);

  constructor(options: SessionsOptions) {
    this.#sessionsMax = options.sessionsMax ?? SESSIONS_MAX;
    this.#bytesSoftMax = options.bytesSoftMax ?? SESSION_BYTES_SOFT_MAX;
    this.#bytesMax = options.bytesMax ?? SESSION_BYTES_MAX;
    this.#clients = new Table(options);
    this.#results = new SessionResults(this.#sessionsMax, options.chunkBytes);
    this.#encoder = new ResultEncoder(this.#results);
    this.#lastResult = new RememberedResult(this.#results);
    this.#top = new Float64Array(this.#sessionsMax + 1);
    this.#latest = new Float64Array(this.#sessionsMax + 1);
    this.#floor = new Float64Array(this.#sessionsMax + 1);
    this.#byLastUse = new LruList(this.#sessionsMax);
  }

  /** Sessions remembered. */
  get size(): number {
    return this.#clients.size;
  }

  /** Bytes of remembered clients and results: the same wherever the same is remembered. */
  get bytes(): number {
    return this.#clients.liveBytes + this.#results.bytes;
  }

  /**
   * Bytes of memory that tables reserve for them, which depends on how they came about. For tests:
   * they hold it against what `admission.ts` keeps for sessions.
   */
  get reservedBytes(): number {
    return this.#clients.reservedBytes + this.#results.reservedBytes;
  }

  /** Sessions that were forgotten because there were too many, since the log began. */
  get evictions(): number {
    return this.#evictions;
  }

  /** Results that were dropped because there were too many bytes of them, since the log began. */
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
    const session = this.#clients.valueUint32(position);
    if (session !== this.#byLastUse.newest) {
      this.#unlink(session);
      this.#linkNewest(session);
    }
    return session;
  }

  /** The session of a client as in {@linkcode use}; 0 if it has none. Changes nothing. */
  find(bytes: Uint8Array, start: number, end: number): number {
    const position = this.#clients.find(bytes, start, end);
    return position === 0 ? 0 : this.#clients.valueUint32(position);
  }

  /** Decides what is to become of a write. `applied` says that it is new, and may be applied. */
  judge(session: number, seq: number, fingerprint: number): Outcome {
    if (seq <= this.#staleUpTo(session)) return Outcome.stale;
    this.#session = session;
    this.#row = this.#results.search(session, seq);
    if (!this.#results.has(session, this.#row, seq)) return Outcome.applied;
    return this.#results.fingerprintOf(session, this.#row) === fingerprint
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
    const results = this.#results;
    if (seq > this.#top[session]) {
      this.#top[session] = seq;
      this.#row -= this.#dropStale(session);
    }
    results.insert(session, this.#row, seq, logIndex, fingerprint);
    const prevLength = prevPosition === 0 ? 0 : store.valueLength(prevPosition);
    if (prevLength > 0) {
      const target = results.addPrevValue(session, this.#row, prevLength);
      store.copyValue(prevPosition, target, results.prevOffsetOf(session, this.#row));
    }
    if (this.bytes > this.#bytesSoftMax) this.#makeRoom(session);
    this.#latest[session] = seq;
    results.reclaim();
  }

  /** Drops what has left the window. Returns how many results that were. */
  #dropStale(session: number): number {
    const stale = this.#results.search(session, this.#staleUpTo(session) + 1);
    if (stale > 0) this.#results.dropLowest(session, stale);
    return stale;
  }

  /** The result that {@linkcode judge} found or {@linkcode remember} wrote, whichever was last. */
  lastResult(outcome: Outcome): EncodedResult {
    return this.#lastResult.moveTo(outcome, this.#session, this.#row);
  }

  /** Sequence numbers up to this one are no longer remembered. */
  #staleUpTo(session: number): number {
    return Math.max(this.#top[session] - SESSION_WINDOW, this.#floor[session]);
  }

  /** Makes room beside the new result of `session`, the one used last, as the module says. */
  #makeRoom(session: number): void {
    this.#forgetPrevValue(session, this.#latest[session]);
    while (this.bytes > this.#bytesMax && this.#shrinkNext !== session) {
      this.#forgetPrevValues(this.#shrinkNext);
      this.#shrinkNext = this.#byLastUse.newerThan(this.#shrinkNext);
    }
    while (this.bytes > this.#bytesMax && this.#dropNext !== session) {
      if (this.#results.count(this.#dropNext) > 0) this.#dropLowest(this.#dropNext);
      else this.#dropNext = this.#byLastUse.newerThan(this.#dropNext);
    }
  }

  /** Takes the `prevValue` of the result of `seq`, if that is remembered. */
  #forgetPrevValue(session: number, seq: number): void {
    const row = this.#results.search(session, seq);
    if (this.#results.has(session, row, seq)) this.#results.forgetPrevValue(session, row);
  }

  #forgetPrevValues(session: number): void {
    for (let row = this.#results.count(session) - 1; this.#results.valueCount(session) > 0; row--) {
      this.#results.forgetPrevValue(session, row);
    }
  }

  /** Raises the floor to the lowest result, which is dropped. */
  #dropLowest(session: number): void {
    this.#floor[session] = this.#results.seqOf(session, 0);
    this.#results.dropLowest(session, 1);
    this.#results.trim(session);
    this.#drops++;
  }

  /** The numbers of all sessions, the one that has been idle for longest first. */
  numbers(): Iterable<number> {
    return this.#byLastUse;
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
    return this.#results.copyClient(session, target);
  }

  /**
   * The results of a session, the one with the lowest sequence number first, each in the form of
   * `result_codec.ts`, in bytes that are valid until the next one of any session is taken.
   */
  *resultsOf(session: number): Generator<Uint8Array> {
    for (let row = 0; row < this.#results.count(session); row++) {
      yield this.#encoder.encode(session, row);
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

  /** Adds a result of this session, from bytes as {@linkcode resultsOf} has them. */
  restoreResult(session: number, bytes: Uint8Array, start: number, end: number): void {
    const results = this.#results;
    const { seq, logIndex, fingerprint, isForgotten, prevStart } = decodeFields(bytes, start);
    if (seq <= this.#staleUpTo(session)) return;
    const row = results.search(session, seq);
    results.insert(session, row, seq, logIndex, fingerprint);
    if (end > prevStart) {
      const target = results.addPrevValue(session, row, end - prevStart);
      copyBytes(bytes, prevStart, end, target, results.prevOffsetOf(session, row));
    } else if (isForgotten) {
      results.markForgotten(session, row);
    }
    results.reclaim();
  }

  /** Drops all results of a session: what its client has sent so far is refused as stale. */
  forgetResults(session: number): void {
    this.#results.dropLowest(session, this.#results.count(session));
    this.#results.trim(session);
    this.#results.reclaim();
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
   * @throws {Error} The list of sessions, the table, the results and the counts do not agree.
   */
  check(): void {
    this.#clients.check();
    this.#byLastUse.check();
    this.#results.check(this.#byLastUse);
    expectEqual("sessions by last use", Array.from(this.#byLastUse).length, this.size);
  }

  #create(bytes: Uint8Array, start: number, end: number): number {
    if (this.size >= this.#sessionsMax) this.#evictOldest();
    const session = this.#freeNumbers.pop() ?? ++this.#numberMax;
    this.#numberView.setUint32(0, session, true);
    this.#clients.set(bytes, start, end, this.#numberBytes, 0, 4);
    this.#results.create(session, bytes, start, end);
    this.#top[session] = 0;
    this.#latest[session] = 0;
    this.#floor[session] = 0;
    this.#linkNewest(session);
    return session;
  }

  #evictOldest(): void {
    const session = this.#byLastUse.oldest;
    const client = new Uint8Array(CLIENT_BYTES_MAX);
    this.#clients.delete(client, 0, this.#results.copyClient(session, client));
    this.#results.delete(session);
    this.#unlink(session);
    this.#freeNumbers.push(session);
    this.#evictions++;
  }

  #linkNewest(session: number): void {
    this.#byLastUse.add(session);
    if (this.#shrinkNext === 0) this.#shrinkNext = session;
    if (this.#dropNext === 0) this.#dropNext = session;
  }

  #unlink(session: number): void {
    const newer = this.#byLastUse.newerThan(session);
    if (this.#shrinkNext === session) this.#shrinkNext = newer;
    if (this.#dropNext === session) this.#dropNext = newer;
    this.#byLastUse.remove(session);
  }
}
