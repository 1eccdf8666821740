/**
 * An HTTP server that stops in bounded time.
 *
 * @module
 */
import type { Handler } from "./api.ts";
import { systemClock } from "./clock.ts";
import { atMostDrainTime } from "./drain.ts";

/** A server that listens. */
export interface HttpServer {
  readonly port: number;
  /**
   * Takes no more requests, and resolves when those it has are answered, or after `DRAIN_MS`: a
   * client that holds back the rest of its request, or does not take its answer, is not waited for
   * longer. Its connection ends when it leaves or the process does; `Deno.serve` cannot cut it off.
   */
  close(): Promise<void>;
  /** Resolves when the last connection has ended. */
  readonly finished: Promise<void>;
}

/**
 * Serves `handler`.
 *
 * @throws {Deno.errors.AddrInUse} The port is taken.
 */
export function serveHttp(hostname: string, port: number, handler: Handler): HttpServer {
  const server = Deno.serve({ hostname, port, onListen() {} }, handler);
  return {
    port: server.addr.port,
    finished: server.finished,
    close: () => atMostDrainTime(systemClock, server.shutdown()),
  };
}
