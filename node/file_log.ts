/**
 * The write-ahead log on files. Appending is one write and one fdatasync: the segment's size does
 * not change, because zeros were written and made durable ahead of the frames.
 *
 * @module
 */
import { join } from "@std/path";
import { errorMessage } from "../lib/error_message.ts";
import { FILL_BYTES, SEGMENT_BYTES } from "../lib/limits.ts";
import { WrongDirectoryError } from "./data_directory.ts";
import {
  type DirectoryScan,
  isCovered,
  isTemporary,
  missingLog,
  scanDirectory,
} from "./directory_scan.ts";
import type { Disk } from "./disk.ts";
import { asRefusal } from "./disk_errors.ts";
import type { Log, LogVisitor, SnapshotInfo } from "./log.ts";
import type { SegmentScan } from "./log_scan.ts";
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
  readonly #context: SegmentContext;
  #logId: Uint8Array = new Uint8Array(0);

  /** The one that gets the frames; none before the log was replayed. */
  #segment: SegmentWriter | undefined;
  /** The segment that is being left, until its seal is durable: no frame is written meanwhile. */
  #unsealed: SegmentWriter | undefined;
  /** Bytes that hold frames in each sealed segment, by its first index. */
  readonly #sealed = new Map<number, number>();
  #snapshot: SnapshotInfo | null = null;
  #failure: unknown;

  constructor(options: FileLogOptions) {
    this.#options = options;
    this.#disk = options.disk;
    this.#directory = options.directory;
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES;
    this.#context = new SegmentContext(options.fillBytes ?? FILL_BYTES);
  }

  get lastIndex(): number {
    return this.#segment === undefined ? 0 : this.#segment.nextIndex - 1;
  }

  get bytes(): number {
    let bytes = this.#segment?.tail ?? 0;
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

  async replay(visitor: LogVisitor): Promise<void> {
    const scan = await scanDirectory(this.#disk, this.#directory, visitor);
    if (scan === null) return await this.#createLog();
    if (scan.nodeId !== this.#options.nodeId) {
      throw new WrongDirectoryError(
        `Cannot open the log in "${this.#directory}": it belongs to node "${scan.nodeId}", ` +
          `expected "${this.#options.nodeId}"`,
      );
    }
    await this.#continueLog(scan);
  }

  async #createLog(): Promise<void> {
    if (this.#options.existing) throw missingLog(this.#directory);
    this.#logId = this.#options.randomId();
    this.#segment = await this.#createSegment(1, 0);
  }

  /** Takes up the log where `scan` found its end, and first mends what a crash left unfinished. */
  async #continueLog(scan: DirectoryScan): Promise<void> {
    this.#logId = scan.logId;
    this.#snapshot = scan.snapshot;
    await this.#removeLeftovers(scan);
    for (const segment of scan.segments.slice(0, -1)) {
      this.#sealed.set(segment.firstIndex, segment.tail);
    }
    const before = scan.segments.at(-2);
    if (before) await this.#sealAgain(before);
    const last = scan.segments[scan.segments.length - 1];
    this.#segment = await this.#openSegment(last);
    await this.#settleTail(this.#segment, last);
  }

  /**
   * Removes what nothing needs any more, after what is needed instead is known to be durable. What
   * cannot be removed is left: it harms nothing.
   */
  async #removeLeftovers(scan: DirectoryScan): Promise<void> {
    const { report } = this.#options;
    const next = scan.snapshot === null ? "record 1" : `"${scan.snapshot.name}"`;
    for (const { message } of scan.passedOver) report(`${message}; went on from ${next} instead`);
    await this.#disk.syncDirectory(this.#directory);
    const failures = await this.#remove(scan.covered, scan.leftovers);
    for (const name of scan.covered) {
      if (!failures.has(name)) report(`removed "${name}", which ${next} stands for`);
    }
    for (const name of scan.leftovers) {
      if (failures.has(name)) continue;
      report(`removed "${name}", left over from an unfinished write or removal`);
    }
    for (const error of failures.values()) report(error.message);
    await this.#disk.syncDirectory(this.#directory);
  }

  /**
   * Removes files that a snapshot stands for, oldest first: what a crash leaves is the newest part
   * of the log, without a gap. A file may go in pieces, so before that it loses its name. Then
   * removes `leftovers`, which have none. Each is tried, whatever becomes of the others; returns
   * what went wrong, by name.
   */
  async #remove(
    covered: readonly string[],
    leftovers: readonly string[],
  ): Promise<Map<string, Error>> {
    const failures = new Map<string, Error>();
    const attempt = async (name: string, step: (path: string) => Promise<void>) => {
      if (failures.has(name)) return;
      try {
        await step(join(this.#directory, name));
      } catch (cause) {
        const message = `Cannot remove "${name}": ${errorMessage(cause)}`;
        failures.set(name, new Error(message, { cause }));
      }
    };
    for (const name of covered) {
      await attempt(name, (path) => this.#disk.rename(path, `${path}.tmp`));
    }
    await this.#disk.syncDirectory(this.#directory);
    for (const name of covered) await attempt(name, (path) => this.#disk.remove(`${path}.tmp`));
    const others = leftovers.filter((name) => !isTemporary(name, (rest) => covered.includes(rest)));
    for (const name of others) await attempt(name, (path) => this.#disk.remove(path));
    return failures;
  }

  /** Makes durable what was only read, as the seal before it was, and takes away a torn batch. */
  async #settleTail(segment: SegmentWriter, { name, ...scan }: SegmentScan): Promise<void> {
    if (scan.tornBytes > 0) {
      this.#options.report(
        `cut off ${scan.tornBytes} bytes at byte ${scan.tail} of "${name}": ` +
          `a last batch that was never finished, so never acknowledged`,
      );
    }
    await segment.settle(scan.lastFrame);
  }

  /** Writes the seal that a crash prevented, or the same one again: it may be in memory alone. */
  async #sealAgain(scan: SegmentScan): Promise<void> {
    const segment = await this.#openSegment(scan);
    try {
      await segment.seal();
    } finally {
      segment.close();
    }
  }

  append(body: Uint8Array, count: number): Promise<void> {
    return this.#attempt((segment) =>
      segment.isEmpty || segment.bytesWith(body.length) <= this.#segmentBytes
        ? segment.append(body, count)
        : this.#nextSegment(segment).then(() => this.#segment!.append(body, count))
    );
  }

  async cut(): Promise<number> {
    // A segment without frames begins where a cut would be.
    await this.#attempt((segment) =>
      segment.isEmpty ? Promise.resolve() : this.#nextSegment(segment)
    );
    return this.lastIndex;
  }

  /** Does what an attempt before this one was refused, then `step`, in the current segment. */
  async #attempt(step: (segment: SegmentWriter) => Promise<void>): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      if (this.#segment!.isSpoiled) await this.#segment!.wipe();
      if (this.#unsealed !== undefined) await this.#leaveSegment(this.#unsealed);
      await step(this.#segment!);
    } catch (error) {
      const refusal = asRefusal(error);
      if (refusal === null) this.#failure = error;
      throw refusal ?? error;
    }
  }

  async drop(snapshot: SnapshotInfo): Promise<void> {
    this.#snapshot = snapshot;
    const names = await this.#disk.list(this.#directory);
    const isSuperfluous = (name: string) => isCovered(name, snapshot.index);
    const failures = await this.#remove(
      names.filter(isSuperfluous),
      names.filter((name) => isTemporary(name, isSuperfluous)), // what an earlier call left
    );
    for (const firstIndex of this.#sealed.keys()) {
      if (firstIndex <= snapshot.index) this.#sealed.delete(firstIndex);
    }
    const [failure] = failures.values();
    if (failure !== undefined) throw failure;
  }

  #nextSegment(segment: SegmentWriter): Promise<void> {
    this.#unsealed = segment;
    return this.#leaveSegment(segment);
  }

  /**
   * The next segment is durable before the seal says that it is there. From the first step on there
   * is no way back: a batch that went to this segment would not be expected before the next one.
   */
  async #leaveSegment(segment: SegmentWriter): Promise<void> {
    if (this.#segment === segment) {
      this.#segment = await this.#createSegment(segment.nextIndex, segment.chain);
      this.#sealed.set(segment.firstIndex, segment.tail);
    }
    await segment.seal();
    this.#unsealed = undefined;
    segment.close();
  }

  #createSegment(firstIndex: number, chain: number): Promise<SegmentWriter> {
    const header = { firstIndex, chain, logId: this.#logId, nodeId: this.#options.nodeId };
    return SegmentWriter.create(this.#disk, this.#directory, header, this.#context);
  }

  #openSegment(scan: SegmentScan): Promise<SegmentWriter> {
    return SegmentWriter.open(this.#disk, this.#directory, scan, this.#context);
  }

  close(): void {
    this.#unsealed?.close();
    this.#segment?.close();
  }
}
