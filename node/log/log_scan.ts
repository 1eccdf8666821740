/**
 * Reads the segments of a log from the first byte to the last and proves on the way that nothing is
 * missing or changed. It writes nothing.
 *
 * @module
 */
import { join } from "@std/path";
import { DamageError, UnreadableRecordError } from "./damage.ts";
import { type Disk, readFile } from "../disk/disk.ts";
import type { BatchVisitor } from "./log.ts";
import {
  bodyMatches,
  copyBody,
  decodeFileHeader,
  decodeFrameHeader,
  frameBytes,
  type FrameHeader,
  FrameKind,
  isTorn,
  Mark,
  nextForeignSector,
  SECTOR_BYTES,
  segmentName,
  writtenEnd,
} from "./log_format.ts";

/** What a segment turned out to hold. */
export interface SegmentScan {
  readonly name: string;
  readonly sizeBytes: number;
  readonly firstIndex: number;
  readonly frames: number;
  readonly records: number;
  /** Where the next frame belongs. */
  readonly tail: number;
  /** The frame of the last batch as it was read; empty if there is none, or the seal follows it. */
  readonly lastFrame: Uint8Array<ArrayBuffer>;
  /** Checksum that the next frame continues. */
  readonly chain: number;
  readonly sealed: boolean;
  /** Bytes from `tail` on of a last batch that was never finished, and so never acknowledged. */
  readonly tornBytes: number;
}

/** Whose log it is; the same in all its files. */
export interface LogIdentity {
  readonly logId: Uint8Array;
  readonly nodeId: string;
}

/** What the segments of a log turned out to hold. */
export interface LogScan extends LogIdentity {
  /** At least one. */
  readonly segments: readonly SegmentScan[];
  readonly lastIndex: number;
}

/** What must come next: carried from frame to frame and from segment to segment. */
export interface Position {
  nextIndex: number;
  chain: number;
  /** Null until a file was read. */
  identity: LogIdentity | null;
}

export interface SegmentScanOptions {
  /** Where the first segment has to go on. */
  readonly start: Position;
  /** Stops after the sealed segment that ends with this record. Default: reads all. */
  readonly lastIndex?: number;
  readonly visitor: {
    readonly batch: BatchVisitor;
    /** Called after each segment, when all of it was read. */
    readonly segment?: (segment: SegmentScan) => void;
  };
}

/**
 * Reads the segments with these names, of which there is at least one.
 *
 * @throws {DamageError} Anything is not as it was written, or the visitor cannot read it; nothing
 * after it was visited.
 */
export async function scanSegments(
  disk: Disk,
  directory: string,
  names: readonly string[],
  { start, lastIndex, visitor }: SegmentScanOptions,
): Promise<LogScan> {
  const position = { ...start };
  const segments: SegmentScan[] = [];
  for (const name of names) {
    const path = join(directory, name);
    // In one piece, up to 64 MiB for a moment: the scan then is plain loops over one array. Reading
    // it in windows would save that memory and cost a second kind of "not there yet".
    const bytes = await readFile(disk, path);
    checkFollows(directory, segments.at(-1), position, name);
    openSegment(path, bytes, position);
    const segment = scanFrames(directory, name, bytes, position, visitor.batch);
    checkSeal(directory, segments.at(-1), segment);
    segments.push(segment);
    visitor.segment?.(segment);
  }
  const last = segments[segments.length - 1];
  if (lastIndex === undefined) checkEnd(directory, position, last);
  else if (!last.sealed || position.nextIndex !== lastIndex + 1) {
    throw new RangeError(`Segment "${last.name}" is not one that ends with record ${lastIndex}`);
  }
  const { logId, nodeId } = position.identity!;
  return { segments, lastIndex: position.nextIndex - 1, logId, nodeId };
}

/** A segment that is sealed has a next one. */
function checkEnd(directory: string, position: Position, last: SegmentScan): void {
  if (!last.sealed) return;
  const missing = segmentName(position.nextIndex);
  throw new DamageError(
    join(directory, missing),
    0,
    `segment is missing: the seal of "${last.name}" says that it was there`,
  );
}

/** The name must be the one that the segment before leads to. */
function checkFollows(
  directory: string,
  before: SegmentScan | undefined,
  position: Position,
  name: string,
): void {
  const expected = segmentName(position.nextIndex);
  if (name === expected) return;
  const path = join(directory, expected);
  const reason = `segment is missing after "${before?.name}": the next one there is "${name}"`;
  throw new DamageError(path, 0, reason);
}

/**
 * A segment that has a next one is sealed. The one exception: the next was created, and the crash
 * came before the seal; then the next has no frame yet.
 */
function checkSeal(
  directory: string,
  before: SegmentScan | undefined,
  segment: SegmentScan,
): void {
  if (!before || before.sealed) return;
  if (before.tornBytes === 0 && segment.frames === 0 && segment.tornBytes === 0) return;
  const path = join(directory, before.name);
  throw new DamageError(
    path,
    before.tail,
    `records or the seal are missing before "${segment.name}"`,
  );
}

/** Reads the header, which has to say that the segment comes next. */
function openSegment(path: string, bytes: Uint8Array, position: Position): void {
  const decoded = decodeFileHeader(Mark.segment, bytes.subarray(0, SECTOR_BYTES));
  if (typeof decoded === "string") throw new DamageError(path, 0, decoded);
  const { header, checksum } = decoded;
  if (header.firstIndex !== position.nextIndex) {
    throw new DamageError(
      path,
      0,
      `first index is ${header.firstIndex}, expected ${position.nextIndex}`,
    );
  }
  if (header.chain !== position.chain || !belongsTo(header, position.identity)) {
    throw new DamageError(path, 0, "segment does not continue what comes before it");
  }
  position.chain = checksum;
  position.identity ??= header;
}

