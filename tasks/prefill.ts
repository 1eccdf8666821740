/**
 * Writes the log of a node that holds certain keys, with the code by which a node writes it, but
 * not over HTTP: a million keys take seconds instead of a minute.
 *
 * @module
 */

import { CommandKind } from "../lib/key_value.ts";
import { openRealNode } from "../node/open_real_node.ts";

/** Writes that go together: one batch of the log. */
const BATCH_COUNT = 2000;

export interface PrefillOptions {
  /** Of the node; is created. */
  readonly directory: string;
  readonly nodeId: string;
  readonly keys: readonly string[];
  /** Of every key. */
  readonly value: string;
  readonly signal: AbortSignal;
}

/** Writes each key once, all from one client. */
export async function prefill(options: PrefillOptions): Promise<void> {
  const { directory, nodeId, keys, value, signal } = options;
  await using opened = await openRealNode({ directory, nodeId });
  for (let start = 0; start < keys.length; start += BATCH_COUNT) {
    signal.throwIfAborted();
    const batch = keys.slice(start, start + BATCH_COUNT).map((key, i) => {
      const seq = start + i + 1;
      return opened.node.write({ kind: CommandKind.put, client: "prefill", seq, key, value });
    });
    await Promise.all(batch);
  }
}
