/**
 * A clock whose hands the test turns itself.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import type { Clock } from "../lib/clock.ts";

/** Stands still until it is told to advance. */
export class ManualClock implements Clock {
  #nowMs = 0;
  readonly #timers = new Set<{ atMs: number; callback: () => void }>();

  now(): number {
    return this.#nowMs;
  }

  monotonic(): number {
    return this.#nowMs;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { atMs: this.#nowMs + ms, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** The event loop turns by itself: this takes no time. */
  afterTurn(callback: () => void): void {
    setImmediate(callback);
  }

  /** How many timers are set. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Lets `ms` pass, and calls what is due on the way in its order. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (let timer = this.#next(endMs); timer !== undefined; timer = this.#next(endMs)) {
      this.#timers.delete(timer);
      this.#nowMs = timer.atMs;
      timer.callback();
    }
    this.#nowMs = endMs;
  }

  #next(endMs: number) {
    const due = [...this.#timers].filter((timer) => timer.atMs <= endMs);
    return due.sort((a, b) => a.atMs - b.atMs).at(0);
  }
}
