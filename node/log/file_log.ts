/**
 * The write-ahead log on files. Appending is one write and one fdatasync: the segment's size does
 * not change, because zeros were written and made durable ahead of the frames.
 *
 * @module
 */
import { FILL_BYTES, SEGMENT_BYTES } from "../../lib/limits.ts";
import { WrongDirectoryError } from "./data_directory.ts";
import {
  type DirectoryScan,
  isCovered,
  isTemporary,
  missingLog,
  scanDirectory,
} from "./directory_scan.ts";
import type { Disk } from "../disk/disk.ts";
import { asRefusal } from "../disk/disk_errors.ts";
import { removeFiles } from "./file_removal.ts";
import type { Log, LogVisitor, SnapshotInfo } from "./log.ts";
import { recoverLog } from "./log_recovery.ts";
import { SegmentContext, SegmentWriter } from "./segment_writer.ts";

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

/**
 * A log in segments, see `log_format.ts` for what is on disk.
 *
 * When the disk is full, a batch is refused and the log stays as it was. That takes care where more
 * than one step is needed: a step that was refused is done first by the next append, whatever that
 * brings, and before any frame is written.
 */
export class FileLog implements Log {
  readonly #context: SegmentContext;
  readonly #segmentBytes: number;
  /** The segment that gets the frames. */
  #segment: SegmentWriter;
  /** The segment that is being left, until its seal is durable: no frame is written meanwhile. */
  #unsealed: SegmentWriter | undefined;
  /** Bytes that hold frames in each sealed segment, by its first index. */
  readonly #sealed = new Map<number, number>();
  #snapshot: SnapshotInfo | null;
  #failure: unknown;

  private constructor(
    context: SegmentContext,
    segmentBytes: number,
    segment: SegmentWriter,
    scan: DirectoryScan | null,
  ) {
    this.#context = context;
    this.#segmentBytes = segmentBytes;
    this.#segment = segment;
    this.#snapshot = scan?.snapshot ?? null;
    for (const { firstIndex, tail } of scan?.segments.slice(0, -1) ?? []) {
      this.#sealed.set(firstIndex, tail);
    }
  }

  /**
   * Opens the log, or creates it, and visits all that is durable.
   *
   * @throws {DamageError} Something acknowledged is missing or changed.
   * @throws {WrongDirectoryError} The log is another node's.
   */
  static async open(options: FileLogOptions, visitor: LogVisitor): Promise<FileLog> {
    const { disk, directory, nodeId, existing, randomId, report } = options;
    const { segmentBytes = SEGMENT_BYTES, fillBytes = FILL_BYTES } = options;
    const scan = await scanDirectory(disk, directory, visitor);
    if (scan === null && existing) throw missingLog(directory);
    if (scan !== null && scan.nodeId !== nodeId) {
      throw new WrongDirectoryError(
        `Cannot open the log in "${directory}": it belongs to node "${scan.nodeId}", ` +
          `expected "${nodeId}"`,
      );
    }
    const identity = { nodeId, logId: scan?.logId ?? randomId() };
    const context = new SegmentContext(disk, directory, identity, fillBytes);
    const segment = scan === null
      ? await SegmentWriter.create(context, 1, 0)
      : await recoverLog(context, scan, report);
    return new FileLog(context, segmentBytes, segment, scan);
  }

  get lastIndex(): number {
    return this.#segment.nextIndex - 1;
  }

  get bytes(): number {
    let bytes = this.#segment.tail;
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
    return this.#context.bytesAppended;
  }

  get syncs(): number {
    return this.#context.syncs;
  }

  append(body: Uint8Array, count: number): Promise<void> {
    return this.#attempt(async () => {
      const isFull = this.#segment.bytesWith(body.length) > this.#segmentBytes;
      if (isFull && !this.#segment.isEmpty) await this.#nextSegment();
      await this.#segment.append(body, count);
    });
  }

  async cut(): Promise<number> {
    await this.#attempt(async () => {
      // A segment without frames begins where a cut would be.
      if (!this.#segment.isEmpty) await this.#nextSegment();
    });
    return this.lastIndex;
  }

  /** Does what an attempt before this one was refused, then `step`. */
  async #attempt(step: () => Promise<void>): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      if (this.#segment.isDirty) await this.#segment.wipe();
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
    const { disk, directory } = this.#context;
    const names = await disk.list(directory);
    const isSuperfluous = (name: string) => isCovered(name, snapshot.index);
    const failures = await removeFiles(
      disk,
      directory,
      names.filter(isSuperfluous),
      names.filter((name) => isTemporary(name, isSuperfluous)), // what an earlier call left
    );
    for (const firstIndex of this.#sealed.keys()) {
      if (firstIndex <= snapshot.index) this.#sealed.delete(firstIndex);
    }
    const [failure] = failures.values();
    if (failure !== undefined) throw failure;
  }

  #nextSegment(): Promise<void> {
    this.#unsealed = this.#segment;
    return this.#leaveSegment(this.#unsealed);
  }

  /**
   * The next segment is durable before the seal says that it is there. From the first step on there
   * is no way back: a batch that went to this segment would not be expected before the next one.
   */
  async #leaveSegment(segment: SegmentWriter): Promise<void> {
    if (this.#segment === segment) {
      const { nextIndex, chain } = segment;
      this.#segment = await SegmentWriter.create(this.#context, nextIndex, chain);
      this.#sealed.set(segment.firstIndex, segment.tail);
    }
    await segment.seal();
    this.#unsealed = undefined;
    segment.close();
  }

  close(): void {
    this.#unsealed?.close();
    this.#segment.close();
  }
}
