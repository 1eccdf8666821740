/**
 * `main.ts router`: runs the router until it is asked to stop.
 *
 * @module
 */

import { type ClusterConfig, formatAddress, loadConfig } from "../lib/config.ts";
import { type RunningRouter, startRouter } from "../router/server.ts";
import { ExitCode, Failure, parseArguments } from "./subcommand.ts";
import { formatReadyLine } from "./supervise/ready_line.ts";
import { endOfInput, stopSignal } from "./supervise/stop_request.ts";

export const name = "router";
export const summary = "Run the router of the cluster";
export const help = `Usage: main.ts router [--config FILE] [--supervised]

Serves the keys of all nodes under one address, and prints one "listening" line when it does. The
nodes need not be up. SIGTERM, SIGINT (Ctrl-C) and SIGHUP stop it once everything that it accepted
is answered.

  --config FILE  The cluster, in JSON; default: six nodes n1 to n6 on loopback
  --supervised   Stop also when standard input ends: the supervisor holds it open

Exit codes: 0 stopped as asked, 1 failed, 2 misuse.`;

export async function run(args: string[]): Promise<number> {
  const { flags } = parseArguments(args, { flags: { config: "text", supervised: "switch" } });
  const config = await loadConfig(flags.config);
  const stop = flags.supervised ? Promise.race([stopSignal(), endOfInput()]) : stopSignal();
  const router = start(config);
  console.log(formatReadyLine({
    id: "router",
    http: formatAddress(config.router.host, router.port),
    nodes: config.nodes.length,
    pid: Deno.pid,
  }));
  await stop;
  await router.close();
  return ExitCode.done;
}

function start(config: ClusterConfig): RunningRouter {
  try {
    return startRouter(config);
  } catch (cause) {
    if (!(cause instanceof Deno.errors.AddrInUse)) throw cause;
    const address = formatAddress(config.router.host, config.router.port);
    throw new Failure(`Cannot listen on ${address}: the port is in use`, { cause });
  }
}
