/**
 * What is left of many overwrites: how much of the disk they take, and how long a node takes to
 * serve again.
 *
 * @module
 */

import { fromFileUrl, join } from "@std/path";
import { SEGMENT_BYTES } from "../../lib/limits.ts";
import { sizeOf } from "../node_data.ts";
import { THREAD_SOURCES } from "../source.ts";
import type { Program } from "../supervise/program.ts";
import { prepareCluster } from "./bench_cluster.ts";
import type { BenchRun } from "./bench_run.ts";
import { outputOf } from "./command.ts";
import type { OverwritesResult } from "./overwrites.ts";
import { startServer } from "./server_process.ts";
import { median } from "./statistics.ts";

const OVERWRITES = fromFileUrl(new URL("overwrites.ts", import.meta.url));

/** How often how many keys are overwritten; a short bench does a tenth. */
const CASES = [
  { writes: 10_000_000, keyCount: 1000 },
  { writes: 2_000_000, keyCount: 100_000 },
];
const QUICK_PART = 0.1;
const STARTS = 3;

/** A node after many overwrites of a few keys. */
export interface RestartResult extends OverwritesResult {
  readonly keyCount: number;
  /** All files of the node. */
  readonly diskBytes: number;
  /** Three times what is stored and one segment. */
  readonly diskBytesGoal: number;
  /** From the start of the process to its ready line, in milliseconds; median. */
  readonly startMs: number;
}

/** Overwrites keys, and starts nodes on what that leaves. */
export async function measureRestarts(
  run: BenchRun,
  onResult: (result: RestartResult) => void,
): Promise<RestartResult[]> {
  const { directory, signal, rounds } = run.options;
  const part = rounds === 1 ? QUICK_PART : 1;
  const results: RestartResult[] = [];
  for (const { writes, keyCount } of CASES) {
    const cluster = await prepareCluster({
      directory: join(directory, `restart-${keyCount}`),
      nodeCount: 1,
      keyCount: 0,
      signal,
    });
    const { data } = cluster.config.nodes[0];
    const overwrites = await askOverwrites(data, {
      writes: writes * part,
      keyCount,
      signal,
    });
    const diskBytes = await sizeOf(data);
    const diskBytesGoal = 3 * (overwrites.snapshotBytes + SEGMENT_BYTES);
    const startMs = await timeStarts(cluster.nodePrograms[0], signal);
    const result = { ...overwrites, keyCount, diskBytes, diskBytesGoal, startMs };
    results.push(result);
    onResult(result);
  }
  return results;
}

/** Runs `overwrites.ts` on a data directory. */
async function askOverwrites(
  data: string,
  { writes, keyCount, signal }: { writes: number; keyCount: number; signal: AbortSignal },
): Promise<OverwritesResult> {
  const permissions = [`--allow-read=${[data, ...THREAD_SOURCES]}`, `--allow-write=${data}`];
  const args = ["run", "--no-prompt", ...permissions, OVERWRITES, data, `${writes}`, `${keyCount}`];
  return JSON.parse(await outputOf(Deno.execPath(), args, signal));
}

async function timeStarts(program: Program, signal: AbortSignal): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < STARTS; i++) {
    const startMs = performance.now();
    await using _server = await startServer(program, signal);
    times.push(performance.now() - startMs);
  }
  return median(times);
}
