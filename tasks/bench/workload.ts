/**
 * The load that every row is put under, whichever program generates it: keys `key:0`, `key:1`, … in
 * random order, values of 100 bytes, each connection waiting for an answer before it asks again.
 *
 * @module
 */

/** Bytes of every value. */
export const VALUE_BYTES = 100;
/** The value of every key. What it says makes no difference to anything that is measured. */
export const VALUE = "0123456789".repeat(VALUE_BYTES / 10);
/** Keys that exist, unless a row says otherwise. */
export const KEY_COUNT = 100_000;
/** How many connections ask at once. */
export const CONNECTION_COUNTS = [64, 256] as const;
export type ConnectionCount = typeof CONNECTION_COUNTS[number];

export type Method = "get" | "put";

/** A server under load for some seconds. */
export interface Load {
  /** Port on loopback. */
  readonly port: number;
  readonly method: Method;
  readonly connections: number;
  /** Whole seconds. */
  readonly seconds: number;
  /** Keys are drawn from `key:0` up to this number. */
  readonly keyCount: number;
  /**
   * Every write comes from a client of its own; by default there is a client for each connection.
   */
  readonly ownClients?: boolean;
  /**
   * Starts the ids of the clients. Different in each load, because the sequence numbers of a client
   * begin at 1.
   */
  readonly clientPrefix: string;
}

/** What came of a load. */
export interface LoadResult {
  /** Answers, whatever their status. */
  readonly requests: number;
  readonly seconds: number;
  /** Answers other than 2xx, and requests without an answer. */
  readonly failures: number;
  /** Latencies in milliseconds, at the 50th and the 99th percentile, and the longest. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
}

/** A program that puts servers under load. */
export interface LoadGenerator {
  readonly name: string;
  /** Version, and what to know about figures that come from it. */
  readonly description: string;
  run(load: Load, signal: AbortSignal): Promise<LoadResult>;
}

export function keyOf(number: number): string {
  return `key:${number}`;
}

/** Answered requests per second. */
export function rateOf({ requests, seconds }: LoadResult): number {
  return requests / seconds;
}
