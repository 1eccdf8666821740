/**
 * Saves from a damaged data directory all that is provably intact, into a new one.
 *
 * Where it begins: with the newest snapshot that is whole; without one, with record 1; and if the
 * segments from there are gone too, with the parts of the newest snapshot that are intact. From
 * there on every batch that is proven intact is applied, in order, whatever is missing between
 * them. The state after them is written as a snapshot, with an empty segment behind it: so the
 * records keep their indexes, and a node starts on it with exactly that state.
 *
 * @module
 */
import { join } from "@std/path";
import { withFiller } from "../disk/bad_sectors.ts";
import {
  checkMarker,
  createMarker,
  makeDataDirectory,
  type Marker,
  MARKER_NAME,
  type ShardNumber,
} from "../log/data_directory.ts";
import { DamageError, UnreadableRecordError } from "../log/damage.ts";
import { createFile, type Disk, readBytes, readFile } from "../disk/disk.ts";
import { type BrokenStretch, fileHeaderOf, type IntactFrame, walkFrames } from "./frame_walk.ts";
import {
  encodeFileHeader,
  type FileHeader,
  FrameKind,
  indexOfName,
  isSegmentName,
  isSnapshotName,
  Mark,
  SECTOR_BYTES,
  segmentName,
} from "../log/log_format.ts";
import { belongsTo, type LogIdentity } from "../log/log_scan.ts";
import { Replay } from "../replay.ts";
import { scanSnapshot } from "../snapshot/snapshot_scan.ts";
import { writeSnapshot } from "../snapshot/snapshot_writer.ts";

export interface SalvageOptions {
  readonly disk: Disk;
  /** The damaged one, which is only read. What cannot be read of it counts as damaged. */
  readonly from: string;
  /** The new one, which is empty or does not exist yet. */
  readonly to: string;
  readonly randomBytes: (target: Uint8Array<ArrayBuffer>) => Uint8Array;
  /** Told what a person should know beside the result, in one line each. */
  readonly report: (line: string) => void;
}

/** Records that could not be saved. */
export interface LostRange {
  readonly first: number;
  /** Null if it is unknown how many there were, if any. */
  readonly last: number | null;
  readonly reason: string;
}

/** What was saved, and what was not. */
export interface SalvageReport {
  readonly nodeId: string;
  /** Which one of the cluster it is; null if that is lost: the next start adds it. */
  readonly shard: ShardNumber | null;
  /** The one that it begins with; null if it begins with record 1. */
  readonly snapshot: SalvagedSnapshot | null;
  /** Records applied, without those in the snapshot; and the index of the last one. */
  readonly records: number;
  readonly lastIndex: number;
  readonly lost: readonly LostRange[];
  /** What the new directory holds. */
  readonly keys: number;
  readonly sessions: number;
}

export interface SalvagedSnapshot {
  readonly name: string;
  readonly index: number;
  /** What is wrong with it; null if it is whole. */
  readonly damage: string | null;
}

/**
 * Saves what is intact.
 *
 * @throws {DamageError} Nothing is.
 * @throws {Error} The new directory cannot be written to.
 */
export async function salvage(options: SalvageOptions): Promise<SalvageReport> {
  const salvager = new Salvager(options);
  await salvager.read();
  const report = salvager.report();
  await writeDirectory(options, report, salvager.replay);
  return report;
}

async function writeDirectory(
  { disk, to, randomBytes, report }: SalvageOptions,
  { nodeId, shard, lastIndex }: SalvageReport,
  replay: Replay,
): Promise<void> {
  await makeDataDirectory(disk, to, report);
  // A node may have begun to use it while the damaged one was read.
  const [name] = await disk.list(to);
  if (name !== undefined) {
    throw new Error(`Cannot write to "${to}": "${name}" is in it, expected it to be empty`);
  }
  // Before there is a log: so no node starts with an empty one where only a part is written yet.
  await createMarker(disk, to, { nodeId, shard });
  // An id of its own: so no file of the damaged log can get into this one unnoticed.
  const logId = randomBytes(new Uint8Array(16));
  const header = { firstIndex: lastIndex + 1, chain: 0, logId, nodeId };
  if (lastIndex > 0) await writeSnapshot(disk, to, header, replay);
  const segment = new Uint8Array(2 * SECTOR_BYTES);
  segment.set(encodeFileHeader(Mark.segment, header).sector);
  await createFile(disk, to, segmentName(lastIndex + 1), segment);
}

