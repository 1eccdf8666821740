/**
 * @module
 */
import type { Clock } from "./clock.ts";
import { DRAIN_MS } from "./limits.ts";

/** Resolves when `work` is done, or after `DRAIN_MS`: nobody is waited for longer at the end. */
export async function atMostDrainTime(clock: Clock, work: Promise<unknown>): Promise<void> {
  const { promise: timeout, resolve } = Promise.withResolvers<void>();
  const callOff = clock.after(DRAIN_MS, resolve);
  await Promise.race([work, timeout]);
  callOff();
}
