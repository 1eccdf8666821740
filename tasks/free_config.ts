/**
 * Clusters that are in nobody's way: on free ports of loopback, with the data in one directory.
 *
 * @module
 */

import { join } from "@std/path";
import type { ClusterConfig } from "../lib/config.ts";

const HOST = "127.0.0.1";

/** Ports of loopback, all different, that nobody listens on at this moment. */
export function freePorts(count: number): number[] {
  const listeners = Array.from({ length: count }, () => Deno.listen({ hostname: HOST, port: 0 }));
  for (const listener of listeners) listener.close();
  return listeners.map(({ addr }) => addr.port);
}

/** The config of a cluster on free ports, with its data in `directory`. */
export function freeConfig(directory: string, nodeCount: number): ClusterConfig {
  const [port, ...ports] = freePorts(1 + 2 * nodeCount);
  return {
    router: { host: HOST, port },
    nodes: Array.from({ length: nodeCount }, (_, i) => ({
      id: `n${i + 1}`,
      host: HOST,
      port: ports[2 * i],
      linkPort: ports[2 * i + 1],
      data: join(directory, `n${i + 1}`),
    })),
  };
}
