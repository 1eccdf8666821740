/**
 * The list of a least-recently-used cache: doubly linked, in typed arrays.
 *
 * @module
 */
import { expectEqual } from "../store/invariant.ts";

/** Numbers from 1, in the order of their last use; 0 stands for "none". */
export class LruList {
  readonly #older: Uint32Array;
  readonly #newer: Uint32Array;
  #oldest = 0;
  #newest = 0;

  /** An empty list, of numbers up to `max`. */
  constructor(max: number) {
    this.#older = new Uint32Array(max + 1);
    this.#newer = new Uint32Array(max + 1);
  }

  /** The number whose last use is longest ago; 0 if there is none. */
  get oldest(): number {
    return this.#oldest;
  }

  /** The number that was used last; 0 if there is none. */
  get newest(): number {
    return this.#newest;
  }

  /** The number that was used next after `number`; 0 if that was used last. */
  newerThan(number: number): number {
    return this.#newer[number];
  }

  /** Adds a number that is not in the list, as the one used last. */
  add(number: number): void {
    this.#older[number] = this.#newest;
    this.#newer[number] = 0;
    if (this.#newest !== 0) this.#newer[this.#newest] = number;
    else this.#oldest = number;
    this.#newest = number;
  }

  remove(number: number): void {
    const older = this.#older[number];
    const newer = this.#newer[number];
    if (older !== 0) this.#newer[older] = newer;
    else this.#oldest = newer;
    if (newer !== 0) this.#older[newer] = older;
    else this.#newest = older;
  }

  /** The numbers, oldest first. */
  *[Symbol.iterator](): Generator<number> {
    for (let number = this.#oldest; number !== 0; number = this.#newer[number]) yield number;
  }

  /** @throws {Error} The links in the one direction are not those in the other. */
  check(): void {
    let older = 0;
    for (const number of this) {
      expectEqual(`older link of ${number}`, this.#older[number], older);
      older = number;
    }
    expectEqual("newest number", this.#newest, older);
  }
}
