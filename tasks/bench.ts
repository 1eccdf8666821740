/**
 * `main.ts bench`: measures how fast the store is, against a bare HTTP server on the same machine
 * at the same time.
 *
 * The figure of a row is a ratio, because a rate says more about the machine than about the store.
 * Everything that is measured runs as a process of its own, on free ports of loopback, with data in
 * a temporary directory. What is left undone: load from another machine, and a disk that is cold.
 *
 * @module
 */

import { setColorEnabled } from "@std/fmt/colors";
import { measureApiAlone } from "./bench/api_alone.ts";
import { autocannon } from "./bench/autocannon.ts";
import { BenchRun } from "./bench/bench_run.ts";
import {
  formatManyKeys,
  formatMemory,
  formatRestart,
  formatRow,
  formatRowHead,
  formatSnapshotPauses,
} from "./bench/bench_view.ts";
import { describeMachine, formatMachine } from "./bench/machine.ts";
import { type ManyKeysResult, measureManyKeys } from "./bench/many_keys.ts";
import { measureRedis, whyNoRedis } from "./bench/redis.ts";
import { measureRestarts, type RestartResult } from "./bench/restart.ts";
import { measureRows, type ProcessMemory, type RowResult, ROWS } from "./bench/rows.ts";
import { measureSnapshotPauses, type SnapshotPausesResult } from "./bench/snapshot_pauses.ts";
import type { LoadGenerator } from "./bench/workload.ts";
import { findWrk } from "./bench/wrk.ts";
import {
  ExitCode,
  Failure,
  isBug,
  misuse,
  parseArguments,
  parseNumber,
  wrongValue,
} from "./subcommand.ts";
import { stopSignal } from "./supervise/stop_request.ts";
import { temporaryDirectory } from "./temporary_directory.ts";

const PARTS = [...ROWS.map(({ id }) => id), "api-alone", "redis", "keys", "pauses", "restart"];
const DEFAULTS = { seconds: 2, rounds: 5 };
const QUICK = { seconds: 1, rounds: 1 };

export const name = "bench";
export const summary = "Measure how fast it is";
export const help = `Usage: main.ts bench [--quick] [--only PARTS] [--seconds N] [--rounds N]
                     [--load PROGRAM] [--json FILE]

Starts nodes and a router on free ports, puts them under load, and prints what they answer in a
second as a ratio to what a bare Deno.serve answers, measured right before. Takes about twelve
minutes. Load comes from wrk when it is on the PATH, and from autocannon otherwise. Ctrl-C stops it
and removes its data.

  --quick         One short pair per figure: two minutes, and too short to judge by
  --only PARTS    Some parts, with commas between: ${PARTS.slice(0, 3).join(",")},
                  ${PARTS.slice(3).join(",")}
  --seconds N     Length of a slice of load; default: ${DEFAULTS.seconds}
  --rounds N      Pairs of slices, bare server and row, per figure; default: ${DEFAULTS.rounds}
  --load PROGRAM  wrk or autocannon
  --json FILE     Where all figures are written; default: bench.json

Exit codes: 0 measured (whether or not goals were reached), 1 failed, or a row is invalid because
requests failed, 2 misuse.`;

/** What the JSON file holds, beside the machine and the options. */
interface Figures {
  readonly rows: RowResult[];
  readonly memory: ProcessMemory[];
  manyKeys?: ManyKeysResult;
  snapshotPauses?: SnapshotPausesResult;
  restarts?: RestartResult[];
}

export async function run(args: string[]): Promise<number> {
  const options = readOptions(args);
  await requireWritable(options.json);
  setColorEnabled(Deno.stdout.isTerminal() && !Deno.noColor);
  const stop = new AbortController();
  stopSignal().then(() => stop.abort(new Failure("Stopped before the end, wrote no figures")));
  await using directory = await temporaryDirectory("bench-");
  const generator = await chooseGenerator(options.load, directory.path);
  const machine = describeMachine();
  console.log(formatMachine(machine, generator.description));
  const { seconds, rounds, parts } = options;
  const figures: Figures = { rows: [], memory: [] };
  {
    await using run = await BenchRun.start({
      generator,
      sliceSeconds: seconds,
      rounds,
      directory: directory.path,
      signal: stop.signal,
    });
    try {
      await measure(run, parts, figures);
    } catch (error) {
      stop.signal.throwIfAborted(); // what fails after Ctrl-C fails because of it
      throw error;
    }
  }
  const load = { generator: generator.name, seconds, rounds };
  const report = { date: new Date().toISOString(), machine, load, ...figures };
  await Deno.writeTextFile(options.json, `${JSON.stringify(report, null, 2)}\n`);
  console.log(`\nAll figures are in ${options.json}`);
  return isValid(figures) ? ExitCode.done : ExitCode.failed;
}