/** Whether a file with this header is of that log; null stands for any. */
export function belongsTo(header: LogIdentity, identity: LogIdentity | null): boolean {
  if (identity === null) return true;
  return header.nodeId === identity.nodeId &&
    header.logId.every((byte, i) => byte === identity.logId[i]);
}

/** Reads the frames of one segment up to its seal, its zeros or its torn last frame. */
function scanFrames(
  directory: string,
  name: string,
  bytes: Uint8Array,
  position: Position,
  visit: BatchVisitor,
): SegmentScan {
  const path = join(directory, name);
  const firstIndex = position.nextIndex;
  let body = new Uint8Array(0);
  let frames = 0;
  let last = SECTOR_BYTES;
  for (let tail = SECTOR_BYTES;;) {
    const frame = readFrame(path, bytes, tail, position);
    if ("sealed" in frame) {
      const records = position.nextIndex - firstIndex;
      const { chain } = position;
      const sizeBytes = bytes.length;
      const lastFrame = bytes.slice(frame.sealed ? tail : last, tail);
      return { name, sizeBytes, firstIndex, frames, records, tail, lastFrame, chain, ...frame };
    }
    const { bodyLength, count } = frame;
    if (body.length < bodyLength) body = new Uint8Array(bodyLength * 2);
    copyBody(bytes, tail, bodyLength, body);
    try {
      visit(body.subarray(0, bodyLength), frame.firstIndex, count);
    } catch (error) {
      if (!(error instanceof UnreadableRecordError)) throw error;
      throw new DamageError(path, tail, error.message);
    }
    position.nextIndex += count;
    position.chain = frame.bodyChecksum;
    frames++;
    last = tail;
    tail += frameBytes(bodyLength);
  }
}

/** How the batches of a segment end. */
type SegmentEnd = Pick<SegmentScan, "sealed" | "tornBytes">;

/** The header of the batch at `offset`, which is intact; or how the batches end there. */
function readFrame(
  path: string,
  bytes: Uint8Array,
  offset: number,
  position: Position,
): FrameHeader | SegmentEnd {
  refuseCut(path, bytes, offset);
  const header = decodeFrameHeader(bytes, offset);
  if (header === null) return { sealed: false, tornBytes: unwrittenFrame(path, bytes, offset) };
  const end = offset + frameBytes(header.bodyLength);
  checkHeader(path, bytes, offset, header, position);
  if (!bodyMatches(bytes, offset, header, position.chain)) {
    return { sealed: false, tornBytes: tornFrame(path, bytes, offset, end) };
  }
  if (header.kind === FrameKind.seal) return { sealed: true, tornBytes: 0 };
  if (header.kind === FrameKind.batch) return header;
  throw new DamageError(path, offset, `kind of the frame is ${header.kind}, expected 1 or 2`);
}

function checkHeader(
  path: string,
  bytes: Uint8Array,
  offset: number,
  header: FrameHeader,
  position: Position,
): void {
  if (header.firstIndex !== position.nextIndex) {
    const reason = `first index is ${header.firstIndex}, expected ${position.nextIndex}`;
    throw new DamageError(path, offset, reason);
  }
  const length = frameBytes(header.bodyLength);
  if (offset + length > bytes.length) {
    const reason = `file ends after ${bytes.length} bytes, in a frame of ${length} bytes`;
    throw new DamageError(path, offset, reason);
  }
}

/**
 * Tells what stands where there is no frame header: the end of the log if all is zero from here
 * on, a torn frame if only its header is. Returns the bytes of the torn frame.
 */
function unwrittenFrame(path: string, bytes: Uint8Array, offset: number): number {
  if (!isTorn(bytes, offset, offset + SECTOR_BYTES)) {
    throw new DamageError(path, offset, "frame header is damaged");
  }
  const written = writtenEnd(bytes, offset);
  if (written === offset) return 0;
  refuseForeign(path, bytes, offset, "frame header is gone");
  const end = Math.ceil(written / SECTOR_BYTES) * SECTOR_BYTES;
  refuseCut(path, bytes, end);
  return end - offset;
}

/**
 * Tells what a frame is whose body fails its checksum: torn if a sector was never written, else
 * damaged. Returns the bytes of the torn frame.
 */
function tornFrame(path: string, bytes: Uint8Array, offset: number, end: number): number {
  if (!isTorn(bytes, offset, end)) {
    throw new DamageError(path, offset, "checksum of the records does not match");
  }
  refuseForeign(path, bytes, offset, "part of the records is gone");
  if (writtenEnd(bytes, end) !== end) {
    throw new DamageError(path, end, "bytes follow the last frame that are not a frame");
  }
  refuseCut(path, bytes, end);
  return end - offset;
}

/** Where the frames end, at `end`, there is a sector of zeros at least: else the file was cut off. */
function refuseCut(path: string, bytes: Uint8Array, end: number): void {
  if (end + SECTOR_BYTES <= bytes.length) return;
  const reason = `file ends after ${bytes.length} bytes, before the zeros that end the records`;
  throw new DamageError(path, bytes.length, reason);
}

/**
 * A frame is only written when the one before is durable: one that follows proves damage, and so
 * does what cannot be a part of the frame at `offset`.
 */
function refuseForeign(path: string, bytes: Uint8Array, offset: number, reason: string): void {
  const sector = nextForeignSector(bytes, offset + SECTOR_BYTES, bytes.length);
  if (sector >= bytes.length) return;
  const isFrame = decodeFrameHeader(bytes, sector) !== null;
  const what = isFrame ? "a valid frame follows" : "other bytes follow";
  throw new DamageError(path, offset, `${reason}: ${what} at byte ${sector}`);
}
