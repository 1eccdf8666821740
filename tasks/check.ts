/**
 * `main.ts check`: reads a node's data directory and says what is in it, and whether it is whole.
 *
 * @module
 */

import { basename } from "@std/path";
import { checkDirectory, type CheckReport } from "../node/repair/check.ts";
import { isLocked, MARKER_NAME } from "../node/log/data_directory.ts";
import { isSnapshotName } from "../node/log/log_format.ts";
import { realDisk } from "../node/disk/real_disk.ts";
import type { SnapshotScan } from "../node/snapshot/snapshot_scan.ts";
import { salvageCommand } from "./advised_commands.ts";
import { describeNode, readBesideNode, requireData } from "./node_data.ts";
import { formatSize } from "./size.ts";
import { ExitCode, parseArguments } from "./subcommand.ts";

export const name = "check";
export const summary = "Read a node's data directory and report damage";
export const help = `Usage: main.ts check DIR

Reads the data directory of a node, such as data/n1, as the node would at its start, and reports
what it holds: snapshot, segments, records, index range, keys, sessions, and damage with its file
and offset; of a damaged snapshot also what the node would use instead. If the node would refuse to
start, the last line is the command that saves what is intact. Changes nothing. A node that runs at
the same time is not disturbed; its last batch may then look unfinished.

Exit codes: 0 whole, 1 damage found (also in a snapshot that the node can do without) or not
readable, 2 misuse.`;

export async function run(args: string[]): Promise<number> {
  const { positionals: [directory] } = parseArguments(args, { flags: {}, positionals: ["DIR"] });
  await requireData(directory);
  if (await isLocked(realDisk, directory)) console.log("running   a node is using it right now");
  const report = await readBesideNode(directory, () => checkDirectory(realDisk, directory));
  console.log(format(report));
  if (report.damage !== null) console.log(`salvage   ${salvageCommand(directory)}`);
  const isWhole = report.damage === null && report.passedOver.length === 0;
  return isWhole ? ExitCode.done : ExitCode.failed;
}

function format(report: CheckReport): string {
  const { nodeId, shard, snapshot, segments, records, keys, sessions, leftovers, damage } = report;
  const damaged = damage === null ? "" : basename(damage.file);
  const isWithout = isSnapshotName(damaged); // then no segment was read
  const noSnapshot = isWithout ? `${damaged}, damaged` : "none";
  const lines = [
    `node      ${describeNode(nodeId ?? "unknown", shard)}`,
    `snapshot  ${snapshot === null ? noSnapshot : describeSnapshot(snapshot)}`,
    `segments  ${isWithout ? "not read" : `${segments.length}${damage === null ? "" : " whole"}`}`,
    ...segments.map((segment) => `          ${describe(segment)}`),
    `records   ${records}${damage === null ? "" : " before the damage"}`,
    `indexes   ${formatRange(snapshot === null ? 1 : snapshot.index + 1, records)}`,
    `keys      ${keys}`,
    `sessions  ${sessions}`,
    ...report.lacksMarker
      ? [`marker    missing: the next start writes the file ${MARKER_NAME}`]
      : [],
    ...leftovers.map((name) => `leftover  ${name}, which the next start removes`),
    ...formatDamage(report),
  ];
  return lines.join("\n");
}

/** How a node would start, and what is wrong, a line each. */
function formatDamage({ snapshot, passedOver, damage }: CheckReport): string[] {
  const base = snapshot === null ? "from record 1" : `from ${snapshot.name}`;
  const damages = damage === null ? passedOver : [...passedOver, damage];
  return [
    `start     ${damage === null ? base : "refused"}`,
    ...damages.map(({ message }) => `damage    ${message}`),
    ...damages.length === 0 ? ["damage    none"] : [],
  ];
}

function formatRange(firstIndex: number, records: number): string {
  return records === 0 ? "none" : `${firstIndex} to ${firstIndex + records - 1}`;
}

function describeSnapshot({ name, index, sizeBytes, totals }: SnapshotScan): string {
  const size = formatSize(sizeBytes);
  return `${name}  1 to ${index}, ${size}, ${totals.keys} keys, ${totals.sessions} sessions`;
}

function describe(segment: CheckReport["segments"][number]): string {
  const { name, records, firstIndex, tail, sealed, tornBytes } = segment;
  const range = records === 0 ? "no records" : formatRange(firstIndex, records);
  const torn = tornBytes === 0
    ? ""
    : `, then ${tornBytes} bytes of a last batch that was never acknowledged`;
  const used = formatSize(tail);
  return `${name}  ${range}, ${used}${sealed ? ", sealed" : ""}${torn}`;
}
