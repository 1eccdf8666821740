/**
 * Starts, asks and ends the thread in which a node on the real disk has its snapshots taken, so that
 * its event loop does not wait for them. What runs in the thread is `snapshot_worker.ts`. The thread
 * keeps its state, a second store, for the next snapshot as long as one follows the other; after
 * some time without any it is ended, and its memory goes with it.
 *
 * @module
 */
import { SNAPSHOT_THREAD_IDLE_MS } from "../../lib/limits.ts";
import type { SnapshotInfo } from "../log/log.ts";
import type { SnapshotReply, SnapshotRequest } from "./snapshot_worker.ts";
import type { TakeSnapshot } from "./snapshot_scheduler.ts";

/** Takes snapshots of the data in `directory`, until the signal that comes with them is aborted. */
export function snapshotInThread(directory: string): TakeSnapshot {
  let thread: SnapshotThread | null = null;
  return async (index, signal) => {
    signal.throwIfAborted();
    if (thread === null || thread.hasEnded) thread = new SnapshotThread(signal);
    return await thread.take({ directory, index });
  };
}

/** A thread that ends when a snapshot fails, when none is asked for in a while, or on a signal. */
class SnapshotThread {
  readonly #worker = new Worker(new URL("./snapshot_worker.ts", import.meta.url), {
    type: "module",
  });
  readonly #signal: AbortSignal;
  readonly #onAbort = () => this.#end(this.#signal.reason);
  #idleTimer: ReturnType<typeof setTimeout> | undefined;
  /** Rejects the snapshot that is being taken, if there is one. */
  #reject: (reason: unknown) => void = () => {};
  hasEnded = false;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener("abort", this.#onAbort);
    this.#worker.onerror = (event) => {
      event.preventDefault(); // or the whole process would end
      this.#end(new Error(event.message));
    };
  }

  take(request: SnapshotRequest): Promise<SnapshotInfo> {
    clearTimeout(this.#idleTimer);
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      this.#worker.onmessage = ({ data }: MessageEvent<SnapshotReply>) => {
        if ("error" in data) return this.#end(new Error(data.error));
        this.#idleTimer = setTimeout(() => this.#end(null), SNAPSHOT_THREAD_IDLE_MS);
        resolve(data);
      };
      this.#worker.postMessage(request);
    });
  }

  #end(reason: unknown): void {
    this.hasEnded = true;
    clearTimeout(this.#idleTimer);
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#worker.onmessage = null;
    this.#worker.terminate();
    this.#reject(reason);
  }
}
