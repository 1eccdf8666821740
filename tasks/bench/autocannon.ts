/**
 * Load from `autocannon`, which comes from npm and is there wherever Deno is. It is JavaScript and
 * takes as much of the machine as what it measures, so all rates are lower with it, and closer to
 * those of the bare server: ratios are to be compared only with ratios from the same generator.
 *
 * @module
 */

import { fromFileUrl } from "@std/path";
import { outputOf } from "./command.ts";
import type { LoadGenerator, LoadResult } from "./workload.ts";

const PROCESS = fromFileUrl(new URL("autocannon_process.ts", import.meta.url));

/** What is read from the result of a run of autocannon. */
export interface AutocannonResult {
  /** Seconds. */
  readonly duration: number;
  /** Connections that failed, timeouts among them. */
  readonly errors: number;
  readonly non2xx: number;
  readonly "2xx": number;
  /** Milliseconds. */
  readonly latency: { readonly p50: number; readonly p99: number; readonly max: number };
}

/** Runs autocannon in a process of its own. */
export const autocannon: LoadGenerator = {
  name: "autocannon",
  description: `${import.meta.resolve("autocannon")} (its ratios do not compare with those of wrk)`,
  async run(load, signal) {
    // It looks at the environment to choose colours, which are not used here.
    const permissions = ["--no-prompt", "--allow-net=127.0.0.1", "--allow-env"];
    const args = ["run", "--quiet", ...permissions, PROCESS, JSON.stringify(load)];
    return fromAutocannon(JSON.parse(await outputOf(Deno.execPath(), args, signal)));
  },
};

/** The result of autocannon as that of any generator. */
export function fromAutocannon(result: AutocannonResult): LoadResult {
  return {
    requests: result["2xx"] + result.non2xx,
    seconds: result.duration,
    failures: result.non2xx + result.errors,
    p50Ms: result.latency.p50,
    p99Ms: result.latency.p99,
    maxMs: result.latency.max,
  };
}
