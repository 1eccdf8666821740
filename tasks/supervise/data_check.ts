/**
 * Looks at the data of all nodes before anything starts.
 *
 * @module
 */

import type { ClusterConfig } from "../../lib/config.ts";
import { realDisk } from "../../node/disk/real_disk.ts";
import { checkMarker, requireOwner, WrongDirectoryError } from "../../node/log/data_directory.ts";
import { shardOf } from "../shard_number.ts";
import { isBug, misuse } from "../subcommand.ts";

/**
 * Returns when no directory holds the data of another node or shard. Under such a config clients
 * would look for keys where they are not, on nodes that are new in it too; so no node starts.
 *
 * @returns What to tell the operator, in a line for each node that has no data while others have.
 * @throws {Failure} Names every directory that is a wrong one.
 */
export async function checkData(config: ClusterConfig): Promise<string[]> {
  const wrong: string[] = [];
  const empty: string[] = [];
  for (const node of config.nodes) {
    try {
      const marker = await checkMarker(realDisk, node.data);
      if (marker === null) empty.push(node.id);
      requireOwner(node.data, marker, node.id, shardOf(config, node));
    } catch (error) {
      if (error instanceof WrongDirectoryError) wrong.push(error.message);
      else if (isBug(error)) throw error; // anything else its node finds, and says
    }
  }
  if (wrong.length > 0) throw misuse(wrong.join("; "));
  if (empty.length === config.nodes.length) return [];
  return empty.map((id) =>
    `${id} has no data, though other nodes have; if it had any, stop the cluster and put it back`
  );
}
