/**
 * Takes a snapshot from files that no longer change: the snapshot before and the sealed segments after
 * it, replayed by the same code that starts a node. The node that serves meanwhile is not asked and
 * not touched; all it has to do is to cut its log first.
 *
 * @module
 */
import { join } from "@std/path";
import { SNAPSHOT_SYNC_BYTES } from "../lib/limits.ts";
import { type DirectoryScan, scanDirectory } from "./directory_scan.ts";
import { type Disk, type DiskFile, writeBytes } from "./disk.ts";
import type { SnapshotInfo } from "./log.ts";
import {
  encodeFileHeader,
  encodeFrame,
  type FileHeader,
  frameBytes,
  Mark,
  SECTOR_BYTES,
  snapshotName,
} from "./log_format.ts";
import { Replay } from "./replay.ts";
import type { SessionsOptions } from "./sessions.ts";
import { partsOf, type SnapshotPart } from "./snapshot_format.ts";
import { scanSnapshot } from "./snapshot_scan.ts";

export interface WriteSnapshotOptions extends SessionsOptions {
  readonly disk: Disk;
  readonly directory: string;
  /** Of the last record that is to be in it; a sealed segment ends with this one. */
  readonly index: number;
}

/**
 * Writes a snapshot and resolves when it is durable and was read back. Nothing else is changed: a
 * failure leaves at most a file that the next start removes.
 *
 * @throws {DamageError} What it is made from, or what was written, is not intact.
 */
export async function writeSnapshot(options: WriteSnapshotOptions): Promise<SnapshotInfo> {
  const { disk, directory, index } = options;
  const replay = new Replay(options);
  const scan = await scanDirectory(disk, directory, replay, { lastIndex: index });
  if (scan === null) throw new RangeError(`Directory "${directory}" has no log to read`);
  return await writeState(disk, directory, headerAfter(scan), replay);
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
function headerAfter({ segments, lastIndex, logId, nodeId }: DirectoryScan): FileHeader {
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
  #frame = new Uint8Array(0);

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
    const length = frameBytes(body.length);
    if (this.#frame.length < length) this.#frame = new Uint8Array(length * 2);
    const frame = { kind, firstIndex: this.#nextItem, count, chain: this.#chain };
    this.#chain = encodeFrame(this.#frame, body, frame);
    writeBytes(this.#file, this.#frame.subarray(0, length), this.#offset);
    this.#offset += length;
    this.#nextItem += count;
  }

  async sync(): Promise<void> {
    await this.#file.syncData();
    this.#syncedTo = this.#offset;
  }
}
