/**
 * Signals to processes that may have ended already.
 *
 * @module
 */

/** Sends a signal; does nothing when the process has ended. */
export function killIfAlive(process: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    process.kill(signal);
  } catch (error) {
    // It ended in the meantime, which Deno reports as one or the other.
    if (!(error instanceof TypeError || error instanceof Deno.errors.NotFound)) throw error;
  }
}
