/**
 * The programs that make up a cluster, and how one is started as a process of this same Deno.
 *
 * Each process may do what its part needs and nothing else: a node reads and writes its own data
 * directory, listens on its own two ports, and reads its own source, which Deno asks of it to start
 * the thread that takes snapshots; a router listens on its port and connects to the link ports of
 * the nodes.
 *
 * All get the config itself and not the file that it came from, which may have been edited by the
 * time that one of them is started again: the parts of a cluster have to agree on who owns a key.
 *
 * @module
 */

import { resolve } from "@std/path";
import { formatAddress } from "../../lib/address.ts";
import type { ClusterConfig, NodeConfig } from "../../lib/config.ts";
import { checkCommand } from "../advised_commands.ts";
import { realPathOf } from "../real_path.ts";
import { MAIN, THREAD_SOURCES } from "../source.ts";
import { Failure } from "../subcommand.ts";
import { useBatchPolicy } from "./batch_policy.ts";
import { killIfAlive } from "./kill_if_alive.ts";
import { forEachLine } from "./output_lines.ts";

/** One process of the cluster. */
export interface Program {
  readonly name: string;
  /** Arguments of `deno`. */
  readonly args: readonly string[];
  /**
   * Whether it waits for its turn when it wakes up, see {@linkcode useBatchPolicy}. Default: no.
   */
  readonly isBatch?: boolean;
  /** Added to the arguments once it has been ready: a start after that finds its data, or none. */
  readonly restartArgs?: readonly string[];
  /** What it means that this program stays down because of damaged data, and what to do. */
  readonly damageAdvice?: string;
}

/** How a process ended: by itself with a code, or by a signal. */
export interface Exit {
  readonly code: number;
  readonly signal: string | null;
}

/** A process that was started. */
export interface Child {
  /**
   * Resolves when the process has ended and its last line was passed on. Rejects only with what the
   * receiver of the lines throws.
   */
  readonly exit: Promise<Exit>;
  /** Does nothing when the process has ended. */
  kill(signal: "SIGTERM" | "SIGKILL" | "SIGSTOP" | "SIGCONT"): void;
}

/** Starts a program; `onLine` gets each line that it prints, on either output. */
export type Spawn = (program: Program, onLine: (line: string) => void) => Child;

export interface ProgramOptions {
  /** Bytes that store and sessions of each node may take. Default: what a node takes by itself. */
  readonly memoryBytes?: number;
}

/**
 * All programs of a cluster, the router last.
 *
 * @throws {Failure} A path cannot be spelled in a permission flag.
 */
export function programsOf(config: ClusterConfig, options: ProgramOptions = {}): Program[] {
  // A lone node has the processors nearly for itself, and loses a little by waiting.
  const isBatch = config.nodes.length > 1;
  const nodes = config.nodes.map((node) => ({ ...nodeProgram(node, config, options), isBatch }));
  return [...nodes, routerProgram(config)];
}

function nodeProgram(
  node: NodeConfig,
  config: ClusterConfig,
  { memoryBytes }: ProgramOptions,
): Program {
  const { id, host, port, linkPort, data } = node;
  const directories = pathsOf(data);
  const permissions = [
    allow("read", [...directories, ...THREAD_SOURCES]),
    allow("write", directories),
    allow("net", [formatAddress(host, port), formatAddress(host, linkPort)]),
  ];
  const memoryFlag = memoryBytes === undefined ? [] : ["--memory-max", `${memoryBytes}`];
  return {
    name: id,
    args: denoArgs(permissions, ["node", "--id", id, ...memoryFlag], config),
    restartArgs: ["--must-exist"],
    damageAdvice: `its keys answer 503; to look at it: ${checkCommand(data)}`,
  };
}

/** The names under which Deno asks for a path: as it is spelled, and where links lead, if they do. */
function pathsOf(path: string): string[] {
  const real = realPathOf(path);
  return real === resolve(path) ? [path] : [path, real];
}

function routerProgram(config: ClusterConfig): Program {
  const { router, nodes } = config;
  const addresses = [
    formatAddress(router.host, router.port),
    ...nodes.map(({ host, linkPort }) => formatAddress(host, linkPort)),
  ];
  return { name: "router", args: denoArgs([allow("net", addresses)], ["router"], config) };
}

function denoArgs(permissions: string[], command: string[], config: ClusterConfig): string[] {
  const configFlag = ["--config", JSON.stringify(config)];
  return ["run", "--no-prompt", ...permissions, MAIN, ...command, "--supervised", ...configFlag];
}

/** A permission flag. @throws {Failure} A comma parts its list, so no item may have one in it. */
function allow(kind: string, what: string[]): string {
  const parted = what.find((item) => item.includes(","));
  if (parted === undefined) return `--allow-${kind}=${what.join(",")}`;
  throw new Failure(
    `Cannot give a process the permission to ${kind} "${parted}": expected a path without a comma`,
  );
}

/** What a process is started with, beside the environment of this one. */
const ENVIRONMENT = {
  // Deno would colour its errors even on a pipe; whoever prints the lines decides on colour.
  NO_COLOR: "1",
  // Only glibc heeds these.
  GLIBC_TUNABLES: [
    // The chunks of a node's tables, which come from malloc, in pages of 2 MiB: every search goes
    // to places far apart, and finding the page of each is a good part of its cost.
    "glibc.malloc.hugetlb=1",
    // Freed blocks of one size that a thread keeps for itself, 7 if not said otherwise: the garbage
    // collector frees the bodies of very many requests at once, and the next requests take them.
    "glibc.malloc.tcache_count=2000",
  ].join(":"),
};

/** Starts a program as a process that ends when this one does. */
export const spawnProcess: Spawn = (program, onLine) => {
  const process = new Deno.Command(Deno.execPath(), {
    args: [...program.args],
    env: ENVIRONMENT,
    // Held open and never written to: its end tells the process that its supervisor is gone.
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const { stdin, stdout, stderr, status } = process;
  const work = [forEachLine(stdout, onLine), forEachLine(stderr, onLine)];
  if (program.isBatch) work.push(useBatchPolicy(process.pid));
  return {
    exit: Promise.all([status, ...work])
      .then(async ([{ code, signal }]) => {
        await stdin.close().catch(() => {});
        return { code, signal };
      }),
    kill: (signal) => killIfAlive(process, signal),
  };
};
