/**
 * Keys that the nodes hold from the start and that nobody writes to: they make a restart as long as
 * that of a real node, and they have to be there at the end.
 *
 * @module
 */

import type { NodeConfig } from "../../lib/config.ts";
import type { History } from "../history/history.ts";
import { prefill } from "../prefill.ts";
import type { Random } from "../random.ts";
import { attempt } from "./attempt.ts";

/** What each of them holds. */
const VALUE = "0123456789".repeat(10);
/** Keys that are read one by one at the end; all of them are counted. */
const READ_MAX = 20_000;
const READERS = 32;
const READ_MS_MAX = 10_000;

/** So many names for each node, by the node that owns them. */
export function dealKeys(
  prefix: string,
  count: number,
  { nodeCount, ownerOf }: { nodeCount: number; ownerOf: (key: string) => number },
): string[][] {
  const keys: string[][] = Array.from({ length: nodeCount }, () => []);
  for (let number = 0; keys.some((some) => some.length < count); number++) {
    const key = `${prefix}:${number}`;
    const some = keys[ownerOf(key)];
    if (some.length < count) some.push(key);
  }
  return keys;
}

/** Writes its keys to the log of each node. None of them may run. */
export async function fillNodes(
  nodes: readonly NodeConfig[],
  keys: readonly string[][],
  signal: AbortSignal,
): Promise<void> {
  for (const [i, { id, data }] of nodes.entries()) {
    await prefill({ directory: data, nodeId: id, keys: keys[i], value: VALUE, signal });
  }
}

export interface KeptOptions {
  /** Of the router. */
  readonly url: string;
  readonly keys: readonly string[];
  /** Of the load, with a read of every key at its end. */
  readonly history: History;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/**
 * How many of `keys` are not there as they were written: by the number of keys in the store, of
 * which those of the load are known, and by reading some.
 */
export async function countLost(options: KeptOptions): Promise<number> {
  const { url, keys, history, signal } = options;
  using client = Deno.createHttpClient({});
  const response = await fetch(`${url}/metrics`, { client, signal });
  const nodes: { metrics?: { keys: number } }[] = await response.json();
  const found = nodes.reduce((sum, { metrics }) => sum + (metrics?.keys ?? NaN), 0);
  const ofLoad =
    history.operations.filter(({ client, answer }) =>
      client === "last" && answer.kind === "read" && answer.value !== null
    ).length;
  const missing = Math.abs(keys.length - (found - ofLoad));
  return Math.max(missing, await countWrong(options, client));
}

async function countWrong(
  { url, keys, random, signal }: KeptOptions,
  client: Deno.HttpClient,
): Promise<number> {
  const some = keys.length <= READ_MAX
    ? keys
    : Array.from({ length: READ_MAX }, () => random.pick(keys));
  let wrong = 0;
  const rest = some.values(); // one iterator for all readers: each takes what comes next
  const read = async () => {
    for (const key of rest) {
      const request = { client: "last", kind: "get", seq: 0, key, value: "" } as const;
      const answer = await attempt(url, request, { client, signal, timeoutMs: READ_MS_MAX });
      const isThere = typeof answer !== "string" && answer.kind === "read";
      if (!isThere || answer.value !== VALUE) wrong++;
    }
  };
  await Promise.all(Array.from({ length: READERS }, read));
  return wrong;
}
