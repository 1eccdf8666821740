/**
 * The write-ahead log on files. Appending is one write and one fdatasync: the segment's size does
 * not change, because zeros were written and made durable ahead of the frames.
 *
 * @module
 */
import { join } from "@std/path";
import { FILL_BYTES, SEGMENT_BYTES } from "../lib/limits.ts";
import { UnavailableError } from "../lib/key_value.ts";
import { type DirectoryScan, isCovered, missingLog, scanDirectory } from "./directory_scan.ts";
import { createFile, type Disk, type DiskFile, readBytes, writeBytes } from "./disk.ts";
import { asRefusal, synced } from "./disk_errors.ts";
import type { Log, LogVisitor, SnapshotInfo } from "./log.ts";
import {
  encodeFileHeader,
  encodeFrame,
  frameBytes,
  type FrameFields,
  FrameKind,
  Mark,
  SECTOR_BYTES,
  segmentName,
} from "./log_format.ts";
import type { SegmentScan } from "./log_scan.ts";

export interface FileLogOptions {
  readonly disk: Disk;
  /** Holds the log and nothing else; exists, and is locked by this process. */
  readonly directory: string;
  /** Stands in every segment: a log under another node's name is refused. At most 63 bytes. */
  readonly nodeId: string;
  /** 16 bytes, for a log that is created. */
  readonly randomId: () => Uint8Array;
  /** Whether the directory has held a log before: then a log must be there. */
  readonly existing: boolean;
  /** Told what was mended at the start, in one line each. */
  readonly report: (line: string) => void;
  readonly segmentBytes?: number;
  readonly fillBytes?: number;
}

const noBody = new Uint8Array(0);

/** A segment that gets no more batches, and still has to get its seal. */
interface UnsealedSegment {
  readonly file: DiskFile;
  readonly firstIndex: number;
  readonly tail: number;
  readonly chain: number;
}

/**
 * See the module's own comment, and `log_format.ts` for what is on disk.
 *
 * When the disk is full, a batch is refused and the log stays as it was. That takes care where more
 * than one step is needed: a step that was refused is done first by the next append, whatever that
 * brings, and before any frame is written.
 */
export class FileLog implements Log {
  readonly #options: FileLogOptions;
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #segmentBytes: number;
  readonly #zeros: Uint8Array;
  #logId: Uint8Array = noBody;

  #file: DiskFile | undefined;
  /** Where the next frame goes in the current segment, and how far its zeros are durable. */
  #tail = 0;
  #filled = 0;
  #chain = 0;
  #lastIndex = 0;
  /** Bytes that hold frames in each sealed segment, by its first index. */
  readonly #sealed = new Map<number, number>();
  #segmentIndex = 1;
  #snapshot: SnapshotInfo | null = null;
  #syncs = 0;
  #bytesAppended = 0;
  /** Frames are laid out here; grows to the largest batch. */
  #frame = new Uint8Array(64 * 1024);
  #failure: unknown;
  /** The segment that is being left, until its seal is durable: no frame is written meanwhile. */
  #unsealed: UnsealedSegment | undefined;
  /** From the tail on: bytes where a refused frame may have left something in place of zeros. */
  #spoiledBytes = 0;

  constructor(options: FileLogOptions) {
    this.#options = options;
    this.#disk = options.disk;
    this.#directory = options.directory;
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES;
    this.#zeros = new Uint8Array(options.fillBytes ?? FILL_BYTES);
  }

  get lastIndex(): number {
    return this.#lastIndex;
  }

