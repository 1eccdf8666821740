/**
 * What happened in a run, line by line, and a hash of all of it: two runs with the same hash were
 * the same run.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import type { SimulatedTime } from "./simulated_time.ts";

export class Trace {
  readonly lines: string[] = [];
  readonly #time: SimulatedTime;
  #hash = 0;

  constructor(time: SimulatedTime) {
    this.#time = time;
  }

  note(text: string): void {
    const line = `${this.#time.nowMs.toFixed(3).padStart(10)} ${text}`;
    this.#hash = crc32(line, this.#hash);
    this.lines.push(line);
  }

  /** Of all lines so far, as eight hexadecimal digits. */
  get hash(): string {
    return this.#hash.toString(16).padStart(8, "0");
  }
}
