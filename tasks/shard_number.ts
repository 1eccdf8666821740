/**
 * Which shard a node of a config is.
 *
 * @module
 */

import type { ClusterConfig, NodeConfig } from "../lib/config.ts";
import type { ShardNumber } from "../node/log/data_directory.ts";

/** Its place among the nodes, which decides which keys it owns. */
export function shardOf({ nodes }: ClusterConfig, node: NodeConfig): ShardNumber {
  return `${nodes.indexOf(node) + 1} of ${nodes.length}`;
}
