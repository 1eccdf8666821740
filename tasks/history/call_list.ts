/**
 * Calls and returns in the order of time, as a linked list out of which operations can be lifted,
 * and put back in the reverse order.
 *
 * An entry is a number from 1; 0 is both ends of the list. Operations are known by an index from 0,
 * in the order of their calls. An operation that need not have ended has a call only.
 *
 * @module
 */

/** When an operation was called, and when it had returned: `Infinity` if it need not have. */
export interface Call {
  readonly invokedAt: number;
  readonly completedAt: number;
}

export class CallList {
  /** The index of a call, `~index` of a return. */
  readonly #entries: Int32Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #callOf: Int32Array;
  /** 0 where there is none. */
  readonly #returnOf: Int32Array;
  readonly #callsBefore: Int32Array;
  /** Returns that are in the list. */
  #returns: number;

  /** @param calls In the order of `invokedAt`. What happened at the same time overlaps. */
  constructor(calls: readonly Call[]) {
    const ended = [...calls.keys()].filter((index) => calls[index].completedAt !== Infinity)
      .sort((one, other) => calls[one].completedAt - calls[other].completedAt);
    const count = calls.length + ended.length;
    this.#entries = new Int32Array(count + 1);
    this.#next = Int32Array.from({ length: count + 1 }, (_, i) => i < count ? i + 1 : 0);
    this.#previous = Int32Array.from({ length: count + 1 }, (_, i) => i > 0 ? i - 1 : count);
    this.#callOf = new Int32Array(calls.length);
    this.#returnOf = new Int32Array(calls.length);
    this.#callsBefore = new Int32Array(count + 1);
    this.#returns = ended.length;
    this.#fill(calls, ended);
  }

  #fill(calls: readonly Call[], ended: readonly number[]): void {
    let entry = 0;
    let call = 0;
    const fillCalls = (end: number) => {
      for (; call < calls.length && calls[call].invokedAt <= end; call++) {
        this.#callsBefore[++entry] = call;
        this.#entries[entry] = call;
        this.#callOf[call] = entry;
      }
    };
    for (const index of ended) {
      fillCalls(calls[index].completedAt);
      this.#callsBefore[++entry] = call;
      this.#entries[entry] = ~index;
      this.#returnOf[index] = entry;
    }
    fillCalls(Infinity);
  }

  /** Whether every operation that has a return was lifted out. */
  get isDone(): boolean {
    return this.#returns === 0;
  }

  /** The first entry after one; after 0 the first of all. */
  next(entry: number): number {
    return this.#next[entry];
  }

  previous(entry: number): number {
    return this.#previous[entry];
  }

  isCall(entry: number): boolean {
    return entry !== 0 && this.#entries[entry] >= 0;
  }

  /** The operation whose call or return an entry is. */
  indexAt(entry: number): number {
    const index = this.#entries[entry];
    return index >= 0 ? index : ~index;
  }

  /** How many calls stand before an entry, lifted out or not. */
  callsBefore(entry: number): number {
    return this.#callsBefore[entry];
  }

  /** Takes an operation out. */
  lift(index: number): void {
    this.#unlink(this.#callOf[index]);
    if (this.#returnOf[index] === 0) return;
    this.#unlink(this.#returnOf[index]);
    this.#returns--;
  }

  /** Puts back the operation that was taken out last. */
  putBack(index: number): void {
    if (this.#returnOf[index] !== 0) {
      this.#relink(this.#returnOf[index]);
      this.#returns++;
    }
    this.#relink(this.#callOf[index]);
  }

  #unlink(entry: number): void {
    this.#next[this.#previous[entry]] = this.#next[entry];
    this.#previous[this.#next[entry]] = this.#previous[entry];
  }

  #relink(entry: number): void {
    this.#next[this.#previous[entry]] = entry;
    this.#previous[this.#next[entry]] = entry;
  }
}
