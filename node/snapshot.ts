/**
 * Takes a snapshot from files that no longer change: the snapshot before and the sealed segments after
 * it, replayed by the same code that starts a node. The node that serves meanwhile is not asked and
 * not touched; all it has to do is to cut its log first.
 *
 * @module
 */
import { join } from "@std/path";
import { SNAPSHOT_SYNC_BYTES } from "../lib/limits.ts";
import { scanDirectory } from "./directory_scan.ts";
import { type Disk, type DiskFile, writeBytes } from "./disk.ts";
import { FrameBuffer } from "./frame_buffer.ts";
import type { SnapshotInfo } from "./log.ts";
import {
  encodeFileHeader,
  type FileHeader,
  frameBytes,
  indexOfName,
  isSegmentName,
  Mark,
  SECTOR_BYTES,
  snapshotName,
} from "./log_format.ts";
import { type LogScan, scanSegments } from "./log_scan.ts";
import { Replay } from "./replay.ts";
import type { SessionsOptions } from "./sessions.ts";
import { partsOf, type SnapshotPart } from "./snapshot_format.ts";
import { scanSnapshot } from "./snapshot_scan.ts";

export interface SnapshotMakerOptions extends SessionsOptions {
  readonly disk: Disk;
  readonly directory: string;
}

/** A state, and the header of the snapshot that stands for it: what comes next in the log. */
interface MadeState {
  readonly replay: Replay;
  readonly header: FileHeader;
}

/**
 * Takes the snapshots of one node, one at a time. It keeps the state of the one that it took last, so
 * that the next one takes a replay of the segments since then, and not of the snapshot as well.
 */
export class SnapshotMaker {
  readonly #options: SnapshotMakerOptions;
  #last: MadeState | null = null;

  constructor(options: SnapshotMakerOptions) {
    this.#options = options;
  }

  /**
   * Writes a snapshot of the records up to `index`, with which a sealed segment ends. Resolves when it
   * is durable and was read back. Nothing else is changed: a failure leaves at most a file that the
   * next start removes, and the next call begins from what is on disk.
   *
   * @throws {DamageError} What it is made from, or what was written, is not intact.
   */
  async take(index: number): Promise<SnapshotInfo> {
    const { disk, directory } = this.#options;
    const last = this.#last;
    this.#last = null; // it is about to change, and does not count before all went well
    const made = await (last === null ? this.#fromDisk(index) : this.#from(last, index));
    const info = await writeState(disk, directory, made.header, made.replay);
    this.#last = made;
    return info;
  }

  async #fromDisk(lastIndex: number): Promise<MadeState> {
    const { disk, directory } = this.#options;
    const replay = new Replay(this.#options);
    const scan = await scanDirectory(disk, directory, replay, { lastIndex });
    if (scan === null) throw new RangeError(`Directory "${directory}" has no log to read`);
    return { replay, header: headerAfter(scan) };
  }

  async #from({ replay, header }: MadeState, lastIndex: number): Promise<MadeState> {
    const { disk, directory } = this.#options;
    const names = (await disk.list(directory)).filter((name) =>
      isSegmentName(name) && indexOfName(name) >= header.firstIndex &&
      indexOfName(name) <= lastIndex
    );
    if (names.length === 0) throw new RangeError(`Directory "${directory}" has no log to read`);
    const start = { nextIndex: header.firstIndex, chain: header.chain, identity: header };
    const scan = await scanSegments(disk, directory, names, { start, lastIndex, visitor: replay });
    return { replay, header: headerAfter(scan) };
  }
}

/** Writes the snapshot of a state, under a header that says which record comes next. */
export async function writeState(
  disk: Disk,
  directory: string,
  header: FileHeader,
  { shard, time }: Replay,
): Promise<SnapshotInfo> {
  const index = header.firstIndex - 1;
  const name = snapshotName(index);
  const path = join(directory, name);
  const temporary = `${path}.tmp`;
  try {
    await writeFile(disk, temporary, header, partsOf(shard, time));
    const { sizeBytes } = await scanSnapshot(disk, directory, `${name}.tmp`);
    await disk.rename(temporary, path);
    await disk.syncDirectory(directory);
    return { index, sizeBytes };
  } catch (error) {
    await disk.remove(temporary).catch(() => {}); // a full disk gets its space back
    throw error;
  }
}

/** What the segment after the last one that was read has to say, so the snapshot says it too. */
function headerAfter({ segments, lastIndex, logId, nodeId }: LogScan): FileHeader {
  return { firstIndex: lastIndex + 1, chain: segments[segments.length - 1].chain, logId, nodeId };
}

async function writeFile(
  disk: Disk,
  path: string,
  header: FileHeader,
  parts: Iterable<SnapshotPart>,
): Promise<void> {
  const file = await disk.open(path, "create");
  try {
    const writer = new FrameWriter(file, header);
    for (const part of parts) {
      writer.write(part);
      if (writer.unsyncedBytes >= SNAPSHOT_SYNC_BYTES) await writer.sync();
    }
    await writer.sync();
  } finally {
    file.close();
  }
}

/** Writes the frames of a snapshot one after the other. */
class FrameWriter {
  readonly #file: DiskFile;
  #chain: number;
  #offset = SECTOR_BYTES;
  #syncedTo = 0;
  #nextItem = 1;
  readonly #frames = new FrameBuffer();

  constructor(file: DiskFile, header: FileHeader) {
    const { sector, checksum } = encodeFileHeader(Mark.snapshot, header);
    writeBytes(file, sector, 0);
    this.#file = file;
    this.#chain = checksum;
  }

  get unsyncedBytes(): number {
    return this.#offset - this.#syncedTo;
  }

  write({ kind, body, count }: SnapshotPart): void {
    const frame = { kind, firstIndex: this.#nextItem, count, chain: this.#chain };
    this.#chain = this.#frames.write(this.#file, this.#offset, body, frame);
    this.#offset += frameBytes(body.length);
    this.#nextItem += count;
  }

  async sync(): Promise<void> {
    await this.#file.syncData();
    this.#syncedTo = this.#offset;
  }
}
