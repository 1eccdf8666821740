/**
 * Has snapshots of a node taken in a thread of their own, on the real disk, so that the node's event
 * loop does not wait for it. The thread lives as long as one snapshot takes; its memory, a second
 * store, goes with it.
 *
 * @module
 */
import type { SnapshotInfo } from "./log.ts";
import type { SnapshotReply, SnapshotRequest } from "./snapshot_worker.ts";
import type { TakeSnapshot } from "./snapshotter.ts";

/** Takes snapshots of the data in `directory`. */
export function inThread(directory: string): TakeSnapshot {
  return async (index, signal) => {
    signal.throwIfAborted();
    const worker = new Worker(new URL("./snapshot_worker.ts", import.meta.url), { type: "module" });
    try {
      return await ask(worker, { directory, index }, signal);
    } finally {
      worker.terminate();
    }
  };
}

function ask(
  worker: Worker,
  request: SnapshotRequest,
  signal: AbortSignal,
): Promise<SnapshotInfo> {
  return new Promise((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<SnapshotReply>) => {
      if ("error" in data) reject(new Error(data.error));
      else resolve(data);
    };
    worker.onerror = (event) => {
      event.preventDefault(); // or the whole process would end
      reject(new Error(event.message));
    };
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    worker.postMessage(request);
  });
}