  get bytes(): number {
    let bytes = this.#tail;
    for (const sealed of this.#sealed.values()) bytes += sealed;
    return bytes;
  }

  get segments(): number {
    return this.#sealed.size + 1;
  }

  get snapshot(): SnapshotInfo | null {
    return this.#snapshot;
  }

  get bytesAppended(): number {
    return this.#bytesAppended;
  }

  get syncs(): number {
    return this.#syncs;
  }

  async replay(visitor: LogVisitor): Promise<void> {
    const scan = await scanDirectory(this.#disk, this.#directory, visitor);
    if (scan === null) return await this.#createLog();
    if (scan.nodeId !== this.#options.nodeId) {
      throw new Error(
        `Cannot open the log in "${this.#directory}": it belongs to node "${scan.nodeId}", ` +
          `expected "${this.#options.nodeId}"`,
      );
    }
    await this.#continueLog(scan);
  }

  async #createLog(): Promise<void> {
    if (this.#options.existing) throw missingLog(this.#directory);
    this.#logId = this.#options.randomId();
    await this.#startSegment();
  }

  /** Takes up the log where `scan` found its end, and first mends what a crash left unfinished. */
  async #continueLog(scan: DirectoryScan): Promise<void> {
    const last = scan.segments[scan.segments.length - 1];
    this.#logId = scan.logId;
    this.#chain = last.chain;
    this.#lastIndex = scan.lastIndex;
    this.#snapshot = scan.snapshot;
    await this.#removeLeftovers(scan);
    for (const segment of scan.segments.slice(0, -1)) {
      this.#sealed.set(segment.firstIndex, segment.tail);
    }
    const before = scan.segments.at(-2);
    if (before) await this.#sealAgain(before);
    this.#segmentIndex = last.firstIndex;
    this.#tail = last.tail;
    this.#filled = last.sizeBytes - last.sizeBytes % SECTOR_BYTES;
    this.#file = await this.#open(last.name);
    await this.#settleTail(this.#file, last);
  }

  /** Removes what nothing needs any more, after what is needed instead is known to be durable. */
  async #removeLeftovers(scan: DirectoryScan): Promise<void> {
    const { report } = this.#options;
    const next = scan.snapshot === null ? "record 1" : `"${scan.snapshot.name}"`;
    for (const { message } of scan.passedOver) report(`${message}; went on from ${next} instead`);
    await this.#disk.syncDirectory(this.#directory);
    for (const name of scan.leftovers) {
      await this.#disk.remove(join(this.#directory, name));
      report(`removed "${name}", left over from an unfinished write or removal`);
    }
    await this.#removeCovered(scan.covered);
    for (const name of scan.covered) report(`removed "${name}", which ${next} stands for`);
    await this.#disk.syncDirectory(this.#directory);
  }

