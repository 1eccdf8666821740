/**
 * A process with a node in it that tells of itself what cannot be seen from outside: how fast it
 * replays its log, what memory it holds, and for how long its event loop stands still under
 * updates. It is the node of `node/node.ts` on its log, without the servers around it.
 *
 * Arguments: data directory, seconds of updates, and among how many keys. Prints a
 * {@linkcode LoadedNodeResult} in JSON.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import { CommandKind } from "../../lib/key_value.ts";
import type { Node } from "../../node/node.ts";
import { openRealNode } from "../../node/open_real_node.ts";
import { percentile } from "./statistics.ts";
import { keyOf, VALUE } from "./workload.ts";

/** Updates that are under way at any time. */
const WRITER_COUNT = 64;

/** What a process found out about its node. */
export interface LoadedNodeResult {
  /** Records in its log, and how long it took to replay them. */
  readonly records: number;
  readonly replayMs: number;
  readonly keys: number;
  /** Of the process, after the replay and before any update. */
  readonly residentBytes: number;
  /** Per second. */
  readonly updateRate: number;
  /** How long a turn of the event loop took under updates, in milliseconds. */
  readonly turnMsMax: number;
  readonly turnMsP999: number;
}

async function measure(
  directory: string,
  updateMs: number,
  keyCount: number,
): Promise<LoadedNodeResult> {
  const startMs = performance.now();
  await using opened = await openRealNode({ directory, nodeId: "n1" });
  // With what it takes to lock and mark the directory: a few milliseconds of seconds.
  const replayMs = performance.now() - startMs;
  const { node, log } = opened;
  const held = { records: log.lastIndex, keys: node.keys, residentBytes: await residentBytes() };
  const turns = await measureTurns(() => update(node, updateMs, keyCount));
  const updateRate = (log.lastIndex - held.records) / updateMs * 1000;
  return { ...held, replayMs, updateRate, ...turns };
}

/** What the process holds once it has let go of what it no longer needs. */
async function residentBytes(): Promise<number> {
  const { gc } = globalThis as { gc?: () => void };
  gc?.();
  // Buffers that this has found are freed by another thread, and counted as free by the next one.
  await new Promise((resolve) => setTimeout(resolve, 100));
  gc?.();
  return Deno.memoryUsage().rss;
}

/** Overwrites random keys for a while. */
async function update(node: Node, updateMs: number, keyCount: number): Promise<void> {
  const endMs = performance.now() + updateMs;
  const runId = crypto.randomUUID();
  await Promise.all(Array.from({ length: WRITER_COUNT }, async (_, writer) => {
    const client = `${runId}-${writer}`;
    for (let seq = 1; performance.now() < endMs; seq++) {
      const key = keyOf(Math.floor(Math.random() * keyCount));
      await node.write({ kind: CommandKind.put, client, seq, key, value: VALUE });
    }
  }));
}

/** Times every turn of the event loop while `work` is under way. */
async function measureTurns(work: () => Promise<void>) {
  const turnsMs: number[] = [];
  let isOver = false;
  let lastMs = performance.now();
  const turn = () => {
    const nowMs = performance.now();
    turnsMs.push(nowMs - lastMs);
    lastMs = nowMs;
    if (!isOver) setImmediate(turn);
  };
  setImmediate(turn);
  await work();
  isOver = true;
  const sorted = Float64Array.from(turnsMs).sort();
  return { turnMsMax: sorted.at(-1)!, turnMsP999: percentile(sorted, 0.999) };
}

if (import.meta.main) {
  const [directory, seconds, keyCount] = Deno.args;
  const result = await measure(directory, Number(seconds) * 1000, Number(keyCount));
  console.log(JSON.stringify(result));
}
