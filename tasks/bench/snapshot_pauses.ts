/**
 * What a snapshot of a million keys does to requests: the longest wait of any in a slice of load
 * while one is being taken, beside that in as many slices without. The figure is the median over
 * the slices: the very longest wait of all is most often some other program's doing.
 *
 * What makes the log grow until a snapshot is due is one large write, sent again and again: it is
 * logged every time and applied once, so that the store stays what it is.
 *
 * @module
 */

import { join } from "@std/path";
import { formatAddress } from "../../lib/address.ts";
import type { NodeConfig } from "../../lib/config.ts";
import { Failure } from "../subcommand.ts";
import { prepareCluster, startAll } from "./bench_cluster.ts";
import type { BenchRun } from "./bench_run.ts";
import { readMetrics } from "./node_counters.ts";
import { median } from "./statistics.ts";
import type { LoadResult, Method } from "./workload.ts";

const KEYS = 1_000_000;
const CONNECTIONS = 64;
const METHODS = ["get", "put"] as const;
const LARGE_VALUE_BYTES = 1_000_000;
/** Large writes that are under way at once. */
const LARGE_WRITERS = 4;
/** Snapshots that each kind of request is measured beside, at most. */
const SNAPSHOTS = 3;

/** The longest waits of a kind of request, in milliseconds. */
export interface LongestWaits {
  readonly method: Method;
  /** Of a slice, in the median. */
  readonly withoutMs: number;
  readonly withMs: number;
  /** Of all slices. */
  readonly withoutMsMax: number;
  readonly withMsMax: number;
  /** Slices of load, in each of the two. */
  readonly slices: number;
}

export interface SnapshotPausesResult {
  readonly keyCount: number;
  readonly waits: readonly LongestWaits[];
  readonly failures: number;
}

type Slices = Record<Method, LoadResult[]>;

/** Measures a node with 1,000,000 keys. */
export async function measureSnapshotPauses(run: BenchRun): Promise<SnapshotPausesResult> {
  const { directory, signal, rounds } = run.options;
  const cluster = await prepareCluster({
    directory: join(directory, "pauses"),
    nodeCount: 1,
    keyCount: KEYS,
    signal,
  });
  await using _nodes = await startAll(cluster.nodePrograms, signal);
  const node = new SnapshottingNode(run, cluster.config.nodes[0]);
  await node.beginSnapshot(); // the one that is due since the keys were written
  await node.finishSnapshot();
  const beside: Slices = { get: [], put: [] };
  const without: Slices = { get: [], put: [] };
  for (let i = 0; i < Math.min(rounds, SNAPSHOTS); i++) {
    await node.beginSnapshot();
    do await node.measure("put", beside); while (await node.isTakingSnapshot());
    await node.beginSnapshot();
    do await node.measure("get", beside); while (await node.isTakingSnapshot());
    for (const method of METHODS) {
      while (without[method].length < beside[method].length) {
        await node.finishSnapshot();
        await node.measure(method, without);
      }
    }
  }
  return resultOf(beside, without);
}

function resultOf(beside: Slices, without: Slices): SnapshotPausesResult {
  const longest = (slices: LoadResult[]) => slices.map(({ maxMs }) => maxMs);
  const waits = METHODS.map((method) => ({
    method,
    withoutMs: median(longest(without[method])),
    withMs: median(longest(beside[method])),
    withoutMsMax: Math.max(...longest(without[method])),
    withMsMax: Math.max(...longest(beside[method])),
    slices: beside[method].length,
  }));
  const all = [beside, without].flatMap(({ get, put }) => [...get, ...put]);
  const failures = all.reduce((sum, slice) => sum + slice.failures, 0);
  return { keyCount: KEYS, waits, failures };
}

/** A node that is made to take snapshots. */
class SnapshottingNode {
  readonly #run: BenchRun;
  readonly #node: NodeConfig;

  constructor(run: BenchRun, node: NodeConfig) {
    this.#run = run;
    this.#node = node;
  }

  async isTakingSnapshot(): Promise<boolean> {
    return (await readMetrics(this.#node)).snapshot_running > 0;
  }

  /** Makes the log grow until a snapshot begins. */
  async beginSnapshot(): Promise<void> {
    const send = async () => {
      while (!await this.isTakingSnapshot()) await this.#sendLargeWrite();
    };
    await Promise.all(Array.from({ length: LARGE_WRITERS }, send));
  }

  async finishSnapshot(): Promise<void> {
    while (await this.isTakingSnapshot()) {
      this.#run.options.signal.throwIfAborted();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  /** Adds a slice of load to `slices`. */
  async measure(method: Method, slices: Slices): Promise<void> {
    const { port } = this.#node;
    const load = { port, method, connections: CONNECTIONS, keyCount: KEYS };
    slices[method].push(await this.#run.load(load));
  }

  async #sendLargeWrite(): Promise<void> {
    const { signal } = this.#run.options;
    const url = `http://${formatAddress(this.#node.host, this.#node.port)}/put`;
    const write = { client: "large", seq: 1, key: "large", value: "x".repeat(LARGE_VALUE_BYTES) };
    const response = await fetch(url, { method: "POST", body: JSON.stringify(write), signal });
    await response.body?.cancel();
    if (!response.ok) throw new Failure(`Status of ${url} is ${response.status}, expected 200`);
  }
}
