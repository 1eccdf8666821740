/**
 * Reads a node's data: the newest snapshot that is intact, then the log from its index on. Starting
 * a node, taking a snapshot and `main.ts check` all do it with this; it writes nothing.
 *
 * A snapshot that is damaged is passed over, if an older one, or record 1, is there with all the
 * segments that follow it. What is found then is the same state, by a longer way.
 *
 * @module
 */
import { join } from "@std/path";
import { DamageError } from "./damage.ts";
import type { Disk } from "../disk/disk.ts";
import type { LogVisitor } from "./log.ts";
import { indexOfName, isSegmentName, isSnapshotName, segmentName } from "./log_format.ts";
import { type LogScan, scanSegments, type SegmentScan } from "./log_scan.ts";
import { scanSnapshot, type SnapshotScan } from "../snapshot/snapshot_scan.ts";

/** What the data of a node turned out to be. */
export interface DirectoryScan extends LogScan {
  /** The one that the log begins with; null if it begins with record 1. */
  readonly snapshot: SnapshotScan | null;
  /** What is wrong with newer snapshots that could not be used, newest first. */
  readonly passedOver: readonly DamageError[];
  /** Names of files that an unfinished write left behind. */
  readonly leftovers: readonly string[];
  /** Names of older files that the snapshot stands for, oldest first. */
  readonly covered: readonly string[];
}

/** Is called with what a scan finds, in order. */
export interface ScanVisitor extends LogVisitor {
  /** Called when all of the snapshot was read. */
  readonly snapshot?: (snapshot: SnapshotScan) => void;
  /** Called after each segment, when all of it was read. */
  readonly segment?: (segment: SegmentScan) => void;
}

export interface ScanOptions {
  /** Reads only up to this record, which has to be the last one of a sealed segment. */
  readonly lastIndex?: number;
}

/**
 * Reads all of a node's data in `directory`; null if there is none.
 *
 * @throws {DamageError} Anything needed is not as it was written; nothing after it was visited.
 */
export async function scanDirectory(
  disk: Disk,
  directory: string,
  visitor: ScanVisitor,
  options: ScanOptions = {},
): Promise<DirectoryScan | null> {
  const names = await disk.list(directory);
  const lastIndex = options.lastIndex ?? Infinity;
  const { snapshot, passedOver } = await chooseSnapshot(disk, directory, names, lastIndex);
  const index = snapshot?.index ?? 0;
  const segmentNames = names.filter((name) =>
    isSegmentName(name) && indexOfName(name) > index && indexOfName(name) <= lastIndex
  );
  if (segmentNames[0] !== segmentName(index + 1)) {
    if (passedOver.length > 0) throw passedOver[0];
    if (snapshot === null && segmentNames.length === 0) return null;
    throw missingFirst(directory, snapshot, segmentNames[0]);
  }
  if (snapshot !== null) {
    await scanSnapshot(disk, directory, snapshot.name, visitor.part);
    visitor.snapshot?.(snapshot);
  }
  const log = await scanSegments(disk, directory, segmentNames, {
    start: { nextIndex: index + 1, chain: snapshot?.chain ?? 0, identity: snapshot },
    lastIndex: options.lastIndex,
    visitor,
  }).catch((error) => {
    // With the newer snapshot, the segments that it stands for would not have been needed.
    throw error instanceof DamageError ? passedOver[0] ?? error : error;
  });
  return {
    ...log,
    snapshot,
    passedOver,
    leftovers: names.filter(isLeftover),
    covered: names.filter((name) => isCovered(name, index)),
  };
}

/** Whether a file is one of a log, by its name: a segment, a snapshot, or one that is half made. */
export function isLogFileName(name: string): boolean {
  return isSegmentName(name) || isSnapshotName(name) || isLeftover(name);
}

/** Whether a file is one that an unfinished write or removal left; other files are not ours. */
function isLeftover(name: string): boolean {
  return isTemporary(name, (rest) => isSegmentName(rest) || isSnapshotName(rest));
}

/** Whether a name is the temporary one of a file whose own name passes `is`. */
export function isTemporary(name: string, is: (name: string) => boolean): boolean {
  return name.endsWith(".tmp") && is(name.slice(0, -".tmp".length));
}

/** Whether a file is one that the snapshot of the records up to `index` makes superfluous. */
export function isCovered(name: string, index: number): boolean {
  if (isSegmentName(name)) return indexOfName(name) <= index;
  return isSnapshotName(name) && indexOfName(name) < index;
}

/**
 * The newest snapshot that is intact, and the damage in newer ones. All of it is read here, to
 * prove that, and then once more for the visitor: what it had loaded of a snapshot that turns out
 * to be damaged could not be taken back. The second reading mostly finds the file in memory.
 */
async function chooseSnapshot(
  disk: Disk,
  directory: string,
  names: readonly string[],
  lastIndex: number,
): Promise<{ snapshot: SnapshotScan | null; passedOver: DamageError[] }> {
  const passedOver: DamageError[] = [];
  const candidates = names.filter((name) => isSnapshotName(name) && indexOfName(name) <= lastIndex);
  for (const name of candidates.reverse()) {
    try {
      return { snapshot: await scanSnapshot(disk, directory, name), passedOver };
    } catch (error) {
      if (!(error instanceof DamageError)) throw error;
      passedOver.push(error);
    }
  }
  return { snapshot: null, passedOver };
}

function missingFirst(
  directory: string,
  snapshot: SnapshotScan | null,
  found: string | undefined,
): DamageError {
  const next = found === undefined ? "there is none" : `the next one there is "${found}"`;
  const reason = snapshot === null
    ? `segment is missing at the start of the log, without a snapshot that stands for it: ${next}`
    : `segment is missing after "${snapshot.name}": ${next}`;
  return new DamageError(join(directory, segmentName((snapshot?.index ?? 0) + 1)), 0, reason);
}

/** What is wrong with a directory that has held a log, and has none now. */
export function missingLog(directory: string): DamageError {
  const path = join(directory, segmentName(1));
  return new DamageError(path, 0, "segment is missing: the directory has held a log before");
}
