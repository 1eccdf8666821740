/**
 * `main.ts torture`: a real cluster under load, whose processes are killed and paused all the time;
 * at the end every answer is accounted for.
 *
 * @module
 */

import { randomInt } from "node:crypto";
import { assignSlots, slotOf } from "../router/slots.ts";
import { freeConfig } from "./free_config.ts";
import { checkHistory } from "./history/check_history.ts";
import { History, isAcknowledged } from "./history/history.ts";
import { formatViolation } from "./history/violation.ts";
import { Random } from "./random.ts";
import { ExitCode, Failure, parseArguments, parseNumber } from "./subcommand.ts";
import { stopSignal } from "./supervise/stop_request.ts";
import { temporaryDirectory } from "./temporary_directory.ts";
import { countLost, dealKeys, fillNodes } from "./torture/kept_keys.ts";
import { KEYS_PER_SHARD, Load, type ShardTarget } from "./torture/load.ts";
import { inflictPlan } from "./torture/inflict_plan.ts";
import { planFaults, type PlannedFault } from "./torture/plan.ts";
import { orAborted } from "./or_aborted.ts";
import { reportOn } from "./torture/report.ts";
import { type InflictedFault, TargetCluster } from "./torture/target_cluster.ts";
import { formatResult, isKept, type TortureResult } from "./torture/torture_view.ts";

export const name = "torture";
export const summary = "Kill and pause a real cluster under load, and check every answer";
export const help = `Usage: main.ts torture [--minutes M] [--seed S] [--nodes N] [--keys K]

Starts a supervised cluster on free ports, with its data in .tmp. Clients read and write, through
the router and straight to the nodes; they send a write that got no answer again until it has one.
All the while nodes and the router are killed (SIGKILL) and paused (SIGSTOP). In the end everything
runs again, every key is read, and the whole history is checked: linearizable, nothing lost, nothing
applied twice.

  --minutes M  How long faults go on; default: 1. At least 12 kills, however short
  --seed S     Decides the faults and what clients ask for; default: a new one
  --nodes N    1 to 64; default: 6
  --keys K     Keys that each node holds from the start, beside those of the load; default: 100000

Exit codes: 0 every promise was kept, 1 one was not, or the torture itself failed, 2 misuse.`;

const PROGRESS_MS = 10_000;
/** How many wrong answers are told in full. */
const TOLD_MAX = 20;
const SEED_MAX = 2 ** 32 - 1;
const MINUTES = { min: 0.01, max: 10_000, isFraction: true };

interface TortureOptions {
  readonly minutes: number;
  readonly seed: number;
  readonly nodes: number;
  readonly keys: number;
}

export async function run(args: string[]): Promise<number> {
  const options = readOptions(args);
  const { minutes, seed, nodes, keys } = options;
  console.log(
    `seed ${seed}: torture --minutes ${minutes} --seed ${seed} ` +
      `--nodes ${nodes} --keys ${keys}`,
  );
  const stop = new AbortController();
  stopSignal().then(() => stop.abort(new Failure("Stopped before the end, checked nothing")));
  await using resources = new AsyncDisposableStack();
  const directory = resources.use(await temporaryDirectory("torture-"));
  /** Somebody will want to look at it. */
  const keepData = () => {
    resources.move();
    console.log(`\nThe data is in ${directory.path}`);
  };
  let result: TortureResult;
  try {
    result = await torture(options, directory.path, stop.signal);
  } catch (error) {
    if (!stop.signal.aborted) keepData();
    throw error;
  }
  const { violations } = result;
  for (const violation of violations.slice(0, TOLD_MAX)) {
    console.log(`\n${formatViolation(violation)}`);
  }
  if (violations.length > TOLD_MAX) console.log(`\nand ${violations.length - TOLD_MAX} more`);
  console.log(`\n${formatResult(result)}`);
  if (isKept(result)) return ExitCode.done;
  keepData();
  return ExitCode.failed;
}

