/**
 * What a million keys do to a node: to its start, its memory, its speed and its event loop.
 *
 * @module
 */

import { fromFileUrl, join } from "@std/path";
import { prepareCluster, type PreparedCluster, startAll } from "./bench_cluster.ts";
import type { BenchRun } from "./bench_run.ts";
import { outputOf } from "./command.ts";
import { type Comparison, measurePairs } from "./comparison.ts";
import type { LoadedNodeResult } from "./loaded_node.ts";
import { residentBytes } from "./resident_memory.ts";
import type { ProcessMemory } from "./rows.ts";

const MANY = 1_000_000;
/** Keys of the node that the one with many is compared with. */
const FEW = 10_000;
const CONNECTIONS = 64;
/** Updates that look for stalls run for so many slices of load. */
const UPDATE_SLICES = 2;

const LOADED_NODE = fromFileUrl(new URL("loaded_node.ts", import.meta.url));

export interface ManyKeysResult {
  readonly keyCount: number;
  /** Records per second, read from the page cache. */
  readonly replayRate: number;
  readonly bytesPerKey: number;
  /** Many keys against few, at 64 connections: the node with few is the baseline. */
  readonly get: Comparison;
  readonly put: Comparison;
  /** Longest turn of the event loop under updates, in milliseconds; and that of an empty node. */
  readonly stallMs: number;
  readonly emptyStallMs: number;
  /** As above, of all but one in a thousand turns. */
  readonly turnMsP999: number;
  readonly memory: readonly ProcessMemory[];
}

/** Measures a node with 1,000,000 keys. */
export async function measureManyKeys(run: BenchRun): Promise<ManyKeysResult> {
  const { directory, signal, sliceSeconds } = run.options;
  const seconds = UPDATE_SLICES * sliceSeconds;
  const prepare = (name: string, keyCount: number) =>
    prepareCluster({ directory: join(directory, name), nodeCount: 1, keyCount, signal });
  const few = await prepare("few", FEW);
  const many = await prepare("many", MANY);
  const empty = await askLoadedNode(join(directory, "empty"), FEW, { seconds, signal });
  const loaded = await askLoadedNode(many.config.nodes[0].data, MANY, { seconds, signal });
  return {
    keyCount: loaded.keys,
    replayRate: loaded.records / loaded.replayMs * 1000,
    bytesPerKey: (loaded.residentBytes - empty.residentBytes) / loaded.keys,
    stallMs: loaded.turnMsMax,
    emptyStallMs: empty.turnMsMax,
    turnMsP999: loaded.turnMsP999,
    ...await compareSpeed(run, few, many),
  };
}

/** Runs `loaded_node.ts` on a data directory, which may be a new one. */
async function askLoadedNode(
  data: string,
  keyCount: number,
  { seconds, signal }: { seconds: number; signal: AbortSignal },
): Promise<LoadedNodeResult> {
  const args = [
    "run",
    "--no-prompt",
    // To tell what the keys take from what their replay has left behind.
    "--v8-flags=--expose-gc",
    `--allow-read=${data}`,
    `--allow-write=${data}`,
    LOADED_NODE,
    data,
    `${seconds}`,
    `${keyCount}`,
  ];
  await Deno.mkdir(data, { recursive: true });
  return JSON.parse(await outputOf(Deno.execPath(), args, signal));
}

async function compareSpeed(run: BenchRun, few: PreparedCluster, many: PreparedCluster) {
  const { signal, rounds } = run.options;
  const programs = [...few.nodePrograms, ...many.nodePrograms];
  await using nodes = await startAll(programs, signal);
  const compare = (method: "get" | "put") => {
    const load = { method, connections: CONNECTIONS };
    return measurePairs(rounds, {
      baseline: () => run.load({ ...load, port: few.config.nodes[0].port, keyCount: FEW }),
      row: () => run.load({ ...load, port: many.config.nodes[0].port, keyCount: MANY }),
    });
  };
  const [get, put] = [await compare("get"), await compare("put")];
  const memory = [FEW, MANY].map(async (keyCount, i) => ({
    name: `one node, ${keyCount.toLocaleString("en")} keys`,
    residentBytes: await residentBytes(nodes.servers[i].pid),
  }));
  return { get, put, memory: await Promise.all(memory) };
}
