/**
 * Makes the data directories before the nodes start, because it takes the parent of a directory to
 * make its name durable, and a node may not touch the parent of its own.
 *
 * @module
 */

import { dirname } from "@std/path";
import type { ClusterConfig } from "../../lib/config.ts";
import { realDisk } from "../../node/real_disk.ts";
import { isBug } from "../subcommand.ts";

/**
 * Makes the data directories that are missing, durably.
 *
 * One that cannot be made is left to its node, which says why it cannot use it; the other nodes
 * have no part in that.
 */
export async function makeDataDirectories({ nodes }: ClusterConfig): Promise<void> {
  for (const { data } of nodes) {
    try {
      await makeDirectory(data);
    } catch (error) {
      if (isBug(error)) throw error;
    }
  }
}

async function makeDirectory(path: string): Promise<void> {
  try {
    await Deno.mkdir(path);
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return;
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    await makeDirectory(dirname(path));
    await Deno.mkdir(path);
  }
  await realDisk.syncDirectory(dirname(path));
}
