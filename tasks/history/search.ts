/**
 * Looks for an order of the operations on one register that explains all their answers.
 *
 * The algorithm is that of Wing and Gong (Testing and Verifying Concurrent Objects, 1993) as Lowe
 * improved it (Testing for Linearizability, 2017): depth first, over a linked list of calls and
 * returns in the order of time. What stands before the first return in the list may come next; an
 * operation that is taken is lifted out of the list, and put back when it led nowhere. The
 * configurations that were visited (what was taken, and the value now) are remembered, so none is
 * visited twice.
 *
 *     c1  |--- put a ---|                    list: call put, call get, return put, return get
 *     c2       |--- get: a ---|              next: put, or get (but it has no "a" to read yet)
 *
 * Four things about this register make it fast enough for hundreds of thousands of operations:
 *
 * - A read that may come next and shows the value now is taken at once: that spoils nothing.
 * - A write without an answer is of use only right before an operation that shows its value, and of
 *   those that write the same value the one sent first is of the most use. So they are not in the
 *   list, and are counted by value.
 * - A value that others still have to show is not overwritten when nobody is left to write it
 *   again.
 * - A configuration is named by the first operation that is not taken, in order of invocation, the
 *   end of those that could have been, and one bit for each between them: a few characters, however
 *   long the history is.
 *
 * @module
 */

import { CallList } from "./call_list.ts";
import type { Operation } from "./history.ts";

/** What is known of an operation. */
export interface Step {
  readonly operation: Operation;
  /**
   * - `answered`: it took effect between its two times, and its answer is right.
   * - `pending`: it may have taken effect at any time after it was sent, and then its answer is
   *   right.
   * - `unknown`: a write that may have taken effect at any time after it was sent.
   */
  readonly role: "answered" | "pending" | "unknown";
}

/**
 * Undefined if there is an order, else the answered step that the search never got past. The
 * contradiction is near it, most likely with answers that came a little later.
 *
 * @param isFromStart Whether the register has no value at first; else it may hold any.
 */
export function findStuck(steps: readonly Step[], isFromStart: boolean): Step | undefined {
  return new Search(steps, isFromStart).run();
}

/** The value that a step shows to have been there: undefined if it shows none. */
export function shownBy({ role, operation }: Step): string | null | undefined {
  if (role === "unknown") return undefined;
  return shown(operation);
}

/** As {@linkcode shownBy}; `""` before a write stands for no value as well. */
export function shown({ answer }: Operation): string | null | undefined {
  if (answer.kind === "read") return answer.value;
  return answer.kind === "written" ? answer.prevValue ?? undefined : undefined;
}

/** A register that may hold any value. */
const ANY = -1;
/** No value, and the empty one, which a `prevValue` does not tell apart. */
const NONE = 0;
const EMPTY = 1;

/** A step that may come next. */
interface Candidate {
  readonly index: number;
  /** The value of the unknown write that has to come right before it, or -1. */
  readonly unknown: number;
}

/** What is left to try in a configuration, the best last. */
type Choice = Candidate[];

/** A step that was taken, and how to undo it. */
interface Taken extends Candidate {
  readonly stateBefore: number;
  /** What to try when it led nowhere; undefined if it is no choice. */
  readonly others?: Choice;
}

class Search {
  /** Answered and pending steps in order of invocation. An index below is one into this. */
  readonly #steps: readonly Step[];
  /** The values that step `index` may come right after; null for any. */
  readonly #sources: (readonly number[] | null)[];
  /** The value after step `index`. */
  readonly #results: Int32Array;
  /** When unknown writes of a value were sent, in order. */
  readonly #unknowns = new Map<number, number[]>();
  /** How many of them were taken; none is 0 here. */
  readonly #used = new Map<number, number>();
  /** How many steps in the list may come right after a value. */
  readonly #observers: Int32Array;
  /** How many answered steps in the list can come right after this value only. */
  readonly #dependents: Int32Array;
  /** How many steps in the list write a value. */
  readonly #writers: Int32Array;
  readonly #numbers = new Map<string | null, number>([[null, NONE], ["", EMPTY]]);

