/**
 * What all parts of a simulation share.
 *
 * @module
 */
import type { SimulatedNetwork } from "./simulated_network.ts";
import type { SimulatedTime } from "./simulated_time.ts";
import type { Trace } from "./trace.ts";

export interface World {
  readonly time: SimulatedTime;
  readonly trace: Trace;
  readonly network: SimulatedNetwork;
  /** Notes that a promise was broken; the run ends with the first one. */
  readonly fail: (problem: string) => void;
  /** Counts a fault that took effect. */
  readonly count: (fault: FaultKind) => void;
}

/** What can go wrong in a simulation, as the report names it. */
export const FAULT_KINDS = [
  "process killed, unsynced bytes kept",
  "power failure, unsynced bytes dropped",
  "power failure, unsynced bytes torn by sector",
  "power failure, unsynced directory entries dropped",
  "crash at a disk call",
  "crash during recovery",
  "crash during a snapshot",
  "disk call failed with EIO",
  "disk full (ENOSPC)",
  "memory full",
  "short write",
  "sync failed",
  "slow disk",
  "bits flipped at rest",
  "damage refused at the start",
  "link cut",
  "link held, delivered after the next one was open",
  "link stalled",
  "node cut off",
  "router killed",
  "router restarted",
  "clock set forward",
  "clock set back",
  "request lost",
  "answer lost",
  "acknowledged write sent again",
  "sequence number used twice",
] as const;
export type FaultKind = typeof FAULT_KINDS[number];

/** Resolves after `ms` of simulated time. */
export function sleep({ time }: World, ms: number): Promise<void> {
  return new Promise((resolve) => {
    time.schedule(ms, resolve);
  });
}