  /**
   * Removes files that a snapshot stands for, oldest first: what a crash leaves is the newest part of
   * the log, without a gap. A file may go in pieces, so before that it loses its name.
   */
  async #removeCovered(names: readonly string[]): Promise<void> {
    const paths = names.map((name) => join(this.#directory, name));
    for (const path of paths) await this.#disk.rename(path, `${path}.tmp`);
    await this.#disk.syncDirectory(this.#directory);
    for (const path of paths) await this.#disk.remove(`${path}.tmp`);
  }

  /**
   * Makes durable what was only read, as the seal before it was. After a crash of the process the
   * last batch may be in memory alone; after a failed sync the system may even take it for written.
   * So the last batch is written again, the same bytes, and a torn one is written over with zeros.
   */
  async #settleTail(file: DiskFile, segment: SegmentScan): Promise<void> {
    if (segment.lastFrame > 0) {
      const length = segment.tail - segment.lastFrame;
      writeBytes(file, readBytes(file, segment.lastFrame, length), segment.lastFrame);
    }
    if (segment.tornBytes > 0) {
      writeBytes(file, new Uint8Array(segment.tornBytes), segment.tail);
      this.#options.report(
        `cut off ${segment.tornBytes} bytes at byte ${segment.tail} of "${segment.name}": ` +
          `a last batch that was never finished, so never acknowledged`,
      );
    }
    await this.#sync(file);
  }

  append(body: Uint8Array, count: number): Promise<void> {
    return this.#attempt(() => this.#appendFrame(body, count));
  }

  async cut(): Promise<number> {
    // A segment without frames begins where a cut would be.
    const isCut = () => this.#lastIndex < this.#segmentIndex;
    await this.#attempt(() => isCut() ? Promise.resolve() : this.#nextSegment());
    return this.#lastIndex;
  }

  /** Does what an attempt before this one was refused, then `step`. */
  async #attempt(step: () => Promise<void>): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      if (this.#spoiledBytes > 0) await this.#wipe();
      if (this.#unsealed !== undefined) await this.#leaveSegment(this.#unsealed);
      await step();
    } catch (error) {
      const refusal = asRefusal(error);
      if (refusal === null) this.#failure = error;
      throw refusal ?? error;
    }
  }

  async drop(snapshot: SnapshotInfo): Promise<void> {
    this.#snapshot = snapshot;
    const names = await this.#disk.list(this.#directory);
    const isUnnamed = (name: string) =>
      name.endsWith(".tmp") && isCovered(name.slice(0, -".tmp".length), snapshot.index);
    // What an earlier call could not remove.
    for (const name of names.filter(isUnnamed)) {
      await this.#disk.remove(join(this.#directory, name));
    }
    await this.#removeCovered(names.filter((name) => isCovered(name, snapshot.index)));
    for (const firstIndex of this.#sealed.keys()) {
      if (firstIndex <= snapshot.index) this.#sealed.delete(firstIndex);
    }
  }

  #appendFrame(body: Uint8Array, count: number): Promise<void> {
    const length = frameBytes(body.length);
    // After the frame there is always room for the seal, and zeros that are durable.
    const needed = this.#tail + length + SECTOR_BYTES;
    if (needed > this.#segmentBytes && this.#tail > SECTOR_BYTES) {
      return this.#nextSegment().then(() => this.#appendFrame(body, count));
    }
    if (needed > this.#filled) {
      return this.#fill(needed).then(() => this.#appendFrame(body, count));
    }
    const file = this.#file!;
    const firstIndex = this.#lastIndex + 1;
    const frame = { kind: FrameKind.batch, firstIndex, count, chain: this.#chain };
    let checksum: number;
    try {
      checksum = this.#write(file, this.#tail, body, frame);
    } catch (error) {
      return this.#takeBack(length, error);
    }
    return this.#sync(file).then(() => {
      this.#chain = checksum;
      this.#tail += length;
      this.#bytesAppended += length;
      this.#lastIndex += count;
    });
  }

  /** Lays out a frame and writes it at `offset`. Returns its body checksum. */
  #write(file: DiskFile, offset: number, body: Uint8Array, frame: FrameFields): number {
    const length = frameBytes(body.length);
    if (this.#frame.length < length) this.#frame = new Uint8Array(length * 2);
    const checksum = encodeFrame(this.#frame, body, frame);
    writeBytes(file, this.#frame.subarray(0, length), offset);
    return checksum;
  }

  /**
   * Rejects with `error`, when nothing is left of a frame that the disk had no room for. Most disks
   * take a frame always, as its place was filled with zeros; one that copies on write may not.
   */
  async #takeBack(length: number, error: unknown): Promise<never> {
    if (asRefusal(error) === null) throw error;
    this.#spoiledBytes = length;
    try {
      await this.#wipe();
    } catch (cause) {
      if (asRefusal(cause) === null) throw cause;
      throw new UnavailableError(
        "Disk is full, and cannot take back a part of a batch: whether this write will be applied " +
          "is unknown until there is space",
        { cause },
      );
    }
    throw error;
  }

  /** Puts zeros back where the next frame goes: it may only be written over durable ones. */
  async #wipe(): Promise<void> {
    writeBytes(this.#file!, new Uint8Array(this.#spoiledBytes), this.#tail);
    await this.#sync(this.#file!);
    this.#spoiledBytes = 0;
  }

  #sync(file: DiskFile): Promise<void> {
    this.#syncs++;
    return synced(file.syncData());
  }

  /** Writes zeros up to `needed` at least, in whole steps, and makes them durable. */
  async #fill(needed: number): Promise<void> {
    let filled = this.#filled;
    while (filled < needed) {
      writeBytes(this.#file!, this.#zeros, filled);
      filled += this.#zeros.length;
    }
    await this.#sync(this.#file!);
    this.#filled = filled;
  }

  #nextSegment(): Promise<void> {
    this.#unsealed = {
      file: this.#file!,
      firstIndex: this.#segmentIndex,
      tail: this.#tail,
      chain: this.#chain,
    };
    return this.#leaveSegment(this.#unsealed);
  }

  /**
   * The next segment is durable before the seal says that it is there. From the first step on there
   * is no way back: a batch that went to this segment would not be expected before the next one.
   */
  async #leaveSegment({ file, firstIndex, tail, chain }: UnsealedSegment): Promise<void> {
    if (this.#file === file) {
      await this.#startSegment();
      this.#sealed.set(firstIndex, tail);
    }
    await this.#seal(file, tail, chain, this.#lastIndex + 1);
    this.#unsealed = undefined;
    file.close();
  }

  /** Writes the seal that a crash prevented, or the same one again: it may be in memory alone. */
  async #sealAgain({ name, tail, chain, firstIndex, records }: SegmentScan): Promise<void> {
    const file = await this.#open(name);
    try {
      await this.#seal(file, tail, chain, firstIndex + records);
    } finally {
      file.close();
    }
  }

  async #seal(file: DiskFile, offset: number, chain: number, nextIndex: number): Promise<void> {
    const frame = { kind: FrameKind.seal, firstIndex: nextIndex, count: 0, chain };
    this.#write(file, offset, noBody, frame);
    await this.#sync(file);
  }

  /** Creates the segment that begins after the last record, and makes it the current one. */
  async #startSegment(): Promise<void> {
    const firstIndex = this.#lastIndex + 1;
    const { nodeId } = this.#options;
    const header = { firstIndex, chain: this.#chain, logId: this.#logId, nodeId };
    const { sector, checksum } = encodeFileHeader(Mark.segment, header);
    const bytes = new Uint8Array(SECTOR_BYTES + this.#zeros.length);
    bytes.set(sector);
    const name = segmentName(firstIndex);
    await createFile(this.#disk, this.#directory, name, bytes);
    this.#file = await this.#open(name);
    this.#segmentIndex = firstIndex;
    this.#chain = checksum;
    this.#tail = SECTOR_BYTES;
    this.#filled = bytes.length;
  }

  #open(name: string): Promise<DiskFile> {
    return this.#disk.open(join(this.#directory, name), "write");
  }

  close(): void {
    if (this.#unsealed?.file !== this.#file) this.#unsealed?.file.close();
    this.#unsealed = undefined;
    this.#file?.close();
    this.#file = undefined;
  }
}
