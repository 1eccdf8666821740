/**
 * Simulated time: a queue of events. Nothing takes time but waiting for an event, so an hour passes
 * as fast as its events can be handled.
 *
 * @module
 */
import type { Clock } from "../../lib/clock.ts";

interface Event {
  readonly atMs: number;
  /** Null once it was cancelled. */
  callback: (() => void) | null;
}

/** Events in the order of their times; of one time, in the order in which they were scheduled. */
export class SimulatedTime {
  #nowMs = 0;
  /** The next one is the last. */
  readonly #events: Event[] = [];

  /** Milliseconds since the start. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Calls `callback` after `ms`. Returns a function that cancels it. */
  schedule(ms: number, callback: () => void): () => void {
    const event: Event = { atMs: this.#nowMs + ms, callback };
    this.#events.splice(this.#placeOf(event.atMs), 0, event);
    return () => event.callback = null;
  }

  #placeOf(atMs: number): number {
    let low = 0;
    let high = this.#events.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#events[middle].atMs > atMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Moves on to the next event and handles it. False if there is none up to `limitMs`. */
  step(limitMs = Infinity): boolean {
    for (;;) {
      const event = this.#events.at(-1);
      if (event === undefined || event.atMs > limitMs) return false;
      this.#events.pop();
      if (event.callback === null) continue;
      this.#nowMs = event.atMs;
      event.callback();
      return true;
    }
  }

  /** Handles all events of the next `ms`, and is that much later then. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    while (this.step(endMs));
    this.#nowMs = endMs;
  }

  /** Events to come. */
  get pending(): number {
    return this.#events.filter((event) => event.callback !== null).length;
  }
}

/** The clock of one process. It stops when the process ends, and with it all of its timers. */
export class SimulatedClock implements Clock {
  readonly #time: SimulatedTime;
  #wallMs: number;
  #stopped = false;

  /** `wallMs` is what a clock on the wall shows at the start of the simulation. */
  constructor(time: SimulatedTime, wallMs: number) {
    this.#time = time;
    this.#wallMs = wallMs;
  }

  now(): number {
    return Math.floor(this.#wallMs + this.#time.nowMs);
  }

  monotonic(): number {
    return this.#time.nowMs;
  }

  after(ms: number, callback: () => void): () => void {
    return this.#time.schedule(ms, () => {
      if (!this.#stopped) callback();
    });
  }

  afterTurn(callback: () => void): void {
    this.after(0, callback);
  }

  /** Sets the clock on the wall forward, or back. */
  jump(ms: number): void {
    this.#wallMs += ms;
  }

  stop(): void {
    this.#stopped = true;
  }
}
