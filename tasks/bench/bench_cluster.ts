/**
 * The nodes and the router of a row: on free ports, with their keys in place before they start.
 *
 * @module
 */

import type { ClusterConfig } from "../../lib/config.ts";
import { assignSlots, slotOf } from "../../router/slots.ts";
import { freeConfig } from "../free_config.ts";
import { prefill } from "../prefill.ts";
import { type Program, programsOf } from "../supervise/program.ts";
import { type ServerProcess, startServer } from "./server_process.ts";
import { keyOf, VALUE } from "./workload.ts";

/** A cluster whose keys are on disk; none of its programs runs yet. */
export interface PreparedCluster {
  readonly config: ClusterConfig;
  /** The nodes in order. */
  readonly nodePrograms: readonly Program[];
  readonly routerProgram: Program;
}

export interface PrepareClusterOptions {
  /** Gets the data. */
  readonly directory: string;
  readonly nodeCount: number;
  /** Keys that the nodes hold between them. */
  readonly keyCount: number;
  readonly signal: AbortSignal;
}

/** Writes the keys to the logs of the nodes. */
export async function prepareCluster(options: PrepareClusterOptions): Promise<PreparedCluster> {
  const { directory, nodeCount, keyCount, signal } = options;
  await Deno.mkdir(directory, { recursive: true });
  const config = freeConfig(directory, nodeCount);
  const keys = keysByNode(keyCount, nodeCount);
  for (const [i, { id, data }] of config.nodes.entries()) {
    await prefill({ directory: data, nodeId: id, keys: keys[i], value: VALUE, signal });
  }
  const programs = programsOf(config);
  return { config, nodePrograms: programs.slice(0, -1), routerProgram: programs.at(-1)! };
}

/** Starts programs one after the other; all of them or none. */
export async function startAll(
  programs: readonly Program[],
  signal: AbortSignal,
): Promise<{ servers: ServerProcess[] } & AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const servers: ServerProcess[] = [];
  for (const program of programs) {
    servers.push(stack.use(await startServer(program, signal)));
  }
  const owned = stack.move();
  return { servers, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** For each node its keys, as the router will look for them. */
function keysByNode(keyCount: number, nodeCount: number): string[][] {
  const owners = assignSlots(nodeCount);
  const keys: string[][] = Array.from({ length: nodeCount }, () => []);
  for (let number = 0; number < keyCount; number++) {
    const key = keyOf(number);
    keys[owners[slotOf(key)]].push(key);
  }
  return keys;
}
