/**
 * `main.ts cluster`: the supervisor. It runs the nodes and the router as processes of their own,
 * each with the narrowest permissions, until it is asked to stop.
 *
 * @module
 */

import { setColorEnabled } from "@std/fmt/colors";
import { systemClock } from "../lib/clock.ts";
import { type ClusterConfig, loadConfig } from "../lib/config.ts";
import { defaultMemoryBytes } from "../node/admission.ts";
import { parseMemoryMax } from "./memory_max.ts";
import { ExitCode, Failure, parseArguments } from "./subcommand.ts";
import { formatInvitation, formatNodes, prefixer } from "./supervise/cluster_view.ts";
import { checkData } from "./supervise/data_check.ts";
import { checkDirectories } from "./supervise/directory_check.ts";
import { lockDirectories } from "./supervise/directory_lock.ts";
import { makeDataDirectories } from "./supervise/make_data_directories.ts";
import { checkPorts } from "./supervise/port_check.ts";
import { type Program, programsOf, spawnProcess } from "./supervise/program.ts";
import { parentGone, stopSignal } from "./supervise/stop_request.ts";
import { Supervisor } from "./supervise/supervisor.ts";

export const name = "cluster";
export const summary = "Run all nodes and the router, and start again what dies";
export const help = `Usage: main.ts cluster [--config FILE] [--memory-max SIZE] [--supervised]

Starts every node and the router as a process of its own, shows where they are, and starts again
what dies. A node whose data is damaged, or has gone away, stays down; the others go on. A config
in which a node has another place than before is refused: it decides which keys are where. Ctrl-C
(SIGINT), SIGTERM and SIGHUP stop them all within 5 seconds.

  --config FILE      The cluster, in JSON; default: six nodes n1 to n6 on loopback
  --memory-max SIZE  What store and sessions of each node may take, such as 4GiB; default: 3/4 of
                     the heap limit of V8, or an even share of twice that limit if that is less
  --supervised       Stop also when the parent process is gone

Output is in colour on a terminal, unless NO_COLOR is set.

Exit codes: 0 stopped as asked, 1 failed (such as a port in use), 2 misuse.`;

const FLAGS = { config: "text", "memory-max": "text", supervised: "switch" } as const;

export async function run(args: string[]): Promise<number> {
  const { flags } = parseArguments(args, { flags: FLAGS });
  const config = await loadConfig(flags.config);
  const memoryBytes = parseMemoryMax(flags["memory-max"]) ??
    defaultMemoryBytes(config.nodes.length);
  const programs = programsOf(config, { memoryBytes });
  await requireRun();
  checkDirectories(config);
  checkPorts(config);
  await makeDataDirectories(config);
  using _locked = await lockDirectories(config);
  setColorEnabled(Deno.stdout.isTerminal() && !Deno.noColor);
  const stop = flags.supervised
    ? Promise.race([stopSignal(), parentGone(systemClock)])
    : stopSignal();
  await superviseUntil(stop, config, programs);
  return ExitCode.done;
}

/** Without this permission no process would ever start. */
async function requireRun(): Promise<void> {
  const command = Deno.execPath();
  const { state } = await Deno.permissions.request({ name: "run", command });
  if (state === "granted") return;
  throw new Failure(
    `Cannot start "${command}": Deno may not, expected the flags of "deno task cluster"`,
  );
}

async function superviseUntil(
  stop: Promise<void>,
  config: ClusterConfig,
  programs: readonly Program[],
): Promise<void> {
  const prefix = prefixer([...programs.map((program) => program.name), name]);
  const say = (line: string) => console.log(prefix(name, line));
  const supervisor = new Supervisor(programs, {
    spawn: spawnProcess,
    clock: systemClock,
    onLine: (program, line) => console.log(prefix(program.name, line)),
    say,
  });
  for (const line of await checkData(config)) say(line);
  const isUp = await Promise.race([supervisor.start().then(() => true), stop]);
  if (isUp) showCluster(config, supervisor);
  await stop;
  say("Stopping all processes");
  await supervisor.stop();
  say("Stopped");
}

function showCluster(config: ClusterConfig, { states }: Supervisor): void {
  console.log(`\n${formatNodes(config.nodes, states)}\n`);
  console.log(`${formatInvitation(config, states)}\n`);
}
