/**
 * `main.ts simulate`: runs simulated clusters with faults, and says which seed breaks a promise.
 *
 * @module
 */

import { planOf } from "./simulate/plan.ts";
import { formatStory, Tally } from "./simulate/report.ts";
import { shrink } from "./simulate/shrink.ts";
import { type RunResult, simulate } from "./simulate/simulation.ts";
import { ExitCode, Failure, parseArguments, parseNumber, wrongValue } from "./subcommand.ts";
import { stopSignal } from "./supervise/stop_request.ts";
import { orAborted } from "./or_aborted.ts";

export const name = "simulate";
export const summary = "Break simulated clusters, each from a seed, and check every promise";
export const help = `Usage: main.ts simulate [--seed S] [--runs N] [--unshrunk]

Runs N clusters of real nodes and a real router on simulated disks, clocks and networks, with
clients and faults that the seeds S, S + 1 and so on decide. After each it checks that no
acknowledged write is lost, none is applied twice, each key is linearizable, a restart finds the
very state that was there, and a damaged byte is never served.

The first seed that breaks a promise ends it, with the smallest story found that breaks one too.
Ctrl-C ends it as well, and it says what it did so far.

  --seed S    The first seed, an integer from 0; default: drawn, and printed
  --runs N    How many seeds; default: 1000
  --unshrunk  Tell the story of a failing seed as it is

Exit codes: 0 every promise was kept, 1 one was broken, or stopped before the end, 2 misuse.`;

/** How often a line says how far it is, in milliseconds. */
const PROGRESS_MS = 60_000;

export async function run(args: string[]): Promise<number> {
  const { flags } = parseArguments(args, {
    flags: { seed: "text", runs: "text", unshrunk: "switch" },
  });
  const seed = parseNumber("seed", flags.seed, { min: 0 }) ?? Math.floor(Math.random() * 1e9);
  const runs = parseNumber("runs", flags.runs, { min: 1 }) ?? 1000;
  const max = Number.MAX_SAFE_INTEGER - seed + 1;
  if (runs > max) {
    throw wrongValue("runs", `${runs}`, `at most ${max} from seed ${seed} on`);
  }
  const stop = new AbortController();
  stopSignal().then(() => stop.abort(new Failure("Stopped before the story was told")));
  console.log(`seeds ${seed} to ${seed + runs - 1}`);
  const startMs = performance.now();
  const tally = new Tally();
  const failed = await runSeeds({ seed, runs }, tally, stop.signal);
  console.log(tally.format(performance.now() - startMs));
  if (failed === null) {
    if (tally.runs < runs) {
      throw new Failure(`Stopped before seed ${seed + tally.runs}; every promise was kept`);
    }
    console.log("every promise was kept");
    return ExitCode.done;
  }
  const story = storyOf(failed.seed, failed.result, flags.unshrunk);
  console.log(`\n${await orAborted(story, stop.signal)}`);
  return ExitCode.failed;
}

/** Runs the seeds until one breaks a promise, or until it is to stop; null if none broke one. */
async function runSeeds(
  { seed: first, runs }: { seed: number; runs: number },
  tally: Tally,
  signal: AbortSignal,
): Promise<{ seed: number; result: RunResult } | null> {
  const startMs = performance.now();
  let nextProgressMs = startMs + PROGRESS_MS;
  for (let seed = first; tally.runs < runs && !signal.aborted; seed++) {
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
