/**
 * Random numbers that a name decides: the same name, the same numbers.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

/** One stream of random numbers. */
export class Random {
  readonly #name: string;
  readonly #generator: ReturnType<typeof xoroshiro128plus>;

  constructor(name: string) {
    this.#name = name;
    this.#generator = xoroshiro128plus(crc32(name));
  }

  /** A stream of its own: what is drawn from it does not move what others draw. */
  fork(name: string): Random {
    return new Random(`${this.#name}/${name}`);
  }

  /** From 0 up to, without, 1. */
  fraction(): number {
    return uniformFloat64(this.#generator);
  }

  /** An integer from `min` to `max`, both included. */
  integer(min: number, max: number): number {
    return uniformInt(this.#generator, min, max);
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.integer(0, items.length - 1)];
  }

  /** Fills `target` and returns it. */
  bytes<T extends Uint8Array>(target: T): T {
    for (let i = 0; i < target.length; i++) target[i] = this.integer(0, 255);
    return target;
  }
}
