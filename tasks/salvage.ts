/**
 * `main.ts salvage`: saves from a damaged data directory what is intact, into a new one.
 *
 * @module
 */

import { isWithin } from "../lib/is_within.ts";
import { DamageError } from "../node/log/damage.ts";
import { isLocked } from "../node/log/data_directory.ts";
import { realDisk } from "../node/disk/real_disk.ts";
import { salvage, type SalvageReport } from "../node/repair/salvage.ts";
import { describeNode, requireData } from "./node_data.ts";
import { realPathOf } from "./real_path.ts";
import { ExitCode, Failure, misuse, parseArguments } from "./subcommand.ts";

export const name = "salvage";
export const summary = "Save what is intact of damaged data into a new directory";
export const help = `Usage: main.ts salvage DIR --to NEWDIR

Reads the damaged data directory of a node, such as data/n1, writes all that is provably intact to
NEWDIR, and says what is lost. DIR is not changed. NEWDIR must not exist, or be empty, and is not in
DIR; the permission to write its parent makes its name durable. To use it, move it to where DIR was.

  --to NEWDIR  Where to write

What is in NEWDIR is a snapshot: the state after the newest whole snapshot of DIR (or what is intact
of a broken one, if the log before it is gone) and all records after it that are intact, in their
order.

- Records keep their indexes. If the end of the log is lost, new records get indexes of lost ones.
- A key has the value of its last intact write: one that was deleted by a lost record is back. The
  previous values that are remembered for clients are those they would have got then.
- A lost write that is sent again is applied, as it should be; an intact one is not applied again.
  But a client that was lost with a part of a snapshot is not known any more: what it sends again is
  applied again. One that lost only results is refused with 409 up to its highest seq.

Exit codes: 0 nothing is lost, 1 failed, 2 misuse, 3 written, and something is lost.`;

export async function run(args: string[]): Promise<number> {
  const { flags: { to }, positionals: [from] } = parseArguments(args, {
    flags: { to: "text" },
    positionals: ["DIR"],
  });
  if (to === undefined) throw misuse(`Missing flag "--to", expected a new directory`);
  await requireData(from);
  await requireEmpty(to);
  if (isWithin(realPathOf(to), realPathOf(from))) {
    throw new Failure(`Cannot write to "${to}": it is in "${from}", expected another place`);
  }
  if (await isLocked(realDisk, from)) {
    throw new Failure(`Cannot salvage "${from}": a node is using it, expected it to be stopped`);
  }
  const report = await save(from, to);
  console.log(format(report, to));
  const isWhole = report.lost.length === 0 && !report.snapshot?.damage;
  return isWhole ? ExitCode.done : ExitCode.damaged;
}

async function requireEmpty(path: string): Promise<void> {
  try {
    for await (const { name } of Deno.readDir(path)) {
      throw new Failure(`Cannot write to "${path}": "${name}" is in it, expected it to be empty`);
    }
  } catch (error) {
    if (error instanceof Deno.errors.NotADirectory) {
      throw new Failure(`Cannot write to "${path}": a file is there, expected a new directory`);
    }
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

async function save(from: string, to: string): Promise<SalvageReport> {
  try {
    return await salvage({
      disk: realDisk,
      from,
      to,
      randomBytes: (target) => crypto.getRandomValues(target),
      report: console.error,
    });
  } catch (error) {
    if (error instanceof DamageError) throw new Failure(error.message, { cause: error });
    throw error;
  }
}

function format(report: SalvageReport, to: string): string {
  const { nodeId, shard, snapshot, records, lastIndex, lost, keys, sessions } = report;
  const losses = [
    ...snapshot?.damage ? [lostOf(snapshot.name, snapshot.index, snapshot.damage)] : [],
    ...lost.map(({ first, last, reason }) => `lost      ${rangeOf(first, last)} (${reason})`),
  ];
  const lines = [
    `node      ${describeNode(nodeId, shard)}`,
    `snapshot  ${snapshot === null ? "none" : `${snapshot.name}, ${describe(snapshot.damage)}`}`,
    `records   ${records} intact${snapshot === null ? "" : " after it"}`,
    ...losses.length === 0 ? ["lost      no record"] : losses,
    `written   ${to}: ${keys} keys, ${sessions} sessions, next index ${lastIndex + 1}`,
  ];
  return lines.join("\n");
}

function describe(damage: string | null): string {
  return damage === null ? "whole" : `in part: ${damage}`;
}

/** What of the state after some records is lost with a part of their snapshot. */
function lostOf(name: string, index: number, damage: string): string {
  return `lost      of ${rangeOf(1, index)}, what the damaged part of the snapshot held: ` +
    `keys, or what is remembered of clients (${damage}: ${name})`;
}

function rangeOf(first: number, last: number | null): string {
  if (last === null) return `records from ${first} on, if there were any`;
  return first === last ? `record ${first}` : `records ${first} to ${last}`;
}
