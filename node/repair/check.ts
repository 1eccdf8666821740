/**
 * Looks at a node's data directory without changing it: what it holds, and the first damage.
 *
 * @module
 */
import { join } from "@std/path";
import { DamageError } from "../log/damage.ts";
import {
  checkMarker,
  isLocked,
  type Marker,
  MARKER_NAME,
  type ShardNumber,
} from "../log/data_directory.ts";
import type { Disk } from "../disk/disk.ts";
import {
  type DirectoryScan,
  missingLog,
  scanDirectory,
  type ScanVisitor,
} from "../log/directory_scan.ts";
import type { SegmentScan } from "../log/log_scan.ts";
import { Replay } from "../replay.ts";
import type { SnapshotScan } from "../snapshot/snapshot_scan.ts";

/** How often a directory is read that changes each time. */
const READINGS_MAX = 5;

/** What a data directory holds, up to the first damage that a node would not start with. */
export interface CheckReport {
  /** `null` if the directory was used by no node yet, or the damage comes before it is known. */
  readonly nodeId: string | null;
  /** Which one of the cluster it is; `null` if the marker does not say. */
  readonly shard: ShardNumber | null;
  /** Whether there is a log, and no marker: the next start writes it. */
  readonly lacksMarker: boolean;
  /** The one that the log begins with; `null` if it begins with record 1. */
  readonly snapshot: SnapshotScan | null;
  /** What is wrong with newer snapshots, instead of which a node would use `snapshot`. */
  readonly passedOver: readonly DamageError[];
  /** The segments that are whole, from the snapshot on. */
  readonly segments: readonly SegmentScan[];
  /** Records read from the segments. */
  readonly records: number;
  /** What the node would have after these records. */
  readonly keys: number;
  readonly sessions: number;
  /** Files that the next start removes. */
  readonly leftovers: readonly string[];
  readonly damage: DamageError | null;
}

/** A node has changed its directory during every reading: what it holds is not known. */
export class DirectoryChangedError extends Error {
  override name = "DirectoryChangedError";
}

/**
 * Reads all of `directory`. Damage is reported, not thrown.
 *
 * Beside a node, a file may change or go while it is read, and then look damaged: there, damage is
 * what two readings find alike.
 *
 * @throws {DirectoryChangedError} No two of several readings do.
 */
export async function checkDirectory(disk: Disk, directory: string): Promise<CheckReport> {
  let before = "";
  for (let reading = 1; reading <= READINGS_MAX; reading++) {
    const wasInUse = await isLocked(disk, directory);
    const report = await readReport(disk, directory);
    const damages = [...report.passedOver, report.damage].join("\n");
    if (damages === "" || damages === before) return report;
    if (!wasInUse && !await isLocked(disk, directory)) return report;
    before = damages;
  }
  throw new DirectoryChangedError(
    `Cannot read "${directory}": the node that uses it has changed its files meanwhile`,
  );
}

async function readReport(disk: Disk, directory: string): Promise<CheckReport> {
  const replay = new Replay({ hashKey: [0, 0] });
  const found = { snapshot: null as SnapshotScan | null, segments: [] as SegmentScan[] };
  const visitor: ScanVisitor = {
    part: replay.part,
    batch: replay.batch,
    snapshot: (snapshot) => found.snapshot = snapshot,
    segment: (segment) => found.segments.push(segment),
  };
  let marker: Marker | null = null;
  let scan: DirectoryScan | null = null;
  let damage: DamageError | null = null;
  try {
    marker = await checkMarker(disk, directory);
    scan = await scanDataOf(marker, disk, directory, visitor);
  } catch (error) {
    if (!(error instanceof DamageError)) throw error;
    damage = error;
  }
  const { records, shard: { store, sessions } } = replay;
  return {
    nodeId: scan?.nodeId ?? marker?.nodeId ?? null,
    shard: marker?.shard ?? null,
    lacksMarker: scan !== null && marker === null,
    ...found,
    passedOver: scan?.passedOver ?? [],
    records,
    keys: store.size,
    sessions: sessions.size,
    leftovers: scan === null ? [] : [...scan.leftovers, ...scan.covered],
    damage,
  };
}

/** Reads the data that the marker stands for; null if there is neither data nor a marker. */
async function scanDataOf(
  marker: Marker | null,
  disk: Disk,
  directory: string,
  visitor: ScanVisitor,
): Promise<DirectoryScan | null> {
  const scan = await scanDirectory(disk, directory, visitor);
  if (scan === null && marker !== null) throw missingLog(directory);
  const nodeId = marker?.nodeId ?? null;
  if (scan !== null && nodeId !== null && scan.nodeId !== nodeId) {
    const reason = `it names node "${nodeId}", but the log is of node "${scan.nodeId}"`;
    throw new DamageError(join(directory, MARKER_NAME), 0, reason);
  }
  return scan;
}
