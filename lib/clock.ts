/**
 * Time as a parameter, so that a test can turn the hands itself.
 *
 * @module
 */

import { setImmediate } from "node:timers";

/** Wall-clock time and timers, in milliseconds. */
export interface Clock {
  /** Milliseconds since 1970. May jump when someone sets the clock of the machine. */
  now(): number;
  /** Milliseconds that only ever rise; for deadlines. */
  monotonic(): number;
  /** Calls `callback` once after `ms`. Returns a function that cancels it. */
  after(ms: number, callback: () => void): () => void;
  /** Calls `callback` once, when all that arrived in this turn of the event loop was handled. */
  afterTurn(callback: () => void): void;
}

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
  afterTurn(callback) {
    setImmediate(callback);
  },
};
