/**
 * `main.ts dump`: prints what a node's data directory holds, for people who look for a write.
 *
 * @module
 */

import { ByteWriter } from "../lib/byte_writer.ts";
import type { CommandCursor } from "../lib/command_codec.ts";
import { CommandKind } from "../lib/key_value.ts";
import { SESSION_WINDOW } from "../lib/limits.ts";
import { decodeUtf8 } from "../lib/utf8.ts";
import { batchTime, forEachCommand } from "../node/batch.ts";
import { DamageError } from "../node/log/damage.ts";
import {
  type DirectoryScan,
  missingLog,
  scanDirectory,
  type ScanVisitor,
} from "../node/log/directory_scan.ts";
import { FrameKind } from "../node/log/log_format.ts";
import { realDisk } from "../node/disk/real_disk.ts";
import { readableResult } from "../node/sessions/result_codec.ts";
import { entryPlaces, sessionItems } from "../node/snapshot/snapshot_format.ts";
import { readBesideNode, requireData } from "./node_data.ts";
import { ExitCode, Failure, misuse, parseArguments, parseNumber } from "./subcommand.ts";

export const name = "dump";
export const summary = "Print the records of a node's log as JSON lines";
export const help = `Usage: main.ts dump DIR [--from INDEX] [--key KEY] [--client CLIENT]
       main.ts dump DIR --snapshot [--key KEY] [--client CLIENT]

Prints the records that the log in the data directory of a node has, such as data/n1, one line of
JSON each, in order, up to the first damage. The log begins after the newest snapshot; what came
before is in that as a state only. Changes nothing.

  --from INDEX     Begin with this record
  --key KEY        Only what is about this key
  --client CLIENT  Only what is about this client
  --snapshot       The keys and the clients in the newest snapshot instead of the records

A record has index, time (of its batch), kind, client, seq, key and, if it is a put, value. It is
what was asked for: a write that was sent twice may stand there twice, and is applied once. A line
of a snapshot has key and value; or client, top (the highest seq) and floor (the highest that is
forgotten); or client, seq, logIndex and prevValue of a result that is remembered.

Exit codes: 0 done, 1 damage found (what comes before it is printed) or not readable, 2 misuse. A
damaged snapshot that the node can do without is passed over, with a line on standard error.`;

/** Bytes of lines that are written together. */
const LINES_BYTES = 64 * 1024;

/** What is printed. */
interface Filter {
  readonly from: number;
  readonly key?: string;
  readonly client?: string;
}

export async function run(args: string[]): Promise<number> {
  const { flags, positionals: [directory] } = parseArguments(args, {
    flags: { from: "text", key: "text", client: "text", snapshot: "switch" },
    positionals: ["DIR"],
  });
  if (flags.snapshot && flags.from !== undefined) {
    throw misuse(`Flag "--from" is about records, expected it without "--snapshot"`);
  }
  const from = parseNumber("from", flags.from, { min: 1 }) ?? 1;
  const filter = { from, key: flags.key, client: flags.client };
  await requireData(directory);
  const lines = new LineWriter(Deno.stdout);
  const visitor = flags.snapshot ? snapshotPrinter(filter, lines) : recordPrinter(filter, lines);
  try {
    const scan = await readBesideNode(directory, async () => {
      const scan = await scanDirectory(realDisk, directory, visitor);
      if (scan === null) throw missingLog(directory);
      return scan;
    });
    lines.flush();
    explain(scan, filter);
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) return ExitCode.done; // the reader has seen enough
    if (!(error instanceof DamageError)) throw error;
    lines.flush();
    throw new Failure(`${error.message}; nothing after it was printed`);
  }
  return ExitCode.done;
}

/** Says on standard error what a reader of the lines could miss. */
function explain({ passedOver, snapshot }: DirectoryScan, { from }: Filter): void {
  for (const { message } of passedOver) console.error(`${message}; it is passed over`);
  if (snapshot === null || from > snapshot.index) return;
  console.error(`records up to ${snapshot.index} are in "${snapshot.name}": see --snapshot`);
}

/** Prints the records, and passes over the snapshot. */
function recordPrinter(filter: Filter, lines: LineWriter): ScanVisitor {
  return {
    part: () => {},
    batch(body, firstIndex, count) {
      if (firstIndex + count <= filter.from) return;
      const time = new Date(batchTime(body)).toISOString();
      forEachCommand(body, firstIndex, (command, index) => {
        const record = recordOf(command);
        if (index >= filter.from && passes(filter, record)) lines.write({ index, time, ...record });
      });
    },
  };
}

function recordOf(command: CommandCursor) {
  const { bytes, seq, clientStart, keyStart, valueStart, end } = command;
  const isPut = command.kind === CommandKind.put;
  return {
    kind: isPut ? "put" : "delete",
    client: decodeUtf8(bytes, clientStart, keyStart),
    seq,
    key: decodeUtf8(bytes, keyStart, valueStart),
    value: isPut ? decodeUtf8(bytes, valueStart, end) : undefined,
  };
}

/** Prints the snapshot, and passes over the records. */
function snapshotPrinter(filter: Filter, lines: LineWriter): ScanVisitor {
  let client = "";
  const write = (line: { client?: string; key?: string } & Record<string, unknown>) => {
    if (passes(filter, line)) lines.write(line);
  };
  return {
    part(kind, body) {
      if (kind === FrameKind.entries) {
        for (const { keyStart, valueStart, end } of entryPlaces(body)) {
          write({
            key: decodeUtf8(body, keyStart, valueStart),
            value: decodeUtf8(body, valueStart, end),
          });
        }
      } else if (kind === FrameKind.sessions) {
        for (const { state, start, end } of sessionItems(body)) {
          if (state !== null) client = decodeUtf8(body, start, end);
          if (state !== null) write({ client, top: state.top, floor: floorOf(state) });
          else write({ client, ...readableResult(body, start, end) });
        }
      }
    },
    batch: () => {},
  };
}

/** Sequence numbers up to this one are not remembered: they left the window, or made room. */
function floorOf({ top, floor }: { top: number; floor: number }): number {
  return Math.max(top - SESSION_WINDOW, floor);
}

function passes(filter: Filter, { client, key }: { client?: string; key?: string }): boolean {
  return (filter.client === undefined || filter.client === client) &&
    (filter.key === undefined || filter.key === key);
}

/**
 * Writes lines of JSON at once, many together: nothing piles up, however much there is to print.
 */
class LineWriter {
  readonly #output: { writeSync(bytes: Uint8Array): number };
  readonly #bytes = new ByteWriter(2 * LINES_BYTES);

  constructor(output: { writeSync(bytes: Uint8Array): number }) {
    this.#output = output;
  }

  write(line: unknown): void {
    this.#bytes.text(`${JSON.stringify(line)}\n`);
    if (this.#bytes.length >= LINES_BYTES) this.flush();
  }

  flush(): void {
    let bytes: Uint8Array = this.#bytes.written();
    while (bytes.length > 0) bytes = bytes.subarray(this.#output.writeSync(bytes));
    this.#bytes.clear();
  }
}
