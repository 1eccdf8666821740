/**
 * What all parts of one run of the bench share: how long to measure, with what, against which bare
 * servers, and where to put data.
 *
 * @module
 */

import { fromFileUrl } from "@std/path";
import { freePorts } from "../free_config.ts";
import type { Program } from "../supervise/program.ts";
import type { Baseline } from "./baseline.ts";
import { startAll } from "./bench_cluster.ts";
import { type Comparison, measurePairs } from "./comparison.ts";
import type { Load, LoadGenerator, LoadResult, Method } from "./workload.ts";

export interface BenchRunOptions {
  readonly generator: LoadGenerator;
  /** Whole seconds of one slice of load. */
  readonly sliceSeconds: number;
  /** Pairs of slices in a figure. */
  readonly rounds: number;
  /** Goes away at the end of the run. */
  readonly directory: string;
  /** Ends the run. */
  readonly signal: AbortSignal;
}

const WARM_UP_SECONDS = 1;
const BASELINE = fromFileUrl(new URL("baseline.ts", import.meta.url));

/** What a load is, whichever server gets it and for how long. */
export type LoadKind = Omit<Load, "port" | "seconds" | "clientPrefix">;

/** One run, from the start of its bare servers to the end of its scope. */
export class BenchRun implements AsyncDisposable {
  readonly options: BenchRunOptions;
  readonly #baselinePorts: Readonly<Record<Method, number>>;
  readonly #baselines: AsyncDisposable;
  /** Servers that have compiled their hot code, each as a method and a port. */
  readonly #warm = new Set<string>();
  readonly #id = crypto.randomUUID().slice(0, 8);
  #loads = 0;

  private constructor(
    options: BenchRunOptions,
    ports: Record<Method, number>,
    baselines: AsyncDisposable,
  ) {
    this.options = options;
    this.#baselinePorts = ports;
    this.#baselines = baselines;
  }

  static async start(options: BenchRunOptions): Promise<BenchRun> {
    const [get, put] = freePorts(2);
    const programs = [baselineProgram("get", get), baselineProgram("put", put)];
    return new BenchRun(options, { get, put }, await startAll(programs, options.signal));
  }

  /** One slice of load, after a warm-up if the server has had no load of this kind. */
  async load(load: Omit<Load, "seconds" | "clientPrefix">): Promise<LoadResult> {
    const server = `${load.method} ${load.port}`;
    if (!this.#warm.has(server)) await this.#load({ ...load, seconds: WARM_UP_SECONDS });
    this.#warm.add(server);
    return await this.#load({ ...load, seconds: this.options.sliceSeconds });
  }

  /** Holds what `row` measures against the bare server under the same load, in turns. */
  compareWithBare(load: LoadKind, row: () => Promise<LoadResult>): Promise<Comparison> {
    const port = this.#baselinePorts[load.method];
    return measurePairs(this.options.rounds, {
      baseline: () => this.load({ ...load, port }),
      row,
    });
  }

  #load(load: Omit<Load, "clientPrefix">): Promise<LoadResult> {
    const { generator, signal } = this.options;
    return generator.run({ ...load, clientPrefix: `${this.#id}-${++this.#loads}-` }, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#baselines[Symbol.asyncDispose]();
  }
}

/** The process that serves `baseline` on a port of loopback. */
export function baselineProgram(baseline: Baseline, port: number): Program {
  const permissions = ["--no-prompt", `--allow-net=127.0.0.1:${port}`];
  return {
    name: `baseline ${baseline}`,
    args: ["run", ...permissions, BASELINE, baseline, `${port}`],
  };
}
