/**
 * What nodes count about themselves, read from `/metrics` before and after a row.
 *
 * @module
 */

import { formatAddress } from "../../lib/address.ts";
import type { ClusterConfig, NodeConfig } from "../../lib/config.ts";
import { Failure } from "../subcommand.ts";

/** Counts since the nodes started, summed up over the nodes. */
export interface NodeCounters {
  /** Writes that were applied. */
  readonly writes: number;
  /** Writes that were not new. A bench sends each one once, so there is to be none. */
  readonly duplicates: number;
  readonly syncs: number;
}

/** Asks every node for its counters. */
export async function readCounters({ nodes }: ClusterConfig): Promise<NodeCounters> {
  const metrics = await Promise.all(nodes.map(readMetrics));
  const sum = (name: string) => metrics.reduce((total, metrics) => total + metrics[name], 0);
  return {
    writes: sum("exec_total"),
    duplicates: sum("dedup_hits"),
    syncs: sum("fsync_total"),
  };
}

/** Asks a node for all that it counts. */
export async function readMetrics({ host, port }: NodeConfig): Promise<Record<string, number>> {
  const url = `http://${formatAddress(host, port)}/metrics`;
  const response = await fetch(url);
  if (!response.ok) {
    await response.body?.cancel();
    throw new Failure(`Status of ${url} is ${response.status}, expected 200`);
  }
  return await response.json();
}