  readonly #list: CallList;
  readonly #isTaken: Uint8Array;
  readonly #taken: Taken[] = [];
  readonly #visited = new Set<string>();
  #state: number;
  #furthest = 0;

  constructor(steps: readonly Step[], isFromStart: boolean) {
    this.#steps = steps.filter(({ role }) => role !== "unknown")
      .sort((one, other) => one.operation.invokedAt - other.operation.invokedAt);
    this.#addUnknowns(steps);
    const isEmptyPossible = steps.some(({ operation: { kind, value, answer } }) =>
      kind === "put" ? value === "" : answer.kind === "read" && answer.value === ""
    );
    this.#sources = this.#steps.map((step) => this.#sourcesOf(step, isEmptyPossible));
    this.#results = Int32Array.from(this.#steps, (step) => this.#resultOf(step.operation));
    this.#observers = new Int32Array(this.#numbers.size);
    this.#dependents = new Int32Array(this.#numbers.size);
    this.#writers = new Int32Array(this.#numbers.size);
    for (const index of this.#steps.keys()) this.#count(index, 1);
    this.#list = new CallList(
      this.#steps.map(({ role, operation: { invokedAt, completedAt } }) => ({
        invokedAt,
        completedAt: role === "answered" ? completedAt : Infinity,
      })),
    );
    this.#isTaken = new Uint8Array(this.#steps.length);
    this.#state = isFromStart ? NONE : ANY;
  }

  #number(value: string | null): number {
    const number = this.#numbers.get(value) ?? this.#numbers.size;
    this.#numbers.set(value, number);
    return number;
  }

  #addUnknowns(steps: readonly Step[]): void {
    for (const { operation, role } of steps) {
      if (role !== "unknown") continue;
      const value = this.#resultOf(operation);
      const times = this.#unknowns.get(value);
      if (times === undefined) this.#unknowns.set(value, [operation.invokedAt]);
      else times.push(operation.invokedAt);
    }
    for (const times of this.#unknowns.values()) times.sort((one, other) => one - other);
  }

  #sourcesOf(step: Step, isEmptyPossible: boolean): readonly number[] | null {
    const value = shownBy(step);
    if (value === undefined) return null;
    if (value !== "" || step.operation.kind === "get") return [this.#number(value)];
    return isEmptyPossible ? [NONE, EMPTY] : [NONE];
  }

  #resultOf({ kind, value, answer }: Operation): number {
    if (kind === "put") return this.#number(value);
    return answer.kind === "read" ? this.#number(answer.value) : NONE;
  }

  /** Counts a step that is in the list again, or no more. */
  #count(index: number, change: 1 | -1): void {
    const sources = this.#sources[index] ?? [];
    for (const source of sources) this.#observers[source] += change;
    const { role, operation } = this.#steps[index];
    if (role === "answered" && sources.length === 1) this.#dependents[sources[0]] += change;
    if (operation.kind !== "get") this.#writers[this.#results[index]] += change;
  }

  run(): Step | undefined {
    let choice = this.#visit();
    while (!this.#list.isDone) {
      const candidate = choice?.pop();
      if (candidate !== undefined) {
        this.#take({ ...candidate, stateBefore: this.#state, others: choice });
        choice = this.#visit();
      } else {
        choice = this.#undo();
        if (choice === undefined) return this.#steps[this.#list.indexAt(this.#furthest)];
      }
    }
    return undefined;
  }

  /** Takes the reads of the value now. Undefined if nothing is left to do in what is there then. */
  #visit(): Choice | undefined {
    const list = this.#list;
    let entry = list.next(0);
    while (list.isCall(entry)) {
      const index = list.indexAt(entry);
      const previous = list.previous(entry);
      if (this.#isIdle(index)) {
        this.#take({ index, stateBefore: this.#state, unknown: -1 });
        entry = list.next(previous); // its return may have been the next entry
      } else entry = list.next(entry);
    }
    if (list.isDone) return undefined;
    this.#furthest = Math.max(this.#furthest, entry);
    const name = this.#configuration(entry);
    if (this.#visited.has(name)) return undefined;
    this.#visited.add(name);
    return this.#candidates(this.#steps[list.indexAt(entry)].operation.completedAt);
  }

  /** Whether a step fits and, whenever it is taken, changes nothing. */
  #isIdle(index: number): boolean {
    const sources = this.#sources[index];
    return sources !== null && sources.length === 1 && sources[0] === this.#state &&
      this.#results[index] === this.#state;
  }

  /** What was taken, and the value now, before the first return in the list. */
  #configuration(firstReturn: number): string {
    const first = this.#list.indexAt(this.#list.next(0));
    let name = `${first} ${this.#state}`;
    for (const [value, count] of this.#used) {
      if (this.#observers[value] > 0) name += ` ${value}:${count}`;
    }
    const end = this.#list.callsBefore(firstReturn);
    name += `/${end}/`; // without it, fewer bits could look like more that begin with zeros
    for (let start = first + 1; start < end; start += 16) {
      let bits = 0;
      for (let index = start; index < end && index < start + 16; index++) {
        bits = bits << 1 | this.#isTaken[index];
      }
      name += String.fromCharCode(bits);
    }
    return name;
  }

  /**
   * What may come next. Best is what shows the value now; worst, what needs an unknown write.
   *
   * @param deadline Time of the first return in the list.
   */
  #candidates(deadline: number): Choice {
    const [shows, follows, needs]: Candidate[][] = [[], [], []];
    const list = this.#list;
    for (let entry = list.next(0); list.isCall(entry); entry = list.next(entry)) {
      const index = list.indexAt(entry);
      const sources = this.#sources[index];
      if (this.#fits(index)) {
        if (!this.#mayLeave(index)) continue;
        (sources === null ? follows : shows).push({ index, unknown: -1 });
      } else if (this.#mayLeave(-1)) {
        for (const unknown of sources!) {
          if (this.#isUnknownLeft(unknown, deadline)) needs.push({ index, unknown });
        }
      }
    }
    return [...needs.reverse(), ...follows.reverse(), ...shows.reverse()];
  }

  /**
   * False if the value now would be gone for good, while another step than `index` depends on it.
   */
  #mayLeave(index: number): boolean {
    const state = this.#state;
    if (state === ANY || index >= 0 && this.#results[index] === state) return true;
    const sources = this.#sources[index];
    const isOne = sources?.length === 1 && sources[0] === state &&
      this.#steps[index].role === "answered";
    return this.#dependents[state] === (isOne ? 1 : 0) || this.#writers[state] > 0 ||
      this.#isUnknownLeft(state, Infinity);
  }

  #fits(index: number): boolean {
    const sources = this.#sources[index];
    return sources === null || this.#state === ANY || sources.includes(this.#state);
  }

  /** Whether there is an unknown write of a value that was sent by `deadline` and is not taken. */
  #isUnknownLeft(value: number, deadline: number): boolean {
    const times = this.#unknowns.get(value);
    const used = this.#used.get(value) ?? 0;
    return times !== undefined && used < times.length && times[used] <= deadline;
  }

  #take(taken: Taken): void {
    const { index, unknown } = taken;
    this.#taken.push(taken);
    this.#isTaken[index] = 1;
    this.#state = this.#results[index];
    if (unknown >= 0) this.#used.set(unknown, (this.#used.get(unknown) ?? 0) + 1);
    this.#count(index, -1);
    this.#list.lift(index);
  }

  /** Puts back steps up to one that had an alternative. Undefined if there was none. */
  #undo(): Choice | undefined {
    let taken: Taken | undefined;
    while ((taken = this.#taken.pop()) !== undefined) {
      const { index, stateBefore, unknown, others } = taken;
      this.#isTaken[index] = 0;
      this.#state = stateBefore;
      if (unknown >= 0) this.#giveBack(unknown);
      this.#count(index, 1);
      this.#list.putBack(index);
      if (others !== undefined) return others;
    }
    return undefined;
  }

  #giveBack(unknown: number): void {
    const used = this.#used.get(unknown)! - 1;
    if (used === 0) this.#used.delete(unknown);
    else this.#used.set(unknown, used);
  }
}