/** @throws The reason of `signal`. */
async function torture(
  { minutes, seed, nodes, keys }: TortureOptions,
  directory: string,
  signal: AbortSignal,
): Promise<TortureResult> {
  const random = new Random(`torture ${seed}`);
  const owners = assignSlots(nodes);
  const placement = { nodeCount: nodes, ownerOf: (key: string) => owners[slotOf(key)] };
  const config = freeConfig(directory, nodes);
  const kept = dealKeys("kept", keys, placement);
  await fillNodes(config.nodes, kept, signal);

  await using cluster = await TargetCluster.start(config);
  const now = () => performance.now();
  const history = new History(now);
  const shards = shardsOf(cluster, dealKeys("load", KEYS_PER_SHARD, placement));
  await using load = new Load({ shards, history, random: random.fork("load"), now });
  const planOptions = { durationMs: minutes * 60_000, nodeIds: cluster.nodeIds };
  const plan = planFaults({ ...planOptions, random: random.fork("plan") });
  const faults = await inflictAll(plan, { cluster, load, history, signal });
  await orAborted(load.finish(), signal);

  const keptOptions = { url: cluster.url("router"), random: random.fork("kept"), signal };
  const lostKeys = await countLost({ ...keptOptions, keys: kept.flat(), history });
  const { operations } = history;
  return {
    faults,
    operations: operations.length,
    acknowledgedWrites: operations.filter(isAcknowledged).length,
    violations: checkHistory(operations, placement),
    keptKeys: nodes * keys,
    lostKeys,
    unexpected: cluster.unexpected,
    report: reportOn({ faults, answeredAt: load.answeredAt, failures: load.failures }),
  };
}

function shardsOf(cluster: TargetCluster, keys: readonly string[][]): ShardTarget[] {
  return cluster.nodeIds.map((id, i) => ({
    id,
    keys: keys[i],
    urls: { router: cluster.url("router"), node: cluster.url(id) },
  }));
}

interface Scene {
  readonly cluster: TargetCluster;
  readonly load: Load;
  readonly history: History;
  readonly signal: AbortSignal;
}

/** Carries out the plan, and says now and then how far it is; also where it fails. */
async function inflictAll(plan: readonly PlannedFault[], scene: Scene): Promise<InflictedFault[]> {
  const { cluster, load, signal } = scene;
  const startMs = performance.now();
  const faults: InflictedFault[] = [];
  const sayProgress = () => console.log(formatProgress(performance.now() - startMs, faults, scene));
  const progress = setInterval(sayProgress, PROGRESS_MS);
  try {
    await inflictPlan(plan, {
      inflict: async (fault) => void faults.push(await cluster.inflict(fault)),
      failed: load.failed,
      signal,
    });
  } catch (error) {
    if (!signal.aborted) {
      sayProgress();
      for (const end of cluster.unexpected) console.log(end);
    }
    throw error;
  } finally {
    clearInterval(progress);
  }
  return faults;
}

function formatProgress(
  elapsedMs: number,
  faults: InflictedFault[],
  { history, load }: Scene,
): string {
  const kills = faults.filter(({ kind }) => kind === "kill").length;
  const counts = [
    formatCount(kills, "kill"),
    formatCount(faults.length - kills, "pause"),
    formatCount(history.operations.length, "operation"),
    `${formatCount(load.failures.length, "attempt")} without an answer`,
  ];
  return `${Math.round(elapsedMs / 1000)} s: ${counts.join(", ")}`;
}

function formatCount(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

function readOptions(args: string[]): TortureOptions {
  const { flags } = parseArguments(args, {
    flags: { minutes: "text", seed: "text", nodes: "text", keys: "text" },
  });
  return {
    minutes: parseNumber("minutes", flags.minutes, MINUTES) ?? 1,
    seed: parseNumber("seed", flags.seed, { min: 0, max: SEED_MAX }) ?? randomInt(SEED_MAX),
    nodes: parseNumber("nodes", flags.nodes, { min: 1, max: 64 }) ?? 6,
    keys: parseNumber("keys", flags.keys, { min: 0, max: 1_000_000 }) ?? 100_000,
  };
}
