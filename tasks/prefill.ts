/**
 * Writes the log of a node that holds certain keys, with the code by which a node writes it, but
 * not over HTTP: a million keys take seconds instead of a minute.
 *
 * @module
 */

import { systemClock } from "../lib/clock.ts";
import { CommandKind } from "../lib/key_value.ts";
import { openDataDirectory } from "../node/data_directory.ts";
import { realDisk } from "../node/disk.ts";
import { FileLog } from "../node/file_log.ts";
import { Node } from "../node/node.ts";

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
  using marker = await openDataDirectory(realDisk, directory, nodeId, () => {});
  const log = openLog(directory, nodeId, marker.existing);
  try {
    const node = await Node.start({ log, clock: systemClock, hashKey: [1, 2] });
    await marker.markExisting();
    for (let start = 0; start < keys.length; start += BATCH_COUNT) {
      signal.throwIfAborted();
      await Promise.all(
        keys.slice(start, start + BATCH_COUNT).map((key, i) => {
          const seq = start + i + 1;
          return node.write({ kind: CommandKind.put, client: "prefill", seq, key, value });
        }),
      );
    }
  } finally {
    log.close();
  }
}

/** The log of a node. To be closed. */
export function openLog(directory: string, nodeId: string, existing: boolean): FileLog {
  return new FileLog({
    disk: realDisk,
    directory,
    nodeId,
    randomId: () => crypto.getRandomValues(new Uint8Array(16)),
    existing,
    report: console.error,
  });
}
