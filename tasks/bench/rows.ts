/**
 * The rows of the table: which servers, which requests, and how close to a bare server they are to
 * come.
 *
 * @module
 */

import type { ClusterConfig } from "../../lib/config.ts";
import { prepareCluster, startAll } from "./bench_cluster.ts";
import type { BenchRun } from "./bench_run.ts";
import type { Comparison } from "./comparison.ts";
import { readCounters } from "./node_counters.ts";
import { residentBytes } from "./resident_memory.ts";
import type { ServerProcess } from "./server_process.ts";
import { CONNECTION_COUNTS, type ConnectionCount, KEY_COUNT, type Method } from "./workload.ts";

/** A row, measured at each count of connections. */
export interface Row {
  readonly id: string;
  readonly title: string;
  readonly method: Method;
  readonly via: "node" | "router";
  /** Every write comes from a client of its own. */
  readonly ownClients?: boolean;
  /** Ratio to reach. */
  readonly goals?: Readonly<Record<ConnectionCount, number>>;
}

export const ROWS: readonly Row[] = [
  {
    id: "get",
    title: "GET, one node",
    method: "get",
    via: "node",
    goals: { 64: 0.65, 256: 0.65 },
  },
  {
    id: "put",
    title: "PUT, one node",
    method: "put",
    via: "node",
    goals: { 64: 0.40, 256: 0.60 },
  },
  {
    id: "put-own-clients",
    title: "PUT, one node, own clients",
    method: "put",
    via: "node",
    ownClients: true,
  },
  {
    id: "router-get",
    title: "GET, router, six nodes",
    method: "get",
    via: "router",
    goals: { 64: 0.25, 256: 0.40 },
  },
  {
    id: "router-put",
    title: "PUT, router, six nodes",
    method: "put",
    via: "router",
    goals: { 64: 0.18, 256: 0.35 },
  },
];

/** A line of the table. */
export interface RowResult extends Comparison {
  readonly id: string;
  readonly title: string;
  readonly connections: number;
  readonly goal?: number;
  /** Over all nodes and all slices. */
  readonly syncsPerWrite?: number;
  /** Why the figures mean nothing, where they do. */
  readonly problem?: string;
}

/** The resident memory of one process, in bytes; undefined where it cannot be told. */
export interface ProcessMemory {
  readonly name: string;
  readonly residentBytes?: number;
}

/** Measures the rows that go to one kind of server. `onRow` gets each line when it is there. */
export async function measureRows(
  run: BenchRun,
  via: Row["via"],
  rows: readonly Row[],
  onRow: (result: RowResult) => void,
): Promise<ProcessMemory[]> {
  const { directory, signal } = run.options;
  const { config, nodePrograms, routerProgram } = await prepareCluster({
    directory: `${directory}/${via}`,
    nodeCount: via === "node" ? 1 : 6,
    keyCount: KEY_COUNT,
    signal,
  });
  const programs = via === "node" ? nodePrograms : [...nodePrograms, routerProgram];
  await using cluster = await startAll(programs, signal);
  for (const row of rows) {
    for (const connections of CONNECTION_COUNTS) {
      onRow(await measureRow(run, row, connections, config));
    }
  }
  return await memoryOf(cluster.servers, via);
}

async function measureRow(
  run: BenchRun,
  row: Row,
  connections: ConnectionCount,
  config: ClusterConfig,
): Promise<RowResult> {
  const { id, title, method, ownClients } = row;
  const { port } = row.via === "node" ? config.nodes[0] : config.router;
  const load = { method, connections, ownClients, keyCount: KEY_COUNT };
  const before = await readCounters(config);
  const comparison = await run.compareWithBare(load, () => run.load({ ...load, port }));
  const after = await readCounters(config);
  const writes = after.writes - before.writes;
  return {
    id,
    title,
    connections,
    ...comparison,
    goal: row.goals?.[connections],
    syncsPerWrite: writes === 0 ? undefined : (after.syncs - before.syncs) / writes,
    problem: problemOf(comparison.failures, after.duplicates - before.duplicates),
  };
}

/** What makes figures meaningless, in words; undefined when nothing does. */
export function problemOf(failures: number, duplicates = 0): string | undefined {
  if (failures > 0) return `${failures} requests failed or were not answered with 2xx, expected 0`;
  if (duplicates > 0) return `${duplicates} writes were taken for duplicates, expected 0`;
}

async function memoryOf(
  servers: readonly ServerProcess[],
  via: Row["via"],
): Promise<ProcessMemory[]> {
  return await Promise.all(servers.map(async ({ name, pid }) => ({
    name: via === "node" ? `one node, ${name}` : `six nodes, ${name}`,
    residentBytes: await residentBytes(pid),
  })));
}
