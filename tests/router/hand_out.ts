/**
 * Connections that a test hands out, one by one.
 *
 * @module
 */
import type { Duplex } from "../../lib/wire.ts";
import type { ManualClock } from "../manual_clock.ts";
import { until } from "../until.ts";

/** How an attempt to connect may end. */
export interface Attempt {
  readonly accept: (duplex: Duplex) => void;
  readonly refuse: () => void;
}

/** What to connect with, and what the test gets to answer. */
export function handOut(clock: ManualClock) {
  const asked: Attempt[] = [];
  return {
    connect: (signal: AbortSignal) =>
      new Promise<Duplex>((accept, reject) => {
        const refuse = () => reject(new Deno.errors.ConnectionRefused("Refused"));
        signal.addEventListener("abort", () => reject(signal.reason));
        asked.push({ accept, refuse });
      }),
    /** The next attempt to connect; lets the backoff pass. */
    attempt: async (): Promise<Attempt> => {
      const asksNow = () => {
        clock.advance(20);
        return asked.length > 0;
      };
      if (asked.length === 0) await until(asksNow, "the link connects");
      return asked.shift()!;
    },
  };
}
