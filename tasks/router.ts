/**
 * `main.ts router`: runs the router until it is asked to stop.
 *
 * @module
 */

import { formatAddress } from "../lib/address.ts";
import { type ClusterConfig, loadConfig } from "../lib/config.ts";
import { type RunningRouter, startRouter } from "../router/server.ts";
import { ExitCode, Failure, isBug, notCapable, parseArguments } from "./subcommand.ts";
import { whyNotListening } from "./supervise/port_check.ts";
import { formatReadyLine } from "./supervise/ready_line.ts";
import { stopRequest } from "./supervise/stop_request.ts";

export const name = "router";
export const summary = "Run the router of the cluster";
export const help = `Usage: main.ts router [--config FILE] [--supervised]

Serves the keys of all nodes under one address, and prints one "listening" line when it does. The
nodes need not be up. SIGTERM, SIGINT (Ctrl-C) and SIGHUP stop it once everything that it accepted
is answered.

  --config FILE  The cluster, in JSON, or the JSON itself; default: six nodes n1 to n6
  --supervised   Stop also when standard input ends: the supervisor holds it open

Exit codes: 0 stopped as asked, 1 failed, 2 misuse.`;

export async function run(args: string[]): Promise<number> {
  const { flags } = parseArguments(args, { flags: { config: "text", supervised: "switch" } });
  const config = await loadConfig(flags.config);
  const stop = stopRequest(flags.supervised);
  const router = start(config, flags.supervised);
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

function start(config: ClusterConfig, isSupervised: boolean): RunningRouter {
  try {
    return startRouter(config);
  } catch (cause) {
    if (isBug(cause)) throw cause;
    if (cause instanceof Deno.errors.NotCapable) throw isSupervised ? notCapable(cause) : cause;
    const address = formatAddress(config.router.host, config.router.port);
    const reason = cause instanceof Deno.errors.AddrInUse
      ? "the port is in use"
      : `it ${whyNotListening(cause)}`;
    throw new Failure(`Cannot listen on ${address}: ${reason}`, { cause });
  }
}
