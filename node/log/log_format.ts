/**
 * The format of the log on disk; snapshots are made of the same sectors and frames, see
 * `snapshot_format.ts`.
 *
 * A log is a sequence of segment files, named after the index of their first record. A segment is a
 * sequence of sectors of 512 bytes, the unit that a disk writes whole or not at all. Sector 0 is
 * the segment's header; frames follow, each from the start of a sector; zeros follow them, written
 * ahead.
 *
 *     ┌────────┬──────────────┬───────┬────────────────────────┬──────────────┄
 *     │ header │ frame        │ frame │ frame                  │ zeros
 *     │ F8 …   │ 9D …  │ 67 … │ 9D …  │ 9D …  │ 67 …  │ 67 …   │ 00 …
 *     └────────┴──────────────┴───────┴────────────────────────┴──────────────┄
 *
 * The first byte of a sector is its mark: what it is, and never zero. So a sector that was written
 * is never all zeros, whatever the values are; and no value can look like the start of a frame.
 *
 * Header of a segment, or of a snapshot, padded with zeros to its sector (numbers are
 * little-endian):
 *
 * | offset | size | field |
 * | --- | --- | --- |
 * | 0 | 1 | mark F8; of a snapshot B3 |
 * | 1 | 1 | version, 1 |
 * | 2 | 2 | 0; reserved |
 * | 4 | 8 | "sixpaths" |
 * | 12 | 8 | index of the first record; of a snapshot, of the first one that is not in it |
 * | 20 | 4 | chain: checksum of the last batch before that record, 0 if it is the first of all |
 * | 24 | 16 | log id, random, the same in all segments of a log |
 * | 40 | 1 + 63 | node id: length, then text |
 * | 508 | 4 | CRC-32 of bytes 0 to 508 |
 *
 * Frame:
 *
 * | offset | size | field |
 * | --- | --- | --- |
 * | 0 | 1 | mark 9D |
 * | 1 | 1 | kind: 1 batch, 2 seal; in snapshots also 3 entries, 4 sessions |
 * | 2 | 2 | flags, 0; reserved |
 * | 4 | 4 | body length in bytes, without marks and padding |
 * | 8 | 8 | index of the first record; of a seal, of the record that would be next |
 * | 16 | 4 | number of records; 0 in a seal |
 * | 20 | 4 | body checksum: CRC-32 of byte 28 to the end of the last sector, begun with the chain |
 * | 24 | 4 | CRC-32 of bytes 0 to 24 |
 * | 28 | … | body; every further sector begins with the mark 67; zeros to the end of the sector |
 *
 * The chain is the body checksum of the frame before; for the first frame of a segment, the
 * checksum of the segment's header, which has the chain of the segment before. So a frame that
 * stands anywhere else than where it was written does not fit. A batch of one record of the three
 * bytes "abc" at index 1, first in a segment whose header checksum is 0, begins with
 *
 *     9d 01 00 00  03 00 00 00  01 00 00 00 00 00 00 00  01 00 00 00
 *     17 1a 38 28  21 ec 70 03  61 62 63 00 …
 *
 * How a log may end, and what is damage:
 *
 * - A frame is written only when the one before it is durable, and only over zeros that are
 *   durable. Therefore just the last frame can be unfinished, and the file never ends before the
 *   zeros that follow the last frame.
 * - What a start reads may be in memory alone, after a failed sync: so it first writes again the
 *   last frame and all zeros after it.
 * - The last frame is *torn* if a whole sector of it is still zero, and nothing follows its header
 *   but zeros and the rest of its body, by their mark. It is taken for one that was never
 *   acknowledged; zeros are written over it.
 * - So is what a full disk took of a frame: zeros are written over it and made durable before
 *   another frame is. A system that cuts a write short cuts it between sectors (Linux does it at
 *   pages).
 * - Zeros from where a frame would begin to the end of the file are the end of the log.
 * - A segment's last frame is the seal, written when the next segment is durable. A segment that is
 *   sealed and has no next, or has a next with frames and is not sealed, has lost something.
 * - A log need not begin with record 1: a snapshot may stand for the segments before. Then the
 *   first segment follows the snapshot as it would follow the segment before: same chain, same ids.
 * - All else is *damage*: a checksum, mark, index or chain that does not fit, zeros in the middle,
 *   a file that is too short, a missing segment. So is a last frame that is all there and fails its
 *   checksum: it was acknowledged.
 * - One damage cannot be told from such an end: that a disk turned into zeros what it had, either
 *   any stretch that reaches from the start of a frame to the end of the last one, or whole sectors
 *   of the last one.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import { getUint53, setUint53 } from "../../lib/byte_writer.ts";

/** The unit that a disk writes whole or not at all, in bytes. */
export const SECTOR_BYTES = 512;
/** Bytes of a frame before its body. */
export const FRAME_HEADER_BYTES = 28;
/** Where the body checksum stands in a frame. */
export const FRAME_CHECKSUM_OFFSET = 20;
const FIRST_SECTOR_BODY_BYTES = SECTOR_BYTES - FRAME_HEADER_BYTES;
const NEXT_SECTOR_BODY_BYTES = SECTOR_BYTES - 1;
/** Where the checksum stands in the header of a file. */
export const HEADER_CHECKSUM_OFFSET = SECTOR_BYTES - 4;
const VERSION = 1;
const MAGIC = new TextEncoder().encode("sixpaths");
const LOG_ID_BYTES = 16;
const NODE_ID_BYTES_MAX = 63;

