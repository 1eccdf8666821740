/**
 * Finds out before anything starts whether the ports of a cluster are free.
 *
 * @module
 */

import { formatAddress } from "../../lib/address.ts";
import type { ClusterConfig } from "../../lib/config.ts";
import { Failure } from "../subcommand.ts";

interface Listener {
  host: string;
  port: number;
  /** Who wants to listen there. */
  owner: string;
}

/**
 * Returns when every port can be listened on.
 *
 * Between this look and the start of a process someone else may take the port; that process then
 * says so itself.
 *
 * @throws {Failure} Names each port that cannot be had, and who wanted it.
 */
export function checkPorts(config: ClusterConfig): void {
  // All are held to the end: two of them may be the same, and so may those of another cluster that
  // looks at this moment.
  using held = new DisposableStack();
  const problems = listenersOf(config).flatMap(({ host, port, owner }) => {
    try {
      held.use(Deno.listen({ hostname: host, port }));
      return [];
    } catch (error) {
      // Who may not look here leaves it to the process that wants the port, and may have it.
      if (error instanceof Deno.errors.NotCapable) return [];
      return [`${formatAddress(host, port)} (${owner}) ${whyNotListening(error)}`];
    }
  });
  if (problems.length > 0) throw new Failure(`Cannot listen: ${problems.join(", ")}`);
}

function listenersOf({ router, nodes }: ClusterConfig): Listener[] {
  return [
    { ...router, owner: "router" },
    ...nodes.flatMap(({ id, host, port, linkPort }) => [
      { host, port, owner: id },
      { host, port: linkPort, owner: `links of ${id}` },
    ]),
  ];
}

/** What keeps a process from listening on an address, said of that address. */
export function whyNotListening(error: unknown): string {
  if (error instanceof Deno.errors.AddrInUse) return "is in use";
  if (error instanceof Deno.errors.AddrNotAvailable) return "is not an address of this machine";
  if (error instanceof Deno.errors.PermissionDenied) return "needs rights that this user lacks";
  return `fails: ${(error as Error).message}`;
}
