/**
 * Reads the file of a snapshot from its first byte to its last and proves on the way that nothing is
 * missing or changed: at a start, and before a new snapshot gets its name. It writes nothing.
 *
 * @module
 */
import { join } from "@std/path";
import { DamageError } from "../log/damage.ts";
import { type Disk, type DiskFile, readBytes } from "../disk/disk.ts";
import type { PartVisitor } from "../log/log.ts";
import {
  bodyMatches,
  copyBody,
  decodeFileHeader,
  decodeFrameHeader,
  frameBytes,
  FrameKind,
  indexOfName,
  Mark,
  SECTOR_BYTES,
} from "../log/log_format.ts";
import { decodeTotals, type SnapshotTotals } from "./snapshot_format.ts";

/** What a snapshot turned out to hold. */
export interface SnapshotScan {
  readonly name: string;
  readonly sizeBytes: number;
  /** Index of the last record that is in it. */
  readonly index: number;
  /** Checksum to which the segment after it is chained. */
  readonly chain: number;
  readonly logId: Uint8Array;
  readonly nodeId: string;
  readonly totals: SnapshotTotals;
}

/**
 * Reads all of the snapshot `name`.
 *
 * @throws {DamageError} Anything is not as it was written; nothing after it was visited.
 */
export async function scanSnapshot(
  disk: Disk,
  directory: string,
  name: string,
  visit: PartVisitor = () => {},
): Promise<SnapshotScan> {
  const path = join(directory, name);
  const file = await disk.open(path, "read");
  try {
    const sizeBytes = await file.size();
    const { header, checksum } = readHeader(file, path, indexOfName(name) + 1);
    const totals = scanFrames({ file, path, sizeBytes }, checksum, visit);
    const { chain, logId, nodeId } = header;
    return { name, sizeBytes, index: header.firstIndex - 1, chain, logId, nodeId, totals };
  } finally {
    file.close();
  }
}

function readHeader(file: DiskFile, path: string, expected: number) {
  const decoded = decodeFileHeader(Mark.snapshot, readBytes(file, 0, SECTOR_BYTES));
  if (typeof decoded === "string") throw new DamageError(path, 0, decoded);
  const { firstIndex } = decoded.header;
  if (firstIndex === expected) return decoded;
  throw new DamageError(path, 0, `first index is ${firstIndex}, expected ${expected} by its name`);
}

interface OpenSnapshot {
  readonly file: DiskFile;
  readonly path: string;
  readonly sizeBytes: number;
}

/** Reads the frames up to the seal, with which the file has to end. */
function scanFrames(
  { file, path, sizeBytes }: OpenSnapshot,
  headerChecksum: number,
  visit: PartVisitor,
): SnapshotTotals {
  let chain = headerChecksum;
  let nextItem = 1;
  let body = new Uint8Array(0);
  for (let offset = SECTOR_BYTES;;) {
    const { header, bytes } = readFrame(file, path, offset, sizeBytes);
    const { kind, bodyLength, firstIndex, count } = header;
    if (firstIndex !== nextItem || kind === FrameKind.batch) {
      const reason = `frame of kind ${kind} begins with item ${firstIndex}, expected ${nextItem}`;
      throw new DamageError(path, offset, reason);
    }
    if (!bodyMatches(bytes, 0, header, chain)) {
      throw new DamageError(path, offset, "checksum of the frame does not match");
    }
    if (body.length < bodyLength) body = new Uint8Array(bodyLength * 2);
    copyBody(bytes, 0, bodyLength, body);
    chain = header.bodyChecksum;
    nextItem += count;
    offset += bytes.length;
    const isSeal = kind === FrameKind.seal;
    if (isSeal && offset !== sizeBytes) {
      throw new DamageError(path, offset, `${sizeBytes - offset} bytes follow the seal`);
    }
    visit(kind, body.subarray(0, bodyLength));
    if (isSeal) return decodeTotals(body);
  }
}

function readFrame(file: DiskFile, path: string, offset: number, sizeBytes: number) {
  const sector = readBytes(file, offset, SECTOR_BYTES);
  if (sector.length < SECTOR_BYTES) {
    throw new DamageError(path, offset, `file ends after ${sizeBytes} bytes, before its seal`);
  }
  const header = decodeFrameHeader(sector, 0);
  if (header === null) throw new DamageError(path, offset, "frame header is damaged");
  const length = frameBytes(header.bodyLength);
  const bytes = length === SECTOR_BYTES ? sector : readBytes(file, offset, length);
  if (bytes.length < length) {
    const reason = `file ends after ${sizeBytes} bytes, in a frame of ${length} bytes`;
    throw new DamageError(path, offset, reason);
  }
  return { header, bytes };
}