/** First byte of each sector that was written. Each pair differs in at least four bits. */
export const Mark = { segment: 0xf8, snapshot: 0xb3, frame: 0x9d, body: 0x67 } as const;
/** What a file is, by the mark of its header. */
export type FileMark = typeof Mark.segment | typeof Mark.snapshot;

/** What a frame is. */
export const FrameKind = { batch: 1, seal: 2, entries: 3, sessions: 4 } as const;
export type FrameKind = typeof FrameKind[keyof typeof FrameKind];

/** What the first sector of a segment or a snapshot says. */
export interface FileHeader {
  /** Index of the first record in a segment, or of the first one after a snapshot. */
  readonly firstIndex: number;
  /** Checksum of the last batch before that record; 0 if there is none. */
  readonly chain: number;
  /** 16 bytes. */
  readonly logId: Uint8Array;
  readonly nodeId: string;
}

/** What a frame is written with, beside its body. */
export interface FrameFields {
  readonly kind: FrameKind;
  readonly firstIndex: number;
  readonly count: number;
  /** Checksum that it continues: of the frame before, or of the segment's header. */
  readonly chain: number;
}

/** What the first 28 bytes of a frame say. */
export interface FrameHeader {
  readonly kind: FrameKind;
  readonly bodyLength: number;
  readonly firstIndex: number;
  readonly count: number;
  readonly bodyChecksum: number;
}

/** The file name of the segment that begins with the record `firstIndex`. */
export function segmentName(firstIndex: number): string {
  return `${String(firstIndex).padStart(16, "0")}.log`;
}

/** Whether a file name is that of a segment. */
export function isSegmentName(name: string): boolean {
  return /^\d{16}\.log$/.test(name);
}

/** The file name of the snapshot of all records up to `lastIndex`. */
export function snapshotName(lastIndex: number): string {
  return `${String(lastIndex).padStart(16, "0")}.snapshot`;
}

/** Whether a file name is that of a snapshot. */
export function isSnapshotName(name: string): boolean {
  return /^\d{16}\.snapshot$/.test(name);
}

/** The index in the name of a segment or a snapshot. */
export function indexOfName(name: string): number {
  return Number(name.slice(0, 16));
}

/** The header of a file as its sector, and the checksum that its first frame continues. */
export function encodeFileHeader(
  mark: FileMark,
  header: FileHeader,
): { sector: Uint8Array<ArrayBuffer>; checksum: number } {
  const sector = new Uint8Array(SECTOR_BYTES);
  const view = new DataView(sector.buffer);
  const nodeId = new TextEncoder().encode(header.nodeId);
  if (nodeId.length > NODE_ID_BYTES_MAX) {
    throw new RangeError(
      `Node id has ${nodeId.length} bytes, expected at most ${NODE_ID_BYTES_MAX}`,
    );
  }
  sector[0] = mark;
  sector[1] = VERSION;
  sector.set(MAGIC, 4);
  setUint53(view, 12, header.firstIndex);
  view.setUint32(20, header.chain, true);
  sector.set(header.logId, 24);
  sector[40] = nodeId.length;
  sector.set(nodeId, 41);
  const checksum = crc32(sector.subarray(0, HEADER_CHECKSUM_OFFSET));
  view.setUint32(HEADER_CHECKSUM_OFFSET, checksum, true);
  return { sector, checksum };
}

/** Reads the first sector of a file. A text instead of a header says what is wrong with it. */
export function decodeFileHeader(
  mark: FileMark,
  sector: Uint8Array,
): { header: FileHeader; checksum: number } | string {
  if (sector.length < SECTOR_BYTES) return `file ends after ${sector.length} bytes, in its header`;
  const view = new DataView(sector.buffer, sector.byteOffset, SECTOR_BYTES);
  const checksum = crc32(sector.subarray(0, HEADER_CHECKSUM_OFFSET));
  if (view.getUint32(HEADER_CHECKSUM_OFFSET, true) !== checksum) {
    return "checksum of the file header does not match";
  }
  if (sector[0] !== mark || MAGIC.some((byte, i) => sector[4 + i] !== byte)) {
    return mark === Mark.segment ? "file is not a segment of a log" : "file is not a snapshot";
  }
  if (sector[1] !== VERSION) return `version is ${sector[1]}, expected ${VERSION}`;
  const header = {
    firstIndex: getUint53(view, 12),
    chain: view.getUint32(20, true),
    logId: sector.slice(24, 24 + LOG_ID_BYTES),
    nodeId: new TextDecoder().decode(sector.subarray(41, 41 + sector[40])),
  };
  return { header, checksum };
}