/** Measures what was asked for, prints it, and adds it to `figures`. */
async function measure(run: BenchRun, parts: readonly string[], figures: Figures): Promise<void> {
  const onRow = (result: RowResult) => {
    figures.rows.push(result);
    console.log(formatRow(result));
  };
  const rows = ROWS.filter(({ id }) => parts.includes(id));
  if (rows.length > 0 || parts.includes("api-alone") || parts.includes("redis")) {
    console.log(formatRowHead(run.options));
  }
  for (const via of ["node", "router"] as const) {
    const some = rows.filter((row) => row.via === via);
    if (some.length > 0) figures.memory.push(...await measureRows(run, via, some, onRow));
  }
  if (parts.includes("api-alone")) await measureApiAlone(run, onRow);
  if (parts.includes("redis")) {
    const reason = await whyNoRedis();
    if (reason === undefined) await measureRedis(run, onRow);
    else console.log(`SET, Redis: left out, ${reason}`);
  }
  if (parts.includes("keys")) {
    figures.manyKeys = await measureManyKeys(run);
    figures.memory.push(...figures.manyKeys.memory);
    console.log(`\n${formatManyKeys(figures.manyKeys)}`);
  }
  if (parts.includes("pauses")) {
    figures.snapshotPauses = await measureSnapshotPauses(run);
    console.log(`\n${formatSnapshotPauses(figures.snapshotPauses)}`);
  }
  if (parts.includes("restart")) {
    const onResult = (result: RestartResult) => console.log(`\n${formatRestart(result)}`);
    figures.restarts = await measureRestarts(run, onResult);
  }
  if (figures.memory.length > 0) console.log(`\n${formatMemory(figures.memory)}`);
}

function isValid({ rows, manyKeys, snapshotPauses }: Figures): boolean {
  const failures = (manyKeys === undefined ? 0 : manyKeys.get.failures + manyKeys.put.failures) +
    (snapshotPauses?.failures ?? 0);
  return failures === 0 && rows.every(({ problem }) => problem === undefined);
}

function readOptions(args: string[]) {
  const { flags } = parseArguments(args, {
    flags: {
      quick: "switch",
      only: "text",
      seconds: "text",
      rounds: "text",
      load: "text",
      json: "text",
    },
  });
  const defaults = flags.quick ? QUICK : DEFAULTS;
  return {
    parts: readParts(flags.only),
    seconds: parseNumber("seconds", flags.seconds, { min: 1, max: 60 }) ?? defaults.seconds,
    rounds: parseNumber("rounds", flags.rounds, { min: 1, max: 100 }) ?? defaults.rounds,
    load: flags.load,
    json: flags.json ?? "bench.json",
  };
}

function readParts(text = PARTS.join(",")): string[] {
  const parts = text.split(",");
  const unknown = parts.find((part) => !PARTS.includes(part));
  if (unknown === undefined) return parts;
  throw misuse(`Unknown part "${unknown}" in "--only", expected some of ${PARTS.join(", ")}`);
}

/** A file that cannot be written is better known before all the load than after. */
async function requireWritable(path: string): Promise<void> {
  const { state } = await Deno.permissions.request({ name: "write", path });
  if (state !== "granted") {
    throw new Failure(`Cannot write "${path}": Deno may not, expected --allow-write="${path}"`);
  }
  try {
    const isNew = await createIfMissing(path);
    if (isNew) await Deno.remove(path);
  } catch (cause) {
    if (isBug(cause)) throw cause;
    throw new Failure(`Cannot write "${path}": ${(cause as Error).message}`, { cause });
  }
}

/** Opens a file to write to, and changes nothing in it. Whether it is new. */
async function createIfMissing(path: string): Promise<boolean> {
  try {
    (await Deno.open(path, { write: true, createNew: true })).close();
    return true;
  } catch (error) {
    if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    (await Deno.open(path, { write: true })).close();
    return false;
  }
}

async function chooseGenerator(
  name: string | undefined,
  directory: string,
): Promise<LoadGenerator> {
  if (name !== undefined && name !== "wrk" && name !== "autocannon") {
    throw wrongValue("load", name, "wrk or autocannon");
  }
  if (name === "autocannon") return autocannon;
  const wrk = await findWrk(directory);
  if (wrk === undefined && name === "wrk") {
    throw new Failure(`Cannot generate load with "wrk": it is not on the PATH`);
  }
  return wrk ?? autocannon;
}
