/**
 * The thread that takes one snapshot: it is told of what, writes it, says how that went, and is ended.
 * Reading it, Deno wants to read the source of all that it imports: `node/` and `lib/`.
 *
 * @module
 */
/// <reference no-default-lib="true" />
/// <reference lib="deno.worker" />
import { realDisk } from "./disk.ts";
import type { SnapshotInfo } from "./log.ts";
import { writeSnapshot } from "./snapshot.ts";

/** What the thread is told. */
export interface SnapshotRequest {
  readonly directory: string;
  readonly index: number;
}

/** What it answers: what it wrote, or why it could not. */
export type SnapshotReply = SnapshotInfo | { readonly error: string };

async function take(request: SnapshotRequest): Promise<SnapshotReply> {
  const [k0, k1] = crypto.getRandomValues(new Uint32Array(2));
  try {
    return await writeSnapshot({ disk: realDisk, hashKey: [k0, k1], ...request });
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

self.onmessage = async ({ data }: MessageEvent<SnapshotRequest>) => {
  self.postMessage(await take(data));
};
