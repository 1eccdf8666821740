/**
 * Mends what a crash left unfinished of a log, and makes durable what its scan found.
 *
 * @module
 */
import type { DirectoryScan } from "./directory_scan.ts";
import { removeFiles } from "./file_removal.ts";
import type { SegmentScan } from "./log_scan.ts";
import { type SegmentContext, SegmentWriter } from "./segment_writer.ts";

/** Told what was mended, in one line each. */
type Report = (line: string) => void;

/** Opens the segment in which the log goes on, once all is mended. */
export async function recoverLog(
  context: SegmentContext,
  scan: DirectoryScan,
  report: Report,
): Promise<SegmentWriter> {
  await removeLeftovers(context, scan, report);
  const before = scan.segments.at(-2);
  if (before) await sealAgain(context, before);
  return await openLast(context, scan.segments[scan.segments.length - 1], report);
}

/**
 * Removes what nothing needs any more, after what is needed instead is known to be durable. What
 * cannot be removed is left: it harms nothing.
 */
async function removeLeftovers(
  { disk, directory }: SegmentContext,
  { snapshot, passedOver, covered, leftovers }: DirectoryScan,
  report: Report,
): Promise<void> {
  const next = snapshot === null ? "record 1" : `"${snapshot.name}"`;
  for (const { message } of passedOver) report(`${message}; went on from ${next} instead`);
  await disk.syncDirectory(directory);
  const failures = await removeFiles(disk, directory, covered, leftovers);
  for (const name of covered) {
    if (!failures.has(name)) report(`removed "${name}", which ${next} stands for`);
  }
  for (const name of leftovers) {
    if (failures.has(name)) continue;
    report(`removed "${name}", left over from an unfinished write or removal`);
  }
  for (const error of failures.values()) report(error.message);
  await disk.syncDirectory(directory);
}

/** Writes the seal that a crash prevented, or the same one again: it may be in memory alone. */
async function sealAgain(context: SegmentContext, scan: SegmentScan): Promise<void> {
  const segment = await SegmentWriter.open(context, scan);
  try {
    await segment.seal();
  } finally {
    segment.close();
  }
}

/** Makes durable what was only read, as the seal before it was, and takes away a torn batch. */
async function openLast(
  context: SegmentContext,
  scan: SegmentScan,
  report: Report,
): Promise<SegmentWriter> {
  const { name, tail, tornBytes, lastFrame } = scan;
  const segment = await SegmentWriter.open(context, scan);
  try {
    if (tornBytes > 0) {
      report(
        `cut off ${tornBytes} bytes at byte ${tail} of "${name}": ` +
          `a last batch that was never finished, so never acknowledged`,
      );
    }
    await segment.rewriteTail(lastFrame);
    return segment;
  } catch (error) {
    segment.close();
    throw error;
  }
}
