/**
 * A clock whose hands the test turns itself.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import { SimulatedClock, SimulatedTime } from "../tasks/simulate/simulated_time.ts";

/** Stands still until it is told to advance. The event loop turns by itself: that takes no time. */
export class ManualClock extends SimulatedClock {
  readonly #time: SimulatedTime;

  constructor(time = new SimulatedTime()) {
    super(time, 0);
    this.#time = time;
  }

  override afterTurn(callback: () => void): void {
    setImmediate(callback);
  }

  /** How many timers are set. */
  get pending(): number {
    return this.#time.pending;
  }

  /** Lets `ms` pass, and calls what is due on the way in its order. */
  advance(ms: number): void {
    this.#time.advance(ms);
  }
}
