/**
 * Looks at a node's data directory without changing it: what it holds, and the first damage.
 *
 * @module
 */
import { DamageError } from "./damage.ts";
import { checkMarker } from "./data_directory.ts";
import type { Disk } from "./disk.ts";
import {
  type DirectoryScan,
  missingLog,
  scanDirectory,
  type ScanVisitor,
} from "./directory_scan.ts";
import type { SegmentScan } from "./log_scan.ts";
import { Replay } from "./replay.ts";
import type { SnapshotScan } from "./snapshot_scan.ts";

/** What a data directory holds, up to the first damage that a node would not start with. */
export interface CheckReport {
  /** `null` if the directory was used by no node yet, or the damage comes before it is known. */
  readonly nodeId: string | null;
  /** With which the log begins; `null` if it begins with record 1. */
  readonly snapshot: SnapshotScan | null;
  /** What is wrong with newer snapshots, in place of which a node would use `snapshot`. */
  readonly passedOver: readonly DamageError[];
  /** The segments that are whole, from the snapshot on. */
  readonly segments: readonly SegmentScan[];
  /** Records read from the segments. */
  readonly records: number;
  /** As the node would have them after these records. */
  readonly keys: number;
  readonly sessions: number;
  /** Files that the next start removes. */
  readonly leftovers: readonly string[];
  readonly damage: DamageError | null;
}

/** Reads all of `directory`. Damage is reported, not thrown. */
export async function checkDirectory(disk: Disk, directory: string): Promise<CheckReport> {
  const replay = new Replay({ hashKey: [0, 0] });
  const found = { snapshot: null as SnapshotScan | null, segments: [] as SegmentScan[] };
  const visitor: ScanVisitor = {
    part: replay.part,
    batch: replay.batch,
    snapshot: (snapshot) => found.snapshot = snapshot,
    segment: (segment) => found.segments.push(segment),
  };
  let nodeId: string | null = null;
  let scan: DirectoryScan | null = null;
  let damage: DamageError | null = null;
  try {
    nodeId = await checkMarker(disk, directory);
    scan = await scanDataOf(nodeId, disk, directory, visitor);
  } catch (error) {
    if (!(error instanceof DamageError)) throw error;
    damage = error;
  }
  const { records, shard: { store, sessions } } = replay;
  return {
    nodeId: scan?.nodeId ?? nodeId,
    ...found,
    passedOver: scan?.passedOver ?? [],
    records,
    keys: store.size,
    sessions: sessions.size,
    leftovers: scan === null ? [] : [...scan.leftovers, ...scan.covered],
    damage,
  };
}

/** Reads the data of the node that the marker names; null if there is neither data nor a name. */
async function scanDataOf(
  nodeId: string | null,
  disk: Disk,
  directory: string,
  visitor: ScanVisitor,
): Promise<DirectoryScan | null> {
  const scan = await scanDirectory(disk, directory, visitor);
  if (scan === null && nodeId !== null) throw missingLog(directory);
  if (scan !== null && nodeId !== null && scan.nodeId !== nodeId) {
    throw new DamageError(directory, 0, `log is of node "${scan.nodeId}", marker of "${nodeId}"`);
  }
  return scan;
}
