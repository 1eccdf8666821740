/**
 * The row that compares: Redis with `appendfsync always`, which promises what a node promises. It
 * is loaded by its own `redis-benchmark`, a C program that speaks the protocol of Redis: what it
 * saves against HTTP and JSON is in the figure.
 *
 * @module
 */

import { join } from "@std/path";
import { freePorts } from "../free_config.ts";
import { Failure } from "../subcommand.ts";
import { killIfAlive } from "../supervise/kill_if_alive.ts";
import { forEachLine } from "../supervise/output_lines.ts";
import type { BenchRun } from "./bench_run.ts";
import { firstLineOf, outputOf } from "./command.ts";
import { problemOf, type RowResult } from "./rows.ts";
import { CONNECTION_COUNTS, KEY_COUNT, type LoadResult, VALUE_BYTES } from "./workload.ts";

/** Writes per second of a slice: `redis-benchmark` takes a count, not a time. */
const WRITES_PER_SECOND = 60_000;

/** Why there can be no row for Redis on this machine; undefined when there can. */
export async function whyNoRedis(): Promise<string | undefined> {
  for (const program of ["redis-server", "redis-benchmark"]) {
    if (await firstLineOf(program, "--version") === undefined) return `no ${program} on the PATH`;
  }
}

/** Measures Redis beside the bare server that the writes of a node stand beside. */
export async function measureRedis(
  run: BenchRun,
  onRow: (result: RowResult) => void,
): Promise<void> {
  const { directory, sliceSeconds, signal } = run.options;
  const [port] = freePorts(1);
  await using _redis = await startRedis(join(directory, "redis"), port);
  for (const connections of CONNECTION_COUNTS) {
    const load = { method: "put", connections, keyCount: KEY_COUNT } as const;
    const writes = WRITES_PER_SECOND * sliceSeconds;
    const comparison = await run.compareWithBare(
      load,
      () => benchmark(port, connections, writes, signal),
    );
    const problem = problemOf(comparison.failures);
    onRow({ id: "redis", title: "SET, Redis, fsync always", connections, ...comparison, problem });
  }
}

async function benchmark(
  port: number,
  connections: number,
  writes: number,
  signal: AbortSignal,
): Promise<LoadResult> {
  const values = ["-d", `${VALUE_BYTES}`, "-r", `${KEY_COUNT}`];
  const amount = ["-c", `${connections}`, "-n", `${writes}`];
  const args = ["-p", `${port}`, "-t", "set", ...values, ...amount, "--csv"];
  return parseRedisBenchmark(await outputOf("redis-benchmark", args, signal), writes);
}

/**
 * Reads what `redis-benchmark --csv` prints: a line of names, and one of figures.
 *
 * @throws {Error} A figure is missing.
 */
export function parseRedisBenchmark(output: string, requests: number): LoadResult {
  const [names, figures] = output.trim().split("\n").map((line) =>
    line.split(",").map((cell) => cell.replaceAll('"', ""))
  );
  const figure = (name: string) => {
    const value = Number(figures?.[names.indexOf(name)] || NaN);
    if (Number.isFinite(value)) return value;
    throw new Error(`Output of redis-benchmark has no "${name}", but: ${output.slice(0, 200)}`);
  };
  return {
    requests,
    seconds: requests / figure("rps"),
    failures: 0, // it ends with an error code at the first failure
    p50Ms: figure("p50_latency_ms"),
    p99Ms: figure("p99_latency_ms"),
    maxMs: figure("max_latency_ms"),
  };
}

/**
 * Starts Redis with data in `directory`. Unlike the other servers it does not notice when the bench
 * is killed with `kill -9`: it stays behind then.
 */
async function startRedis(directory: string, port: number): Promise<AsyncDisposable> {
  await Deno.mkdir(directory, { recursive: true });
  const place = ["--bind", "127.0.0.1", "--port", `${port}`, "--dir", directory];
  const durability = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""];
  const process = new Deno.Command("redis-server", {
    args: [...place, ...durability],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const ready = Promise.withResolvers<void>();
  const printed = forEachLine(process.stdout, (line) => {
    if (line.includes("Ready to accept connections")) ready.resolve();
  });
  const ended = process.status.then(({ code }) => {
    ready.reject(new Failure(`Server redis-server ended with code ${code}`));
  });
  await ready.promise;
  return {
    async [Symbol.asyncDispose]() {
      killIfAlive(process, "SIGTERM");
      await Promise.all([ended, printed]);
    },
  };
}
