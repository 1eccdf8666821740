/**
 * `main.ts node`: runs one node until it is asked to stop.
 *
 * @module
 */

import { formatAddress } from "../lib/address.ts";
import { type ClusterConfig, loadConfig, type NodeConfig } from "../lib/config.ts";
import { DamageError } from "../node/log/damage.ts";
import { WrongDirectoryError } from "../node/log/data_directory.ts";
import { type RunningNode, startNode } from "../node/server.ts";
import { checkCommand } from "./advised_commands.ts";
import { parseMemoryMax } from "./memory_max.ts";
import { shardOf } from "./shard_number.ts";
import { ExitCode, Failure, isBug, misuse, notCapable, parseArguments } from "./subcommand.ts";
import { whyNotListening } from "./supervise/port_check.ts";
import { formatReadyLine } from "./supervise/ready_line.ts";
import { stopRequest } from "./supervise/stop_request.ts";

export const name = "node";
export const summary = "Run one node of the cluster";
export const help =
  `Usage: main.ts node --id ID [--config FILE] [--memory-max SIZE] [--must-exist] [--supervised]

Replays the log of a node, serves its keys, and prints one "listening" line when it does. SIGTERM,
SIGINT (Ctrl-C) and SIGHUP stop it once everything that it accepted is durable and answered.

  --id ID            Which node of the config to run, such as n1
  --config FILE      The cluster, in JSON, or the JSON itself; default: six nodes n1 to n6
  --memory-max SIZE  What store and sessions may take, such as 4GiB; a write that would pass it is
                     refused with 507; default: 3/4 of the heap limit of V8
  --must-exist       Do not start without data: it has been there before
  --supervised       Stop also when standard input ends: the supervisor holds it open

Exit codes: 0 stopped as asked, 1 failed, 2 misuse, or data of another node or another shard of the
cluster, 3 damaged data.`;

export async function run(args: string[]): Promise<number> {
  const { flags } = parseArguments(args, {
    flags: {
      id: "text",
      config: "text",
      "memory-max": "text",
      "must-exist": "switch",
      supervised: "switch",
    },
  });
  const memoryBytes = parseMemoryMax(flags["memory-max"]);
  const cluster = await loadConfig(flags.config);
  const config = findNode(cluster, flags.id);
  const options = { shard: shardOf(cluster, config), mustExist: flags["must-exist"], memoryBytes };
  const stop = stopRequest(flags.supervised);
  try {
    // A replay that is under way when the node is to stop has accepted nothing: it is left there.
    const node = await Promise.race([startNode(config, options), stop]);
    if (node) await serve(node, config, stop);
  } catch (error) {
    throw explain(error, config, flags.supervised);
  }
  return ExitCode.done;
}

function findNode(config: ClusterConfig, id: string | undefined): NodeConfig {
  const ids = config.nodes.map((node) => node.id).join(", ");
  if (id === undefined) throw misuse(`Missing flag "--id", expected one of ${ids}`);
  const node = config.nodes.find((node) => node.id === id);
  if (node === undefined) throw misuse(`Unknown node "${id}", expected one of ${ids}`);
  return node;
}

async function serve(node: RunningNode, config: NodeConfig, stop: Promise<void>): Promise<void> {
  console.log(formatReadyLine({
    id: config.id,
    http: formatAddress(config.host, node.httpPort),
    link: formatAddress(config.host, node.linkPort),
    data: config.data,
    keys: node.keys,
    log_bytes: node.logBytes,
    ms: Math.round(performance.now()),
    pid: Deno.pid,
  }));
  await Promise.race([stop, node.failed]);
  await Promise.race([node.close(), node.failed]);
}

/** The failure that tells the operator what `error` means; a bug stays what it is. */
function explain(
  error: unknown,
  { id, host, port, linkPort, data }: NodeConfig,
  isSupervised: boolean,
): unknown {
  if (isBug(error)) return error;
  const options = { subject: `node ${id}`, cause: error };
  const { message } = error as Error;
  if (error instanceof DamageError) {
    const advice = `nothing was changed; to look at it: ${checkCommand(data)}`;
    return new Failure(`${message}; ${advice}`, { ...options, exitCode: ExitCode.damaged });
  }
  if (error instanceof WrongDirectoryError) {
    // Nor can another try help: it is the config that has to change.
    const advised = { ...options, exitCode: ExitCode.misuse };
    return new Failure(`${message}; nothing was changed`, advised);
  }
  const addresses = `${formatAddress(host, port)} and ${formatAddress(host, linkPort)}`;
  if (error instanceof Deno.errors.AddrInUse) {
    return new Failure(`Cannot listen on ${addresses}: one of the ports is in use`, options);
  }
  if (error instanceof Deno.errors.AddrNotAvailable || /^failed to lookup/.test(message)) {
    return new Failure(`Cannot listen on ${addresses}: ${host} ${whyNotListening(error)}`, options);
  }
  if (error instanceof Deno.errors.NotADirectory) {
    return new Failure(`Cannot use "${data}": it is, or leads through, a file`, options);
  }
  if (error instanceof Deno.errors.NotCapable && isSupervised) return notCapable(error, options);
  return new Failure(message, options);
}
