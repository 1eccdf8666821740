/**
 * @module
 */
import { join } from "@std/path";
import { SimulatedDisk } from "../../tasks/simulate/simulated_disk.ts";
import { filesOf, openSmallNode, pathOf, snapshots, write, writeOf } from "../node/small_node.ts";
import { temporaryDirectory } from "../process.ts";

export interface WrittenOptions {
  readonly growthBytesMin?: number;
  /** With which the client `far` makes the first write, instead of another. Default: it does not. */
  readonly farSeq?: number;
}

/** A directory on the real disk with the files of a node that took a snapshot and 14 writes. */
export async function writtenDirectory(options: WrittenOptions = {}) {
  const directory = await temporaryDirectory();
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk, options);
  const { farSeq: seq } = options;
  if (seq !== undefined) await opened.node.write({ ...writeOf(0), client: "far", seq });
  await write(opened, seq === undefined ? 0 : 1, 9);
  if (options.growthBytesMin === undefined) await snapshots(opened, 1);
  await write(opened, 9, 14);
  for (const name of [...await filesOf(disk), "NODE"]) {
    await Deno.writeFile(join(directory.path, name), disk.bytes(pathOf(name)));
  }
  const { snapshot_index } = opened.node.metrics();
  return { ...directory, snapshotIndex: snapshot_index };
}
