/**
 * @module
 */
import { DRAIN_MS } from "./limits.ts";

/** Resolves when `work` is done, or after `DRAIN_MS`: nobody is waited for longer at the end. */
export async function atMostDrainTime(work: Promise<unknown>): Promise<void> {
  const { promise: timeout, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, DRAIN_MS);
  await Promise.race([work, timeout]);
  clearTimeout(timer);
}
