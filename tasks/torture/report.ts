/**
 * What a torture comes to: how long which keys were not served, and whose fault that was.
 *
 * A fault reaches from the kill or the pause to the first answer after it: for a node the first one
 * on its keys, for the router the first one at all. What happens in that time to the keys of that
 * node, or on the way through the router, is put down to it; the rest has no excuse.
 *
 * @module
 */

import type { FailedAttempt } from "./load.ts";
import type { InflictedFault } from "./target_cluster.ts";

/** What was seen. All times are of one clock, in milliseconds. */
export interface Observations {
  readonly faults: readonly InflictedFault[];
  /** When an answer came through the router, per shard, in order. */
  readonly answeredAt: ReadonlyMap<string, readonly number[]>;
  readonly failures: readonly FailedAttempt[];
}

/** What one shard went through. Times are in milliseconds. */
export interface ShardReport {
  readonly id: string;
  readonly kills: number;
  readonly pauses: number;
  /** Longest time between two answers in which its node was killed or paused. */
  readonly longestHurtMs: number;
  /** The same, in which the router was and the node was not. */
  readonly longestRouterMs: number;
  /** The same, in which neither was. */
  readonly longestHealthyMs: number;
}

export interface Report {
  readonly shards: readonly ShardReport[];
  /** From each kill of a node to its new process being ready, shortest first. */
  readonly readyAgainMs: readonly number[];
  /**
   * From each kill of a node to the first answer of its new process through the router, shortest
   * first. Kills during which the router was hurt as well are left out.
   */
  readonly servedAgainMs: readonly number[];
  /** Attempts that failed, by whose fault it was. */
  readonly errors: {
    /** On keys of a healthy node, through a healthy router or straight to the node. */
    readonly healthy: number;
    /** On keys of a killed or paused node, through the router. */
    readonly hurt: number;
    /** Straight to a node that was killed or paused. */
    readonly straight: number;
    /** Through a router that was killed or paused. */
    readonly router: number;
  };
}

interface Span {
  readonly start: number;
  readonly end: number;
}

/** A fault with the time until keys were served again. */
interface FeltFault extends Span {
  readonly fault: InflictedFault;
}

/** Puts down to the faults what was seen. */
export function reportOn(observations: Observations): Report {
  const felt = feltFaults(observations);
  const router = felt.filter(({ fault }) => fault.target === "router");
  const shards = [...observations.answeredAt].map(([id, times]) => {
    const own = felt.filter(({ fault }) => fault.target === id);
    return { id, ...longestGaps(times, own, router), ...countFaults(own) };
  });
  const kills = felt.filter(({ fault }) => fault.kind === "kill" && fault.target !== "router");
  const readyAgainMs = kills.map(({ start, fault }) => fault.endedAt - start).sort(ascending);
  const servedAgainMs = kills.filter((kill) => !overlapsAny(kill, router))
    .map(({ start, end }) => end - start).sort(ascending);
  return { shards, readyAgainMs, servedAgainMs, errors: countErrors(observations.failures, felt) };
}

function feltFaults({ faults, answeredAt }: Observations): FeltFault[] {
  const all = [...answeredAt.values()].flat().sort(ascending);
  return faults.map((fault) => {
    const times = fault.target === "router" ? all : answeredAt.get(fault.target)!;
    const end = times[firstAfter(times, fault.endedAt)] ?? Infinity;
    return { fault, start: fault.startedAt, end };
  });
}

/** Index of the first time that is not before `time`. */
function firstAfter(times: readonly number[], time: number): number {
  let [low, high] = [0, times.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

function overlapsAny(one: Span, others: readonly Span[]): boolean {
  return others.some(({ start, end }) => start <= one.end && one.start <= end);
}

function longestGaps(times: readonly number[], own: FeltFault[], router: FeltFault[]) {
  const longest = { longestHurtMs: 0, longestRouterMs: 0, longestHealthyMs: 0 };
  for (let i = 1; i < times.length; i++) {
    const gap = { start: times[i - 1], end: times[i] };
    const ms = gap.end - gap.start;
    if (ms <= Math.min(...Object.values(longest))) continue;
    const kind = overlapsAny(gap, own)
      ? "longestHurtMs"
      : overlapsAny(gap, router)
      ? "longestRouterMs"
      : "longestHealthyMs";
    longest[kind] = Math.max(longest[kind], ms);
  }
  return longest;
}

function countFaults(felt: readonly FeltFault[]): { kills: number; pauses: number } {
  const kills = felt.filter(({ fault }) => fault.kind === "kill").length;
  return { kills, pauses: felt.length - kills };
}

function countErrors(
  failures: readonly FailedAttempt[],
  felt: readonly FeltFault[],
): Report["errors"] {
  const errors = { healthy: 0, hurt: 0, straight: 0, router: 0 };
  for (const { shard, via, startedAt: start, endedAt: end } of failures) {
    const isHit = (target: string) =>
      overlapsAny({ start, end }, felt.filter(({ fault }) => fault.target === target));
    if (via === "router" && isHit("router")) errors.router++;
    else if (!isHit(shard)) errors.healthy++;
    else errors[via === "router" ? "hurt" : "straight"]++;
  }
  return errors;
}

function ascending(one: number, other: number): number {
  return one - other;
}
