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
 * 1. Past a first bound in bytes, only the newest result of a client keeps its `prevValue`.
 * 2. Past a second one, the clients that have been idle for longest lose first that `prevValue`,
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
import { Outcome, type Result } from "../lib/key_value.ts";
import {
  CLIENT_BYTES_MAX,
  SESSION_BYTES_MAX,
  SESSION_BYTES_SOFT_MAX,
  SESSION_WINDOW,
  SESSIONS_MAX,
} from "../lib/limits.ts";
import { copyBytes } from "./copy_bytes.ts";
import { expectEqual } from "./invariant.ts";
import { LruList } from "./lru_list.ts";
import { decodeFields, ResultEncoder } from "./result_codec.ts";
import { SessionResults } from "./session_results.ts";
import { Table, type TableOptions } from "./table.ts";

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
  readonly #sessionsMax: number;
  readonly #bytesSoftMax: number;
  readonly #bytesMax: number;

  // Per session number, from 1: highest seq seen, seq applied last, floor.
  readonly #top: Float64Array;
  readonly #latest: Float64Array;
  readonly #floor: Float64Array;
  readonly #byLastUse: LruList;
  /** Session numbers that are free again; numbers above `#numbered` were never given out. */
  readonly #free: number[] = [];
  #numbered = 0;
  /**
   * Sessions older than `#shrinkNext` have no `prevValue` left; older than `#dropNext`, no results.
   */
  #shrinkNext = 0;
  #dropNext = 0;
  #evictions = 0;
  #drops = 0;

  /** The session judged last, and where the result of that sequence number is or would be. */
  #session = 0;
  #place = 0;
  readonly #number = new Uint8Array(4);
  readonly #numberView = new DataView(this.#number.buffer);

  constructor(options: SessionsOptions) {
    this.#sessionsMax = options.sessionsMax ?? SESSIONS_MAX;
    this.#bytesSoftMax = options.bytesSoftMax ?? SESSION_BYTES_SOFT_MAX;
    this.#bytesMax = options.bytesMax ?? SESSION_BYTES_MAX;
    this.#clients = new Table(options);
    this.#results = new SessionResults(this.#sessionsMax, options.chunkBytes);
    this.#encoder = new ResultEncoder(this.#results);
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

  /** What is to become of a write: `applied` says that it is new and may be. */
  judge(session: number, seq: number, fingerprint: number): Outcome {
    if (seq <= this.#staleUpTo(session)) return Outcome.stale;
    this.#session = session;
    this.#place = this.#results.search(session, seq);
    if (!this.#results.has(session, this.#place, seq)) return Outcome.applied;
    return this.#results.fingerprintOf(session, this.#place) === fingerprint
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
      this.#place -= this.#dropStale(session);
    }
    results.insert(session, this.#place, seq, logIndex, fingerprint);
    const prevLength = prevPosition === 0 ? 0 : store.valueLength(prevPosition);
    if (prevLength > 0) {
      const target = results.addPrevValue(session, this.#place, prevLength);
      store.copyValue(prevPosition, target, results.prevOffsetOf(session, this.#place));
    }
    if (this.bytes > this.#bytesSoftMax) this.#shed(session);
    this.#latest[session] = seq;
    results.settle();
  }

  /** Drops what has left the window. Returns how many results that were. */
  #dropStale(session: number): number {
    const stale = this.#results.search(session, this.#staleUpTo(session) + 1);
    if (stale > 0) this.#results.dropLowest(session, stale);
    return stale;
  }

  /** The result that {@linkcode judge} found or {@linkcode remember} wrote, whichever was last. */
  lastResult(outcome: Outcome): Result {
    return {
      outcome,
      logIndex: this.#results.logIndexOf(this.#session, this.#place),
      prevValue: this.#results.prevTextOf(this.#session, this.#place),
    };
  }

  /** Sequence numbers up to this one are no longer remembered. */
  #staleUpTo(session: number): number {
    return Math.max(this.#top[session] - SESSION_WINDOW, this.#floor[session]);
  }

  /** Makes room beside the new result in `session`; the module's comment says how. */
  #shed(session: number): void {
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

  /** Shrinks the result of `seq`, if remembered, to what tells a duplicate from a new write. */
  #forgetPrevValue(session: number, seq: number): void {
    const row = this.#results.search(session, seq);
    if (this.#results.has(session, row, seq)) this.#results.forgetPrevValue(session, row);
  }

  #forgetPrevValues(session: number): void {
    for (let row = this.#results.count(session) - 1; this.#results.wholeCount(session) > 0; row--) {
      this.#results.forgetPrevValue(session, row);
    }
  }

  /** Raises the floor to the lowest result, which is dropped. */
  #dropLowest(session: number): void {
    this.#floor[session] = this.#results.seqOf(session, 0);
    this.#results.dropLowest(session, 1);
    this.#results.fit(session);
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
   * The results of a session, the one with the highest sequence number first, each in the form of
   * `result_codec.ts`, in bytes that are valid until the next one of any session is taken.
   */
  *resultsOf(session: number): Generator<Uint8Array> {
    for (let row = this.#results.count(session) - 1; row >= 0; row--) {
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
    results.settle();
  }

  /** Drops all results of a session: what its client has sent so far is refused as stale. */
  forgetResults(session: number): void {
    this.#results.dropLowest(session, this.#results.count(session));
    this.#results.fit(session);
    this.#results.settle();
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
    const session = this.#free.pop() ?? ++this.#numbered;
    this.#numberView.setUint32(0, session, true);
    this.#clients.set(bytes, start, end, this.#number, 0, 4);
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
    this.#free.push(session);
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
