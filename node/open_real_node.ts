/**
 * A node on the real disk, with the real clock and randomness.
 *
 * @module
 */
import { systemClock } from "../lib/clock.ts";
import { type OpenedNode, openNode, type OpenNodeOptions } from "./open_node.ts";
import { realDisk } from "./disk/real_disk.ts";

/** As {@linkcode openNode}; what it reports goes to standard error. */
export function openRealNode(
  options: Pick<
    OpenNodeOptions,
    "directory" | "nodeId" | "shard" | "mustExist" | "storeBytesMax" | "snapshots"
  >,
): Promise<OpenedNode> {
  return openNode({
    ...options,
    disk: realDisk,
    clock: systemClock,
    randomBytes: (target) => crypto.getRandomValues(target),
    report: console.error,
  });
}