/** What keeps the salvager from saying that the records end here. */
interface Fault {
  readonly reason: string;
  /** The last record that is lost with it; null if it is unknown which one that is. */
  readonly last: number | null;
  /** Whether, at the end of the log, it is a batch that was never finished. */
  readonly isTorn: boolean;
}

/** Reads a damaged directory, and keeps account of what is lost. */
class Salvager {
  readonly replay = new Replay({ hashKey: [0, 0] });
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #report: (line: string) => void;
  /** Whose log it is; null if no header is intact. */
  #identity: LogIdentity | null = null;
  #nodeId: string | null = null;
  #shard: ShardNumber | null = null;
  #snapshot: SalvagedSnapshot | null = null;
  #nextIndex = 1;
  readonly #lost: LostRange[] = [];
  /** What is wrong since the last intact frame. */
  #wrong: Fault | null = null;
  /** Why the log cannot end with that frame; null if it can. */
  #unfinished: string | null = "there is no segment";

  constructor({ disk, from, report }: SalvageOptions) {
    this.#disk = withFiller(disk);
    this.#directory = from;
    this.#report = report;
  }

  async read(): Promise<void> {
    const names = await this.#disk.list(this.#directory);
    const headers = await this.#readHeaders(names);
    this.#identify(await this.#readMarker(), [...headers.values()]);
    const segmentNames = names.filter(isSegmentName);
    const snapshotNames = names
      .filter((name) => isSnapshotName(name) && this.#isOwn(name, headers.get(name)))
      .reverse();
    if (!await this.#readWholeSnapshot(snapshotNames) && segmentNames[0] !== segmentName(1)) {
      await this.#readBrokenSnapshot(snapshotNames);
    }
    const index = this.#nextIndex - 1;
    for (const name of segmentNames) {
      if (indexOfName(name) > index) await this.#readSegment(name);
    }
    if (this.#unfinished !== null || this.#wrong?.isTorn === false) {
      this.#lose(this.#wrong?.last ?? null);
    }
  }

  report(): SalvageReport {
    const { shard, records } = this.replay;
    if (this.#nodeId === null) {
      throw new DamageError(this.#directory, 0, "nothing is intact, not even whose data it is");
    }
    return {
      nodeId: this.#nodeId,
      shard: this.#shard,
      snapshot: this.#snapshot,
      records,
      lastIndex: this.#nextIndex - 1,
      lost: this.#lost,
      keys: shard.store.size,
      sessions: shard.sessions.size,
    };
  }

  async #readMarker(): Promise<Marker | null> {
    try {
      return await checkMarker(this.#disk, this.#directory);
    } catch (error) {
      if (error instanceof DamageError) return null;
      throw error;
    }
  }

  /** The headers that are intact, by the names of the files. */
  async #readHeaders(names: readonly string[]): Promise<Map<string, FileHeader>> {
    const headers = new Map<string, FileHeader>();
    for (const name of names) {
      const mark = isSegmentName(name) ? Mark.segment : isSnapshotName(name) ? Mark.snapshot : null;
      if (mark === null) continue;
      const file = await this.#disk.open(join(this.#directory, name), "read");
      try {
        const header = fileHeaderOf(mark, readBytes(file, 0, SECTOR_BYTES));
        if (header !== null) headers.set(name, header);
      } finally {
        file.close();
      }
    }
    return headers;
  }

  /**
   * Finds out whose data it is: that of the log that most headers are of, as a file of another log
   * may have got in. The marker decides only between logs with as many files, or if no header is
   * intact; and the shard in it is that of the node that it names, and of no other.
   */
  #identify(marker: Marker | null, headers: readonly FileHeader[]): void {
    const named = marker?.nodeId ?? null;
    const weightOf = (log: LogIdentity) => {
      const files = headers.filter((header) => belongsTo(header, log)).length;
      return files + (log.nodeId === named ? 0.5 : 0);
    };
    this.#identity = headers.toSorted((a, b) => weightOf(b) - weightOf(a)).at(0) ?? null;
    this.#nodeId = this.#identity?.nodeId ?? named;
    if (named === this.#nodeId) this.#shard = marker?.shard ?? null;
    else if (named !== null) {
      this.#report(
        `the file ${MARKER_NAME} names node "${named}", but the log is of node ` +
          `"${this.#nodeId}": it is saved as the data of "${this.#nodeId}"`,
      );
    }
  }

