/**
 * The end of a connection or a server: work that depends on a peer gets a moment to finish, and no
 * more, since a peer may be gone or never read.
 *
 * @module
 */
import type { Clock } from "./clock.ts";
import { DRAIN_MS } from "./limits.ts";

/** Resolves when `work` is done, or after `ms`, by default `DRAIN_MS`. */
export async function atMostDrainTime(
  clock: Clock,
  work: Promise<unknown>,
  ms = DRAIN_MS,
): Promise<void> {
  const { promise: timeout, resolve } = Promise.withResolvers<void>();
  const cancel = clock.after(ms, resolve);
  try {
    await Promise.race([work, timeout]);
  } finally {
    cancel();
  }
}
