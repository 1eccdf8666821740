/**
 * The router as a server: the one place where it meets the real clock and network.
 *
 * @module
 */
import { createHandler } from "../lib/api.ts";
import { systemClock } from "../lib/clock.ts";
import { formatAddress } from "../lib/address.ts";
import type { ClusterConfig, NodeConfig } from "../lib/config.ts";
import { HttpServer } from "../lib/http_server.ts";
import { Link } from "./link.ts";
import { Router } from "./router.ts";

/** A router that serves. */
export interface RunningRouter {
  readonly port: number;
  /** Takes no more requests, and at once gives up those that wait for a node that is down. */
  close(): Promise<void>;
}

/**
 * Serves the cluster. No node needs to be up.
 *
 * @throws {Deno.errors.AddrInUse} The port is taken.
 */
export function startRouter(config: ClusterConfig): RunningRouter {
  const router = new Router(config.nodes.map(openLink));
  const { host: hostname, port } = config.router;
  try {
    const server = new HttpServer(
      { hostname, port, report: console.error },
      createHandler(router, systemClock),
    );
    return {
      port: server.port,
      async close() {
        router.drain();
        await server.close();
        await router.close();
      },
    };
  } catch (error) {
    router.close();
    throw error;
  }
}

function openLink(node: NodeConfig): Link {
  return new Link({
    nodeId: node.id,
    address: formatAddress(node.host, node.port),
    async connect(signal) {
      const { host: hostname, linkPort: port } = node;
      const connection = await Deno.connect({ hostname, port, signal });
      connection.setNoDelay(true);
      connection.setKeepAlive(true); // notices that a node is gone even while nobody asks
      return connection;
    },
    clock: systemClock,
    random: Math.random,
  });
}
