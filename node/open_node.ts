/**
 * A node on its data directory: takes the directory, replays the log, and is ready to be served.
 * The disk, the clock and the randomness come from the caller, so a simulated node starts as a real
 * one.
 *
 * @module
 */
import type { Clock } from "../lib/clock.ts";
import { type DataDirectory, openDataDirectory } from "./data_directory.ts";
import type { Disk } from "./disk.ts";
import { FileLog, type FileLogOptions } from "./file_log.ts";
import { Node, type ShardBounds } from "./node.ts";
import type { TakeSnapshot } from "./snapshot_scheduler.ts";

export interface OpenNodeOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly directory: string;
  readonly nodeId: string;
  /** Fills an array with random bytes and returns it. */
  readonly randomBytes: (target: Uint8Array<ArrayBuffer>) => Uint8Array;
  /** Bytes that the store may hold, see `admission.ts`. Default: no bound. */
  readonly storeBytesMax?: number;
  /** Told what a person who runs the node should know, in one line each. */
  readonly report: (line: string) => void;
  readonly bounds?: ShardBounds;
  /** Default: a log on files with the sizes of `limits.ts`. */
  readonly openLog?: (options: FileLogOptions) => FileLog;
  /** Takes snapshots of this directory. Without it none are taken, and the log grows for ever. */
  readonly takeSnapshot?: TakeSnapshot;
  /** Default: as in `limits.ts`. */
  readonly snapshotGrowthBytesMin?: number;
}

/** A node that may be asked. Disposing of it makes durable and answers what it has accepted. */
export interface OpenedNode extends AsyncDisposable {
  readonly node: Node;
  readonly log: FileLog;
}

/**
 * Opens the data directory and replays the log.
 *
 * @throws {DamageError} The data is not what was written.
 * @throws {Error} The directory is another node's, or locked by another process, or cannot be used.
 */
export async function openNode(options: OpenNodeOptions): Promise<OpenedNode> {
  const { disk, clock, directory: path, nodeId, storeBytesMax, report, bounds } = options;
  await using resources = new AsyncDisposableStack();
  const directory = resources.use(await openDataDirectory(disk, path, nodeId, { clock, report }));
  const log = openLog(options, directory);
  resources.defer(() => log.close());
  const { takeSnapshot: take, snapshotGrowthBytesMin: growthBytesMin } = options;
  const snapshots = take && { take, report, growthBytesMin };
  const hashKey = randomHashKey(options);
  const node = await Node.start({ log, clock, hashKey, storeBytesMax, bounds, snapshots });
  resources.defer(() => node.close());
  await directory.markExisting();

  const owned = resources.move();
  return { node, log, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function openLog(options: OpenNodeOptions, { existing }: DataDirectory): FileLog {
  const { disk, directory, nodeId, randomBytes, report } = options;
  const open = options.openLog ?? ((options) => new FileLog(options));
  const randomId = () => randomBytes(new Uint8Array(16));
  return open({ disk, directory, nodeId, randomId, existing, report });
}

function randomHashKey({ randomBytes }: OpenNodeOptions): [number, number] {
  const view = new DataView(randomBytes(new Uint8Array(8)).buffer);
  return [view.getUint32(0), view.getUint32(4)];
}
