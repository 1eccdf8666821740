/**
 * Finds out before anything starts whether every node has a directory of its own.
 *
 * @module
 */

import type { ClusterConfig } from "../../lib/config.ts";
import { isWithin } from "../../lib/is_within.ts";
import { realPathOf } from "../real_path.ts";
import { misuse } from "../subcommand.ts";

/**
 * Returns when no data directory leads to another one or into it. The config itself was checked for
 * that as it is spelled; links tell another story.
 *
 * @throws {Failure} Names the first two that do.
 */
export function checkDirectories({ nodes }: ClusterConfig): void {
  const paths = nodes.map(({ data }) => realPathOf(data));
  for (const [i, { id, data }] of nodes.entries()) {
    const other = paths.slice(0, i).findIndex((path) =>
      isWithin(path, paths[i]) || isWithin(paths[i], path)
    );
    if (other === -1) continue;
    const taken = `"${nodes[other].data}" of ${nodes[other].id}`;
    throw misuse(
      `Cannot use "${data}" of ${id}: it really is "${paths[i]}", expected a directory ` +
        `apart from ${taken}, which is "${paths[other]}"`,
    );
  }
}
