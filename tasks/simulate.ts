/**
 * `main.ts simulate`: runs simulated clusters with faults, and says which seed breaks a promise.
 *
 * @module
 */

import { planOf } from "./simulate/plan.ts";
import { formatStory, Tally } from "./simulate/report.ts";
import { shrink } from "./simulate/shrink.ts";
import { type RunResult, simulate } from "./simulate/simulation.ts";
import { ExitCode, parseArguments, parseNumber } from "./subcommand.ts";

export const name = "simulate";
export const summary = "Break simulated clusters, each from a seed, and check every promise";
export const help = `Usage: main.ts simulate [--seed S] [--runs N] [--unshrunk]

Runs N clusters of real nodes and a real router on simulated disks, clocks and networks, with
clients and faults that the seeds S, S + 1 and so on decide. After each it checks that no
acknowledged write is lost, none is applied twice, each key is linearizable, a restart finds the
very state that was there, and a damaged byte is never served.

The first seed that breaks a promise ends it, with the smallest story found that breaks one too.

  --seed S    The first seed, an integer from 0; default: drawn, and printed
  --runs N    How many seeds; default: 1000
  --unshrunk  Tell the story of a failing seed as it is

Exit codes: 0 every promise was kept, 1 one was broken, 2 misuse.`;

/** How often a line says how far it is, in milliseconds. */
const PROGRESS_MS = 60_000;

export async function run(args: string[]): Promise<number> {
  const { flags } = parseArguments(args, {
    flags: { seed: "text", runs: "text", unshrunk: "switch" },
  });
  const seed = parseNumber("seed", flags.seed, { min: 0 }) ?? Math.floor(Math.random() * 1e9);
  const runs = parseNumber("runs", flags.runs, { min: 1 }) ?? 1000;
  console.log(`seeds ${seed} to ${seed + runs - 1}`);
  const startMs = performance.now();
  const tally = new Tally();
  const failed = await runSeeds(seed, runs, tally);
  console.log(tally.format(performance.now() - startMs));
  if (failed === null) {
    console.log("every promise was kept");
    return ExitCode.done;
  }
  console.log(`\n${await storyOf(failed.seed, failed.result, flags.unshrunk)}`);
  return ExitCode.failed;
}

/** Runs the seeds until one breaks a promise; null if none does. */
async function runSeeds(
  first: number,
  runs: number,
  tally: Tally,
): Promise<{ seed: number; result: RunResult } | null> {
  const startMs = performance.now();
  let nextProgressMs = startMs + PROGRESS_MS;
  for (let seed = first; seed < first + runs; seed++) {
    const result = await simulate(planOf(seed));
    tally.add(result);
    if (result.problem !== null) return { seed, result };
    if (performance.now() < nextProgressMs) continue;
    nextProgressMs += PROGRESS_MS;
    console.log(tally.progress(performance.now() - startMs));
  }
  return null;
}

async function storyOf(seed: number, result: RunResult, unshrunk: boolean): Promise<string> {
  const plan = planOf(seed);
  const failing = { plan, result };
  return formatStory(plan, unshrunk ? failing : await shrink(failing));
}
