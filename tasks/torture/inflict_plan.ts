/**
 * Carries out a plan of faults.
 *
 * @module
 */

import { orAborted } from "../or_aborted.ts";
import type { PlannedFault } from "./plan.ts";

export interface InflictOptions {
  /** Inflicts one fault, and resolves when that is over. */
  readonly inflict: (fault: PlannedFault) => Promise<void>;
  /** Rejects when something else makes it useless to go on. */
  readonly failed: Promise<never>;
  readonly signal: AbortSignal;
}

/**
 * Inflicts each fault at its time, or as soon as the one before it on the same process is over.
 *
 * @throws What the first fault that cannot be inflicted throws, at once; or the reason of `signal`.
 */
export async function inflictPlan(
  plan: readonly PlannedFault[],
  { inflict, failed, signal }: InflictOptions,
): Promise<void> {
  const startMs = performance.now();
  const latest = new Map<string, Promise<void>>();
  const broken = Promise.withResolvers<never>();
  const ended = Promise.race([failed, broken.promise]);
  ended.catch(() => {}); // whoever waits gets it; nobody may be waiting when it comes
  for (const fault of plan) {
    await pauseUntil(startMs + fault.atMs, ended, signal);
    const previous = latest.get(fault.target) ?? Promise.resolve();
    const inflicted = previous.then(() => inflict(fault));
    inflicted.catch(broken.reject);
    latest.set(fault.target, inflicted);
  }
  await orAborted(Promise.race([Promise.all(latest.values()), ended]), signal);
}

/** Waits until a moment of the monotonic clock, or until `ended` rejects. */
async function pauseUntil(
  timeMs: number,
  ended: Promise<never>,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, Math.max(0, timeMs - performance.now()));
  try {
    await orAborted(Promise.race([promise, ended]), signal);
  } finally {
    clearTimeout(timer);
  }
}
