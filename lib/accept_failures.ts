/**
 * What a listener does that cannot accept connections, most often because the process has as many
 * files open as it may: it says so, waits a little and tries again.
 *
 * @module
 */
import type { Clock } from "./clock.ts";
import { errorMessage } from "./error_message.ts";
import { ACCEPT_FAILURE_REPORT_MS, ACCEPT_RETRY_MS } from "./limits.ts";

export interface AcceptFailuresOptions {
  /** Where connections are accepted, such as `127.0.0.1:8090`. */
  readonly address: string;
  readonly clock: Clock;
  /** Told what a person who runs the server should know, in one line each. */
  readonly report: (line: string) => void;
}

/** The failures of one listener. */
export class AcceptFailures {
  readonly #options: AcceptFailuresOptions;
  #reportedAtMs = -Infinity;

  constructor(options: AcceptFailuresOptions) {
    this.#options = options;
  }

  /**
   * Reports a failure, unless another was reported not long ago. Resolves when to try again: at
   * once after a client that was gone before it was accepted, so that such clients cannot keep
   * others out.
   */
  pause(error: unknown): Promise<void> {
    if (isOfClient(error)) return Promise.resolve();
    const { address, clock, report } = this.#options;
    if (clock.monotonic() - this.#reportedAtMs >= ACCEPT_FAILURE_REPORT_MS) {
      this.#reportedAtMs = clock.monotonic();
      const reason = errorMessage(error);
      report(`cannot accept connections on ${address}, trying again: ${reason}`);
    }
    return new Promise((resolve) => clock.after(ACCEPT_RETRY_MS, resolve));
  }
}

/** Whether `accept` failed because of the connection that it took: the listener is well. */
function isOfClient(error: unknown): boolean {
  const { NotConnected, ConnectionAborted } = Deno.errors;
  return error instanceof NotConnected || error instanceof ConnectionAborted;
}
