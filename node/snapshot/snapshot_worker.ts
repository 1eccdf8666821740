/**
 * What runs in the thread of `snapshot_thread.ts`: a snapshot maker on the real disk, which takes
 * one snapshot at a time. Deno needs read permission for `node/` and `lib/` to load it.
 *
 * @module
 */
/// <reference no-default-lib="true" />
/// <reference lib="deno.worker" />
import { errorMessage } from "../../lib/error_message.ts";
import type { SnapshotInfo } from "../log/log.ts";
import { realDisk } from "../disk/real_disk.ts";
import { SnapshotMaker } from "./snapshot_maker.ts";

/** What the thread is told. It is always the same directory. */
export interface SnapshotRequest {
  readonly directory: string;
  readonly index: number;
}

/** The answer: the snapshot that was written, or why there is none. */
export type SnapshotReply = SnapshotInfo | { readonly error: string };

let maker: SnapshotMaker | undefined;

function makerOf(directory: string): SnapshotMaker {
  const [k0, k1] = crypto.getRandomValues(new Uint32Array(2));
  return new SnapshotMaker({ disk: realDisk, directory, hashKey: [k0, k1] });
}

async function take({ directory, index }: SnapshotRequest): Promise<SnapshotReply> {
  try {
    maker ??= makerOf(directory);
    return await maker.take(index);
  } catch (error) {
    return { error: errorMessage(error) };
  }
}

self.onmessage = async ({ data }: MessageEvent<SnapshotRequest>) => {
  self.postMessage(await take(data));
};