/** Bytes on disk of a frame with a body of this length: whole sectors. */
export function frameBytes(bodyLength: number): number {
  const more = Math.max(0, bodyLength - FIRST_SECTOR_BODY_BYTES);
  return SECTOR_BYTES * (1 + Math.ceil(more / NEXT_SECTOR_BODY_BYTES));
}

/**
 * Lays out a frame in `target`, from its start; `target` has {@linkcode frameBytes} bytes or more.
 *
 * @returns The body checksum, which the next frame continues.
 */
export function encodeFrame(
  target: Uint8Array,
  body: Uint8Array,
  frame: FrameFields,
): number {
  const end = frameBytes(body.length);
  const view = new DataView(target.buffer, target.byteOffset, target.byteLength);
  target.fill(0, end - SECTOR_BYTES, end); // padding, if the frame ends before its sector does
  target.set(body.subarray(0, FIRST_SECTOR_BODY_BYTES), FRAME_HEADER_BYTES);
  let from = FIRST_SECTOR_BODY_BYTES;
  for (let sector = SECTOR_BYTES; sector < end; sector += SECTOR_BYTES) {
    target[sector] = Mark.body;
    target.set(body.subarray(from, from + NEXT_SECTOR_BODY_BYTES), sector + 1);
    from += NEXT_SECTOR_BODY_BYTES;
  }
  const bodyChecksum = crc32(target.subarray(FRAME_HEADER_BYTES, end), frame.chain);
  view.setUint32(0, Mark.frame | frame.kind << 8, true);
  view.setUint32(4, body.length, true);
  setUint53(view, 8, frame.firstIndex);
  view.setUint32(16, frame.count, true);
  view.setUint32(FRAME_CHECKSUM_OFFSET, bodyChecksum, true);
  view.setUint32(24, crc32(target.subarray(0, 24)), true);
  return bodyChecksum;
}

/** Reads the header of a frame at `offset`, or null if there is none that is intact. */
export function decodeFrameHeader(segment: Uint8Array, offset: number): FrameHeader | null {
  if (segment[offset] !== Mark.frame || offset + SECTOR_BYTES > segment.length) return null;
  const view = new DataView(segment.buffer, segment.byteOffset + offset, FRAME_HEADER_BYTES);
  if (view.getUint32(24, true) !== crc32(segment.subarray(offset, offset + 24))) return null;
  const kind = segment[offset + 1];
  if (kind < FrameKind.batch || kind > FrameKind.sessions) return null;
  return {
    kind: kind as FrameKind,
    bodyLength: view.getUint32(4, true),
    firstIndex: getUint53(view, 8),
    count: view.getUint32(16, true),
    bodyChecksum: view.getUint32(FRAME_CHECKSUM_OFFSET, true),
  };
}

/** Whether the body of the frame at `offset` is the one that was written after `chain`. */
export function bodyMatches(
  segment: Uint8Array,
  offset: number,
  header: FrameHeader,
  chain: number,
): boolean {
  const end = offset + frameBytes(header.bodyLength);
  return crc32(segment.subarray(offset + FRAME_HEADER_BYTES, end), chain) === header.bodyChecksum;
}

/** Copies the body of the frame at `offset`, without its marks, to the start of `target`. */
export function copyBody(
  segment: Uint8Array,
  offset: number,
  bodyLength: number,
  target: Uint8Array,
): void {
  const first = Math.min(bodyLength, FIRST_SECTOR_BODY_BYTES);
  const start = offset + FRAME_HEADER_BYTES;
  target.set(segment.subarray(start, start + first));
  let sector = offset + SECTOR_BYTES;
  for (let at = first; at < bodyLength; at += NEXT_SECTOR_BODY_BYTES) {
    const count = Math.min(NEXT_SECTOR_BODY_BYTES, bodyLength - at);
    target.set(segment.subarray(sector + 1, sector + 1 + count), at);
    sector += SECTOR_BYTES;
  }
}

/**
 * Whether a whole sector from `start` up to `end` is zero, and so was never written: what ought to
 * be there is torn.
 */
export function isTorn(bytes: Uint8Array, start: number, end: number): boolean {
  for (let sector = start; sector < end; sector += SECTOR_BYTES) {
    if (isZero(bytes, sector, Math.min(sector + SECTOR_BYTES, bytes.length))) return true;
  }
  return false;
}

/**
 * The first sector from `start` up to `end` that is no part of a torn frame: by its mark, neither
 * unwritten nor the rest of a body. `end` if there is none.
 */
export function nextForeignSector(bytes: Uint8Array, start: number, end: number): number {
  for (let sector = start; sector < end; sector += SECTOR_BYTES) {
    if (bytes[sector] !== 0 && bytes[sector] !== Mark.body) return sector;
  }
  return end;
}

function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  for (let i = start; i < end; i++) if (bytes[i] !== 0) return false;
  return true;
}

/** The end of the last byte from `start` on that is not zero; `start` if all are. */
export function writtenEnd(bytes: Uint8Array, start: number): number {
  let end = bytes.length;
  while (end > start && bytes[end - 1] === 0) end--;
  return end;
}
