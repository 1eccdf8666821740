/**
 * A node on a simulated disk whose segments and snapshots are so small that a few writes fill them.
 *
 * @module
 */
import { join } from "@std/path";
import { systemClock } from "../../lib/clock.ts";
import { ByteWriter } from "../../lib/byte_writer.ts";
import { encodeCommand } from "../../lib/command_codec.ts";
import { type Command, CommandKind } from "../../lib/key_value.ts";
import { COMMAND_BYTES_MAX } from "../../lib/limits.ts";
import { FileLog } from "../../node/log/file_log.ts";
import { type OpenedNode, openNode } from "../../node/open_node.ts";
import { SnapshotMaker } from "../../node/snapshot/snapshot_maker.ts";
import type { TakeSnapshot } from "../../node/snapshot/snapshot_scheduler.ts";
import { until } from "../until.ts";
import { DeviceError, SimulatedDisk } from "../../tasks/simulate/simulated_disk.ts";

export const DIRECTORY = "n1";

export interface SmallNodeOptions {
  /** Default: snapshots are taken in this process. */
  readonly take?: TakeSnapshot;
  /** Bytes by which the log grows before a snapshot is taken. Default: eight small writes. */
  readonly growthBytesMin?: number;
  /** Default: 16 KiB. */
  readonly segmentBytes?: number;
  /** The byte of which the id of a new log is made. Default: 7. */
  readonly id?: number;
}

/** A node, and what it reported. */
export interface SmallNode extends OpenedNode {
  readonly reports: string[];
}

/** Opens the node `n1` on `disk`. */
export async function openSmallNode(
  disk: SimulatedDisk,
  options: SmallNodeOptions = {},
): Promise<SmallNode> {
  const reports: string[] = [];
  const segmentBytes = options.segmentBytes ?? 16 * 1024;
  const opened = await openNode({
    disk,
    clock: systemClock,
    directory: DIRECTORY,
    nodeId: "n1",
    shard: "1 of 6",
    randomBytes: (target) => target.fill(options.id ?? 7),
    report: (line) => reports.push(line),
    openLog: (log, visitor) => FileLog.open({ ...log, segmentBytes, fillBytes: 1024 }, visitor),
    snapshots: {
      take: options.take ?? takeFrom(disk),
      growthBytesMin: options.growthBytesMin ?? 8 * 512,
    },
  });
  return Object.assign(opened, { reports });
}

/** Takes snapshots of the node on `disk` in this process. */
export function takeFrom(disk: SimulatedDisk): TakeSnapshot {
  const maker = new SnapshotMaker({ disk, directory: DIRECTORY, hashKey: [5, 6] });
  return (index) => maker.take(index);
}

/** The i-th of many writes, from 0: three clients, seven keys, some of them deleted at times. */
export function writeOf(i: number): Command {
  const kind = i % 10 === 9 ? CommandKind.delete : CommandKind.put;
  return {
    kind,
    client: `client ${i % 3}`,
    seq: 1 + Math.floor(i / 3),
    key: `key ${i % 7}`,
    value: kind === CommandKind.put ? `value ${i} `.repeat(1 + i % 5) : "",
  };
}

/** Writes from the `first` of {@linkcode writeOf} up to, without, `end`, one after the other. */
export async function write({ node }: OpenedNode, first: number, end: number): Promise<void> {
  for (let i = first; i < end; i++) await node.write(writeOf(i));
}

/** What is said of the record that cannot be read. */
export const TOO_LARGE =
  `Command is malformed: kind 1, client 1 bytes, key 1 bytes, value ${COMMAND_BYTES_MAX} bytes, ` +
  `seq 2, ${COMMAND_BYTES_MAX + 22} bytes of ${COMMAND_BYTES_MAX + 45} and of at most ` +
  `${COMMAND_BYTES_MAX}`;

/**
 * A log that a bug got a record into that is too large: records 1 and 2, a batch of records 3 to 5,
 * of which it is the second, and, unless that is the last one, record 6. Each puts a key of its
 * own. Also says at which byte of the segment the batch stands.
 */
export async function diskWithUnreadableRecord({ isLast = false } = {}) {
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk, {
    growthBytesMin: Infinity,
    segmentBytes: 4 * COMMAND_BYTES_MAX,
  });
  await write(opened, 0, 2);
  const offset = opened.log.bytes;
  await opened.log.append(batchOf("v", "v".repeat(COMMAND_BYTES_MAX), "v"), 3);
  if (!isLast) await opened.log.append(batchOf("v"), 1);
  return { disk: disk.copy(), offset };
}

/** A batch of puts, each of another key. */
function batchOf(...values: string[]): Uint8Array {
  const bytes = new ByteWriter();
  bytes.uint53(0);
  for (const [i, value] of values.entries()) {
    const key = values.length === 1 ? "z" : "abc"[i];
    encodeCommand(bytes, { kind: CommandKind.put, client: key, seq: i + 1, key, value });
  }
  return bytes.written();
}

/** From now on the device cannot read this file. */
export function failReading(disk: SimulatedDisk, unreadable: string): void {
  disk.beforeCall = (call, path) => {
    if (call === "read" && path === unreadable) throw new DeviceError();
  };
}

/** Resolves when the node has taken `count` snapshots in all, or failed to. */
export function snapshots({ node }: OpenedNode, count: number): Promise<void> {
  const done = () => node.metrics().snapshot_total + node.metrics().snapshot_failures_total;
  return until(() => done() >= count, `${count} snapshots`);
}

/** The names of the files of the node, without its marker. */
export async function filesOf(disk: SimulatedDisk): Promise<string[]> {
  return (await disk.list(DIRECTORY)).filter((name) => name !== "NODE");
}

export function pathOf(name: string): string {
  return join(DIRECTORY, name);
}
