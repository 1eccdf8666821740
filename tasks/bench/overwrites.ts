/**
 * A process that overwrites some keys many times, with the node of `node/node.ts` on its directory
 * but without the servers around it, and stops when its log is nearly as long as it gets: a start
 * then has the most to replay.
 *
 * Arguments: data directory, number of writes at least, and of keys. Prints an
 * {@linkcode OverwritesResult} in JSON.
 *
 * @module
 */

import { CommandKind } from "../../lib/key_value.ts";
import { SNAPSHOT_GROWTH_BYTES_MIN } from "../../lib/limits.ts";
import type { Node } from "../../node/node.ts";
import type { OpenedNode } from "../../node/open_node.ts";
import { openRealNode } from "../../node/open_real_node.ts";
import { snapshotInThread } from "../../node/snapshot/snapshot_thread.ts";
import { keyOf, VALUE } from "./workload.ts";

/** Writes that go together: one batch of the log. */
const BATCH_COUNT = 2000;
/** Clients that the writes come from, in turns. */
const CLIENTS = 64;
/** Bytes of log, as a part of what a snapshot waits for, at which the process may stop. */
const FULL_LOG = 0.9;

/** What the process wrote. */
export interface OverwritesResult {
  readonly writes: number;
  readonly snapshots: number;
  /** Size of the last snapshot: all that is stored. */
  readonly snapshotBytes: number;
  /** Bytes of log after it. */
  readonly logBytes: number;
}

async function overwrite(
  directory: string,
  writesMin: number,
  keyCount: number,
): Promise<OverwritesResult> {
  await using opened = await open(directory);
  const { node } = opened;
  let writes = 0;
  while (writes < writesMin || !isLogFull(node)) {
    const batch = Array.from({ length: BATCH_COUNT }, () => {
      const client = `client ${writes % CLIENTS}`;
      const seq = 1 + Math.floor(writes / CLIENTS);
      const key = keyOf(writes % keyCount);
      writes++;
      return node.write({ kind: CommandKind.put, client, seq, key, value: VALUE });
    });
    await Promise.all(batch);
  }
  const { snapshot_total, snapshot_bytes, log_bytes } = node.metrics();
  return {
    writes,
    snapshots: snapshot_total,
    snapshotBytes: snapshot_bytes,
    logBytes: log_bytes,
  };
}

function open(directory: string): Promise<OpenedNode> {
  return openRealNode({
    directory,
    nodeId: "n1",
    snapshots: { take: snapshotInThread(directory) },
  });
}

/** Whether the log is long, and no snapshot is about to make it short. */
function isLogFull(node: Node): boolean {
  const { log_bytes, snapshot_bytes, snapshot_running } = node.metrics();
  const growthBytes = Math.max(SNAPSHOT_GROWTH_BYTES_MIN, snapshot_bytes);
  return snapshot_running === 0 && log_bytes >= FULL_LOG * growthBytes;
}

if (import.meta.main) {
  const [directory, writes, keys] = Deno.args;
  console.log(JSON.stringify(await overwrite(directory, Number(writes), Number(keys))));
}
