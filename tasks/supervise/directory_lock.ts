/**
 * Keeps two supervisors from running the same nodes.
 *
 * A node locks a file in its directory, but a second cluster would only find that out node by node,
 * and try again for ever. Ports do not tell at the moment at which both are about to start.
 *
 * @module
 */

import type { ClusterConfig } from "../../lib/config.ts";
import { Failure, isBug } from "../subcommand.ts";

/**
 * Locks the data directories themselves, which nodes leave alone, until the end of the scope or of
 * this process. One that cannot be opened is left to its node, which says why.
 *
 * @throws {Failure} Another supervisor has one of them.
 */
export async function lockDirectories({ nodes }: ClusterConfig): Promise<Disposable> {
  using locked = new DisposableStack();
  for (const { id, data } of nodes) {
    if (await isTaken(data, locked)) {
      throw new Failure(`Cannot use "${data}" of ${id}: another cluster is using it`);
    }
  }
  return locked.move();
}

/** Locks one directory, and hands it to `locked`. Whether someone else has it. */
async function isTaken(directory: string, locked: DisposableStack): Promise<boolean> {
  try {
    return !locked.use(await Deno.open(directory)).tryLockSync(true);
  } catch (error) {
    if (isBug(error)) throw error;
    return false;
  }
}
