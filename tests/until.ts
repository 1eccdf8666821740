/**
 * @module
 */
import { setImmediate } from "node:timers";

/**
 * Lets the event loop turn until `condition` holds.
 *
 * @throws {Error} It does not within `turns`; the message says `what` was waited for.
 */
export async function until(condition: () => boolean, what: string, turns = 1000): Promise<void> {
  for (let turn = 0; !condition(); turn++) {
    if (turn >= turns) throw new Error(`Waited in vain: ${what}`);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
