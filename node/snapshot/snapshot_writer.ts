/**
 * Writes the file of a snapshot: under a temporary name, which it loses only when the file is
 * durable and was read back.
 *
 * @module
 */
import { join } from "@std/path";
import { SNAPSHOT_SYNC_BYTES } from "../../lib/limits.ts";
import { type Disk, type DiskFile, writeBytes } from "../disk/disk.ts";
import { FrameBuffer } from "../log/frame_buffer.ts";
import type { SnapshotInfo } from "../log/log.ts";
import {
  encodeFileHeader,
  type FileHeader,
  frameBytes,
  Mark,
  SECTOR_BYTES,
  snapshotName,
} from "../log/log_format.ts";
import type { Replay } from "../replay.ts";
import { partsOf, type SnapshotPart } from "./snapshot_format.ts";
import { scanSnapshot } from "./snapshot_scan.ts";

/**
 * Writes the snapshot of a state, under a header that says which record comes next. A failure
 * removes the temporary file.
 *
 * @throws {DamageError} What is read back is not what was written.
 * @throws {Error} The disk failed, or is full.
 */
export async function writeSnapshot(
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
