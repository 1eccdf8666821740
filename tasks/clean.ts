/**
 * `main.ts clean`: removes the data of every node, once it is sure of every directory.
 *
 * It first looks at them all, and removes nothing if one of them does not look like the data of
 * that node, or if a node is using it. A node that starts after that look and before the removal is
 * not noticed; it loses its data, which is what was asked for. If the system then refuses a
 * removal, it ends there, and says what is gone.
 *
 * @module
 */

import { join } from "@std/path";
import { loadConfig, type NodeConfig } from "../lib/config.ts";
import { DamageError } from "../node/log/damage.ts";
import { checkMarker, isLocked, type Marker, MARKER_NAME } from "../node/log/data_directory.ts";
import { isLogFileName } from "../node/log/directory_scan.ts";
import { realDisk } from "../node/disk/real_disk.ts";
import { cleanCommand } from "./advised_commands.ts";
import { sizeOf } from "./node_data.ts";
import { formatSize } from "./size.ts";
import { ExitCode, Failure, isBug, parseArguments } from "./subcommand.ts";

export const name = "clean";
export const summary = "Remove the data of every node";
export const help = `Usage: main.ts clean [--config FILE]

Removes the data directory of every node of the config, and says what it removed. The folder around
the directories stays, and so does a directory that is a mount point: it is emptied. Removes nothing
at all while a node is running, or if one of the directories is not the data of its node: all files
in it have to be those of a node, with a NODE file that names this one.

  --config FILE  The cluster, in JSON; default: six nodes n1 to n6 on loopback

Exit codes: 0 removed or nothing there, 1 refused or failed, 2 misuse.`;

export async function run(args: string[]): Promise<number> {
  const { flags } = parseArguments(args, { flags: { config: "text" } });
  const { nodes } = await loadConfig(flags.config);
  const present: NodeConfig[] = [];
  for (const node of nodes) {
    if (!await isThere(node.data)) continue;
    await requireRemovable(node, flags.config);
    present.push(node);
  }
  if (present.length === 0) console.log("Nothing to remove: no node has data");
  for (const [i, { id, data }] of present.entries()) {
    try {
      console.log(`Removed the data of ${id}: ${await removeData(data)}`);
    } catch (cause) {
      if (isBug(cause)) throw cause;
      const reason = `${(cause as Error).message}; ${describeRest(present, i)}`;
      throw new Failure(`Cannot remove all of "${data}", the data of ${id}: ${reason}`, { cause });
    }
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
async function requireRemovable(
  { id, data }: NodeConfig,
  configFile: string | undefined,
): Promise<void> {
  const refuse = (reason: string) => {
    throw new Failure(`Cannot remove "${data}", the data of ${id}: ${reason}; removed nothing`);
  };
  const { isSymlink, isDirectory } = await Deno.lstat(data);
  if (isSymlink) refuse("it is a symbolic link, and where it leads may be someone else's");
  if (!isDirectory) refuse("it is not a directory");
  const { state } = await Deno.permissions.request({ name: "write", path: data });
  if (state !== "granted") {
    refuse(`Deno may not write there, but does with ${cleanCommand(configFile)}`);
  }
  const entries = await Array.fromAsync(Deno.readDir(data));
  const stranger = entries.find(({ name, isFile }) =>
    !isFile || !(name === MARKER_NAME || isLogFileName(name))
  );
  if (stranger !== undefined) refuse(`"${stranger.name}" in it is not the data of a node`);
  if (entries.length === 0) return;
  if (!entries.some(({ name }) => name === MARKER_NAME)) {
    refuse(`no file "${MARKER_NAME}" is in it`);
  }
  const marker = await readMarker(data);
  if (marker instanceof DamageError) return refuse(marker.message);
  // A marker that names nobody is left by a crash at the very first start.
  const owner = marker?.nodeId ?? id;
  if (owner !== id) refuse(`it belongs to node "${owner}"`);
  if (await isLocked(realDisk, data)) refuse("the node is running");
}

/** What the marker says, or what is wrong with it. */
async function readMarker(data: string): Promise<Marker | null | DamageError> {
  try {
    return await checkMarker(realDisk, data);
  } catch (error) {
    if (error instanceof DamageError) return error;
    throw error;
  }
}

/**
 * Removes a data directory, and says which and how much it was. The marker goes last: while it is
 * there, the rest can be removed by another attempt.
 */
async function removeData(data: string): Promise<string> {
  const size = formatSize(await sizeOf(data));
  const names = await Array.fromAsync(Deno.readDir(data), ({ name }) => name);
  for (const name of names.filter((name) => name !== MARKER_NAME)) {
    await Deno.remove(join(data, name));
  }
  if (names.includes(MARKER_NAME)) await Deno.remove(join(data, MARKER_NAME));
  try {
    await Deno.remove(data);
  } catch (error) {
    if (!isMountPoint(error)) throw error;
    return `${data} (${size}), but not the directory: it is a mount point`;
  }
  return `${data} (${size})`;
}

function isMountPoint(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EBUSY";
}

/** What has become of the data of the other nodes when the removal fails at node `failed`. */
function describeRest(nodes: readonly NodeConfig[], failed: number): string {
  const list = (some: readonly NodeConfig[]) => some.map(({ id }) => id).join(", ");
  const [before, after] = [nodes.slice(0, failed), nodes.slice(failed + 1)];
  const parts = [`removed the data of ${list(before) || "no other node"}`];
  if (after.length > 0) parts.push(`did not touch that of ${list(after)}`);
  return parts.join(", ");
}
