/**
 * `main.ts clean`: removes the data of every node, or nothing at all.
 *
 * It first looks at every directory, and removes only when it may remove them all: each must look
 * like the data of a node, and no node may be using it. A node that starts after that look and
 * before the removal is not noticed; it loses its data, which is what was asked for.
 *
 * @module
 */

import { format as formatBytes } from "@std/fmt/bytes";
import { loadConfig, type NodeConfig } from "../lib/config.ts";
import { isLocked } from "../node/data_directory.ts";
import { realDisk } from "../node/real_disk.ts";
import { sizeOf } from "./node_data.ts";
import { ExitCode, Failure, parseArguments } from "./subcommand.ts";

export const name = "clean";
export const summary = "Remove the data of every node";
export const help = `Usage: main.ts clean [--config FILE]

Removes the data directory of every node of the config, and says what it removed. The folder around
the directories stays. Removes nothing at all while a node is running, or if one of the directories
holds something other than the data of a node.

  --config FILE  The cluster, in JSON; default: six nodes n1 to n6 on loopback

Exit codes: 0 removed or nothing there, 1 refused, 2 misuse.`;

/** The files of a node: its marker, its log, its snapshots, and what a crash left half made. */
const NODE_FILE = /^(NODE|.+\.(log|snapshot|tmp))$/;

export async function run(args: string[]): Promise<number> {
  const { flags } = parseArguments(args, { flags: { config: "text" } });
  const { nodes } = await loadConfig(flags.config);
  const present: NodeConfig[] = [];
  for (const node of nodes) {
    if (!await isThere(node.data)) continue;
    await requireRemovable(node);
    present.push(node);
  }
  if (present.length === 0) console.log("Nothing to remove: no node has data");
  for (const { id, data } of present) {
    const bytes = await sizeOf(data);
    await Deno.remove(data, { recursive: true });
    console.log(`Removed the data of ${id}: ${data} (${formatBytes(bytes, { binary: true })})`);
  }
  return ExitCode.done;
}

async function isThere(path: string): Promise<boolean> {
  try {
    await Deno.lstat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** @throws {Failure} The data directory of this node is not to be removed. */
async function requireRemovable({ id, data }: NodeConfig): Promise<void> {
  const refuse = (reason: string) => {
    throw new Failure(`Cannot remove "${data}", the data of ${id}: ${reason}; removed nothing`);
  };
  // A link is not followed: what it points at may belong to someone else.
  if (!(await Deno.lstat(data)).isDirectory) refuse("it is not a directory");
  const { state } = await Deno.permissions.request({ name: "write", path: data });
  if (state !== "granted") {
    refuse(`Deno may not write there, expected the flag --allow-write="${data}"`);
  }
  const stranger = await findStranger(data);
  if (stranger !== undefined) refuse(`"${stranger}" in it is not the data of a node`);
  if (await isLocked(realDisk, data)) refuse("the node is running");
}

/** The name of something in a directory that no node has put there, if there is any. */
async function findStranger(directory: string): Promise<string | undefined> {
  const entries = await Array.fromAsync(Deno.readDir(directory));
  return entries.find(({ name, isFile }) => !isFile || !NODE_FILE.test(name))?.name;
}
