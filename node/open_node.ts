/**
 * A node on its data directory: takes the directory, replays the log, and is ready to be served.
 * The disk, the clock and the randomness come from the caller, so a simulated node starts as a real
 * one.
 *
 * @module
 */
import type { Clock } from "../lib/clock.ts";
import { type DataDirectory, openDataDirectory, type ShardNumber } from "./log/data_directory.ts";
import type { Disk } from "./disk/disk.ts";
import { FileLog, type FileLogOptions } from "./log/file_log.ts";
import type { Log, LogVisitor } from "./log/log.ts";
import { Node } from "./node.ts";
import { Replay } from "./replay.ts";
import type { SessionsOptions } from "./sessions/sessions.ts";
import type { SnapshotSchedulerOptions } from "./snapshot/snapshot_scheduler.ts";

/** The bounds of what a node remembers. */
export type ShardBounds = Omit<SessionsOptions, "hashKey">;

export interface OpenNodeOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly directory: string;
  readonly nodeId: string;
  /** Default: whichever the directory holds. */
  readonly shard?: ShardNumber;
  /** Whether a log must be there, see `data_directory.ts`. Default: no. */
  readonly mustExist?: boolean;
  /** Fills an array with random bytes and returns it. */
  readonly randomBytes: (target: Uint8Array<ArrayBuffer>) => Uint8Array;
  /** Bytes that the store may hold, see `admission.ts`. Default: no bound. */
  readonly storeBytesMax?: number;
  /** Told what a person who runs the node should know, in one line each. */
  readonly report: (line: string) => void;
  /** Default: those of `limits.ts`. */
  readonly bounds?: ShardBounds;
  /** Default: a log on files with the sizes of `limits.ts`. */
  readonly openLog?: (options: FileLogOptions, visitor: LogVisitor) => Promise<Log>;
  /** How snapshots of this directory are taken. Default: none are, and the log grows for ever. */
  readonly snapshots?: Omit<SnapshotSchedulerOptions, "log" | "report">;
}

/** A node that may be asked. Disposing of it makes durable and answers what it has accepted. */
export interface OpenedNode extends AsyncDisposable {
  readonly node: Node;
  readonly log: Log;
}

/**
 * Opens the data directory and replays the log.
 *
 * @throws {DamageError} The data is not what was written.
 * @throws {WrongDirectoryError} The data is another node's, or of another shard.
 * @throws {Error} The directory is locked by another process, or cannot be used.
 */
export async function openNode(options: OpenNodeOptions): Promise<OpenedNode> {
  const { disk, clock, nodeId, shard, mustExist, storeBytesMax, report, snapshots } = options;
  await using resources = new AsyncDisposableStack();
  const directory = resources.use(
    await openDataDirectory(disk, options.directory, nodeId, { mustExist, shard, clock, report }),
  );
  const replay = new Replay({ ...options.bounds, hashKey: randomHashKey(options) });
  const log = await openLog(options, directory, replay);
  resources.defer(() => log.close());
  const node = new Node(
    { log, clock, storeBytesMax, snapshots: snapshots && { ...snapshots, report } },
    replay,
  );
  resources.defer(() => node.close());
  await directory.markExisting();

  const owned = resources.move();
  return { node, log, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function openLog(
  options: OpenNodeOptions,
  { existing }: DataDirectory,
  visitor: LogVisitor,
): Promise<Log> {
  const { disk, directory, nodeId, randomBytes, report, openLog = FileLog.open } = options;
  const randomId = () => randomBytes(new Uint8Array(16));
  return openLog({ disk, directory, nodeId, randomId, existing, report }, visitor);
}

function randomHashKey({ randomBytes }: OpenNodeOptions): [number, number] {
  const view = new DataView(randomBytes(new Uint8Array(8)).buffer);
  return [view.getUint32(0), view.getUint32(4)];
}
