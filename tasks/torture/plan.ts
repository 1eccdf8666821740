/**
 * What is done to the processes of a cluster, and when: all of it drawn from a seed.
 *
 * @module
 */

import type { Random } from "../random.ts";

/** One thing that is done to one process. */
export interface PlannedFault {
  /** `n1`, `n2`, … or `router`. */
  readonly target: string;
  readonly kind: "kill" | "pause";
  /** Since the start of the load, in milliseconds. */
  readonly atMs: number;
  /** How long a pause lasts, in milliseconds; 0 for a kill. */
  readonly forMs: number;
}

export interface PlanOptions {
  readonly durationMs: number;
  readonly nodeIds: readonly string[];
  readonly random: Random;
}

/** Time between one fault and the next, in milliseconds: on average, and at least. */
const INTERVAL_MS = 3500;
const INTERVAL_MS_MIN = 400;
/** Of every so many faults, so many are these; the others are kills of nodes. */
const ROUND = 8;
const PER_ROUND = { routerKills: 1, nodePauses: 1, routerPauses: 1 };
/** However short a plan is, it has this many rounds. */
const ROUNDS_MIN = 2;
/** A paused process answers late, but well within the 5 s for which a router waits. */
const PAUSE_MS_MIN = 100;
const PAUSE_MS_MAX = 2500;

/** Faults in the order of time, spread over all of the duration. */
export function planFaults({ durationMs, nodeIds, random }: PlanOptions): PlannedFault[] {
  const rounds = Math.max(ROUNDS_MIN, Math.round(durationMs / INTERVAL_MS / ROUND));
  const intervalMs = Math.max(INTERVAL_MS_MIN, durationMs / (rounds * ROUND));
  const faults = Array.from({ length: rounds }, () => planRound(nodeIds, random)).flat();
  return faults.map((fault, i) => ({
    ...fault,
    atMs: Math.round((i + random.fraction()) * intervalMs),
  }));
}

function planRound(nodeIds: readonly string[], random: Random): Omit<PlannedFault, "atMs">[] {
  const { routerKills, nodePauses, routerPauses } = PER_ROUND;
  const deck = [
    ...Array.from({ length: routerKills }, () => ({ target: "router", kind: "kill" } as const)),
    ...Array.from({ length: nodePauses }, () => ({ kind: "pause" } as const)),
    ...Array.from({ length: routerPauses }, () => ({ target: "router", kind: "pause" } as const)),
  ];
  const kills = Array.from({ length: ROUND - deck.length }, () => ({ kind: "kill" } as const));
  return shuffle([...deck, ...kills], random).map((fault) => ({
    target: random.pick(nodeIds),
    forMs: fault.kind === "pause" ? random.integer(PAUSE_MS_MIN, PAUSE_MS_MAX) : 0,
    ...fault,
  }));
}

/** Fisher and Yates. */
function shuffle<T>(items: T[], random: Random): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = random.integer(0, i);
    [items[i], items[j]] = [items[j], items[i]];
  }
  return items;
}
