/**
 * @module
 */
import { join } from "@std/path";
import { SimulatedDisk } from "../../tasks/simulate/simulated_disk.ts";
import { filesOf, openSmallNode, pathOf, snapshots, write } from "../node/small_node.ts";
import { temporaryDirectory } from "../process.ts";

/** A directory on the real disk with the files of a node that took a snapshot and 14 writes. */
export async function writtenDirectory(options: { growthBytesMin?: number } = {}) {
  const directory = await temporaryDirectory();
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk, options);
  await write(opened, 0, 9);
  if (options.growthBytesMin === undefined) await snapshots(opened, 1);
  await write(opened, 9, 14);
  for (const name of [...await filesOf(disk), "NODE"]) {
    await Deno.writeFile(join(directory.path, name), disk.bytes(pathOf(name)));
  }
  const { snapshot_index } = opened.node.metrics();
  return { ...directory, snapshotIndex: snapshot_index };
}
