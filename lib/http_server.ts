/**
 * An HTTP server that goes on when connections cannot be accepted, and stops in bounded time.
 *
 * @module
 */
import { AcceptFailures } from "./accept_failures.ts";
import type { Handler } from "./api.ts";
import { systemClock } from "./clock.ts";
import { formatAddress } from "./address.ts";
import { atMostDrainTime } from "./drain.ts";

export interface HttpServerOptions {
  readonly hostname: string;
  /** 0 for any that is free. */
  readonly port: number;
  /** Told what a person who runs the server should know, in one line each. */
  readonly report: (line: string) => void;
}

/**
 * Serves a handler on one port until it is closed.
 *
 * A `Deno.serve` that cannot accept a connection ends for good, so another one follows it. Its idle
 * connections are closed then, which gives files back to a process that has run out of them; the
 * requests that it has taken are still answered.
 */
export class HttpServer {
  readonly port: number;
  readonly #hostname: string;
  readonly #handler: Handler;
  readonly #failures: AcceptFailures;
  #server: Deno.HttpServer<Deno.NetAddr>;
  /** For each server that came before: resolves when its last request is answered. */
  readonly #leaving = new Set<Promise<void>>();
  #following: Promise<void> | null = null;
  #closed = false;

  /** @throws {Deno.errors.AddrInUse} The port is taken. */
  constructor({ hostname, port, report }: HttpServerOptions, handler: Handler) {
    this.#hostname = hostname;
    this.#handler = handler;
    this.#server = this.#serve(port);
    this.port = this.#server.addr.port;
    const address = formatAddress(hostname, this.port);
    this.#failures = new AcceptFailures({ address, clock: systemClock, report });
  }

  #serve(port: number): Deno.HttpServer<Deno.NetAddr> {
    const server = Deno.serve({ hostname: this.#hostname, port, onListen() {} }, this.#handler);
    server.finished.catch((error) => this.#following = this.#follow(server, error));
    return server;
  }

  async #follow(server: Deno.HttpServer, error: unknown): Promise<void> {
    const leaving = server.shutdown().catch(() => {}).finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
    for (let reason = error; !this.#closed;) {
      await this.#failures.pause(reason);
      if (this.#closed) return;
      try {
        this.#server = this.#serve(this.port);
        return;
      } catch (error) {
        reason = error;
      }
    }
  }

  /**
   * Takes no more requests, and resolves when those it has are answered, or after `DRAIN_MS`: a
   * client that does not take its answer is not waited for longer. Its connection ends when it
   * leaves or the process does; `Deno.serve` cannot cut it off.
   */
  close(): Promise<void> {
    this.#closed = true;
    const work = [this.#server.shutdown(), this.#following, ...this.#leaving];
    return atMostDrainTime(systemClock, Promise.all(work));
  }
}
