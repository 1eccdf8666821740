/**
 * Makes the data directories before the nodes start, because it takes the parent of a directory to
 * make its name durable, and a node may not touch the parent of its own.
 *
 * @module
 */

import type { ClusterConfig } from "../../lib/config.ts";
import { makeDataDirectory } from "../../node/log/data_directory.ts";
import { realDisk } from "../../node/disk/real_disk.ts";
import { isBug } from "../subcommand.ts";

/**
 * Makes the data directories that are missing, and the names of all new ones durable.
 *
 * One that cannot be made is left to its node, which says why it cannot use it; the other nodes
 * have no part in that.
 */
export async function makeDataDirectories({ nodes }: ClusterConfig): Promise<void> {
  for (const { data } of nodes) {
    try {
      await makeDataDirectory(realDisk, data, console.error);
    } catch (error) {
      if (isBug(error)) throw error;
    }
  }
}
