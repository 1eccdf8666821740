/**
 * Looks at a node's data directory without changing it: what it holds, and the first damage.
 *
 * @module
 */
import { forEachCommand } from "./batch.ts";
import { DamageError } from "./damage.ts";
import { checkMarker } from "./data_directory.ts";
import type { Disk } from "./disk.ts";
import { type LogScan, missingLog, scanLog, type SegmentScan } from "./log_scan.ts";
import { Shard } from "./shard.ts";

/** What a data directory holds, up to the first damage. */
export interface CheckReport {
  /** `null` if the directory was used by no node yet, or the damage comes before it is known. */
  readonly nodeId: string | null;
  /** The segments that are whole. */
  readonly segments: readonly SegmentScan[];
  /** Records read, from index 1. */
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
  const shard = new Shard({ hashKey: [0, 0] });
  const segments: SegmentScan[] = [];
  let records = 0;
  const report = (scan: LogScan | null, nodeId: string | null, damage: DamageError | null) => ({
    nodeId: scan?.nodeId ?? nodeId,
    segments,
    records,
    keys: shard.store.size,
    sessions: shard.sessions.size,
    leftovers: scan?.leftovers ?? [],
    damage,
  });
  let nodeId: string | null = null;
  try {
    nodeId = await checkMarker(disk, directory);
    const scan = await scanLog(disk, directory, {
      batch(body, firstIndex) {
        records += forEachCommand(
          body,
          firstIndex,
          (command, index) => shard.apply(command, index),
        );
      },
      segment: (segment) => segments.push(segment),
    });
    if (scan === null && nodeId !== null) throw missingLog(directory);
    if (scan !== null && nodeId !== null && scan.nodeId !== nodeId) {
      throw new DamageError(directory, 0, `log is of node "${scan.nodeId}", marker of "${nodeId}"`);
    }
    return report(scan, nodeId, null);
  } catch (error) {
    if (!(error instanceof DamageError)) throw error;
    return report(null, nodeId, error);
  }
}