  /** Whether a snapshot is of the log, as far as its header says. */
  #isOwn(name: string, header: FileHeader | undefined): boolean {
    if (header === undefined || belongsTo(header, this.#identity)) return true;
    this.#report(`"${name}" is of another log; it is left out`);
    return false;
  }

  /** Reads the newest snapshot that is whole, twice as a node does. False if there is none. */
  async #readWholeSnapshot(names: readonly string[]): Promise<boolean> {
    for (const name of names) {
      try {
        await scanSnapshot(this.#disk, this.#directory, name);
      } catch (error) {
        if (error instanceof DamageError) continue;
        throw error;
      }
      const { index } = await scanSnapshot(this.#disk, this.#directory, name, this.replay.part);
      this.#begin({ name, index, damage: null });
      return true;
    }
    return false;
  }

  /** Reads what is intact of the newest snapshot that has anything intact. */
  async #readBrokenSnapshot(names: readonly string[]): Promise<void> {
    for (const name of names) {
      const bytes = await readFile(this.#disk, join(this.#directory, name));
      let damage: string | null = null;
      let parts = 0;
      let isSealed = false;
      for (const frame of walkFrames(bytes)) {
        if (frame.header === null) {
          damage ??= `${frame.reason} at byte ${frame.offset}`;
          this.replay.skipParts();
        } else if (frame.header.kind !== FrameKind.batch) {
          this.replay.part(frame.header.kind, frame.body);
          parts++;
          isSealed = frame.header.kind === FrameKind.seal;
        }
      }
      if (parts === 0) continue;
      if (!isSealed) this.replay.skipParts();
      return this.#begin({ name, index: indexOfName(name), damage: damage ?? "header or end" });
    }
  }

  #begin(snapshot: SalvagedSnapshot): void {
    this.#snapshot = snapshot;
    this.#nextIndex = snapshot.index + 1;
  }

  async #readSegment(name: string): Promise<void> {
    const bytes = await readFile(this.#disk, join(this.#directory, name));
    const header = fileHeaderOf(Mark.segment, bytes);
    if (header === null) this.#fault(`header is damaged: ${name}`);
    else if (belongsTo(header, this.#identity)) this.#reach(header.firstIndex);
    else return this.#fault(`segment is of another log: ${name}`);
    for (const frame of walkFrames(bytes)) {
      if (frame.header === null) this.#note(name, frame);
      else if (frame.header.kind === FrameKind.batch) this.#apply(name, frame);
      else if (frame.header.kind === FrameKind.seal) this.#end(name, frame.header.firstIndex);
    }
  }

  #note(name: string, { offset, reason, claim, isTorn }: BrokenStretch): void {
    // After a seal there is another segment, with an unknown number of records.
    const isEnd = claim !== null && claim.kind !== FrameKind.seal;
    const last = isEnd ? claim.firstIndex + claim.count - 1 : null;
    this.#fault(`${reason}: ${name} at byte ${offset}`, last, isTorn);
  }

  /**
   * Of several faults the first reason counts, and the last record if all of them know one. Only a
   * fault with no other one before or after it is torn.
   */
  #fault(reason: string, last: number | null = null, isTorn = false): void {
    const before = this.#wrong;
    const isKnown = last !== null && before?.last !== null;
    this.#wrong = {
      reason: before?.reason ?? reason,
      last: isKnown ? Math.max(last, before?.last ?? 0) : null,
      isTorn: isTorn && before === null,
    };
  }

  #apply(name: string, { header: { firstIndex, count }, offset, body }: IntactFrame): void {
    this.#reach(firstIndex);
    if (firstIndex !== this.#nextIndex) return; // older than what was applied already
    try {
      this.replay.batch(body, firstIndex, count);
      this.#nextIndex = firstIndex + count;
    } catch (error) {
      if (!(error instanceof UnreadableRecordError)) throw error;
      this.#nextIndex = error.index;
      this.#fault(`${error.message}: ${name} at byte ${offset}`, firstIndex + count - 1);
    }
  }

  /** A seal: all records before `nextIndex` were there, and a segment after it. */
  #end(name: string, nextIndex: number): void {
    this.#reach(nextIndex);
    this.#unfinished = `no segment is intact after ${name}`;
  }

  /** Something is intact that comes right before `index`: what is missing up to there is lost. */
  #reach(index: number): void {
    if (index > this.#nextIndex) this.#lose(index - 1);
    if (index < this.#nextIndex) return;
    this.#wrong = null;
    this.#unfinished = null;
  }

  /** A frame out of its place may say of a record long before that it is the last. */
  #lose(last: number | null): void {
    const first = this.#nextIndex;
    const known = last !== null && last >= first ? last : null;
    const reason = this.#wrong?.reason ?? this.#unfinished ?? "segment is missing";
    this.#lost.push({ first, last: known, reason });
    this.#nextIndex = (known ?? first - 1) + 1;
  }
}
