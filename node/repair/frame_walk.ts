/**
 * Finds the intact frames of a file among others that are not. A node has no use for that: to it a
 * damaged file is damaged. It is for `salvage`.
 *
 * What proves a frame intact is its own header checksum, and its body checksum begun with that of
 * the frame before, which stands in that one's header. So a damaged body costs its own frame only.
 * After a damaged header there are two ways to know what the next frame was chained to: the field
 * in it may have kept its value; or the body behind it may have, and its checksum can be taken
 * again. If neither fits, the next frame is not proven, and given up too.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import {
  bodyMatches,
  copyBody,
  decodeFileHeader,
  decodeFrameHeader,
  type FileHeader,
  type FileMark,
  FRAME_CHECKSUM_OFFSET,
  FRAME_HEADER_BYTES,
  frameBytes,
  type FrameHeader,
  FrameKind,
  HEADER_CHECKSUM_OFFSET,
  isTorn,
  nextForeignSector,
  SECTOR_BYTES,
  writtenEnd,
} from "../log/log_format.ts";

/** A frame that is intact. */
export interface IntactFrame {
  readonly header: FrameHeader;
  /** In bytes from the start of the file. */
  readonly offset: number;
  readonly body: Uint8Array;
}

/** Bytes that are not what was written, or cannot be proven to be. */
export interface BrokenStretch {
  readonly header: null;
  /** In bytes from the start of the file. */
  readonly offset: number;
  readonly reason: string;
  /** What the frame there says it is, if its header is intact. */
  readonly claim: FrameHeader | null;
  /** A sector of the frame is all zeros: at the end of a log, a batch that was never finished. */
  readonly isTorn: boolean;
}

/** Reads the header of a file; null if it is damaged. */
export function fileHeaderOf(mark: FileMark, bytes: Uint8Array): FileHeader | null {
  const decoded = decodeFileHeader(mark, bytes.subarray(0, SECTOR_BYTES));
  return typeof decoded === "string" ? null : decoded.header;
}

/** All that is written in a file after its header, in order. */
export function* walkFrames(bytes: Uint8Array): Generator<IntactFrame | BrokenStretch> {
  const end = Math.ceil(writtenEnd(bytes, 0) / SECTOR_BYTES) * SECTOR_BYTES;
  let chains = headerChains(bytes);
  let offset = SECTOR_BYTES;
  let isSealed = false;
  while (offset < end) {
    const header = decodeFrameHeader(bytes, offset);
    if (header === null) {
      const next = nextFrame(bytes, offset, end);
      yield brokenStretch(bytes, offset, next, null);
      chains = chainsAfter(bytes, offset, next, chains);
      offset = next;
      continue;
    }
    const next = offset + frameBytes(header.bodyLength);
    const isWhole = next <= bytes.length;
    isSealed = header.kind === FrameKind.seal;
    if (isWhole && chains.some((chain) => bodyMatches(bytes, offset, header, chain))) {
      const body = new Uint8Array(header.bodyLength);
      copyBody(bytes, offset, header.bodyLength, body);
      yield { header, offset, body };
      offset = next;
    } else {
      const claimedEnd = Math.min(next, bytes.length);
      yield brokenStretch(bytes, offset, claimedEnd, header);
      // Not simply to where it ends: a frame out of its place says nothing of what follows here.
      offset = nextFrame(bytes, offset, claimedEnd);
    }
    chains = [header.bodyChecksum];
  }
  // Zeros always follow the last frame: a file that ends before them was cut off.
  const isCut = !isSealed && offset + SECTOR_BYTES > bytes.length;
  if (isCut) yield { header: null, offset, reason: "file ends", claim: null, isTorn: false };
}

function brokenStretch(
  bytes: Uint8Array,
  offset: number,
  end: number,
  claim: FrameHeader | null,
): BrokenStretch {
  const reason = claim === null
    ? "frame header is damaged"
    : "frame is damaged, or cannot be proven";
  // As a node decides it, see `log_scan.ts`: where there is no header, that is what is torn.
  const first = offset + SECTOR_BYTES;
  const isFrameTorn = isTorn(bytes, offset, claim === null ? first : end) &&
    nextForeignSector(bytes, first, end) === end;
  return { header: null, offset, reason, claim, isTorn: isFrameTorn };
}

/** What the first frame may continue: the header's checksum, as read or as computed. */
function headerChains(bytes: Uint8Array): number[] {
  if (bytes.length < SECTOR_BYTES) return [];
  return [
    uint32At(bytes, HEADER_CHECKSUM_OFFSET),
    crc32(bytes.subarray(0, HEADER_CHECKSUM_OFFSET)),
  ];
}

/** What checksums the frame at `next` may continue, after a damaged header at `offset`. */
function chainsAfter(bytes: Uint8Array, offset: number, next: number, chains: number[]): number[] {
  if (offset + SECTOR_BYTES > bytes.length) return [];
  const body = bytes.subarray(offset + FRAME_HEADER_BYTES, next);
  return [
    uint32At(bytes, offset + FRAME_CHECKSUM_OFFSET),
    ...chains.map((chain) => crc32(body, chain)),
  ];
}

function uint32At(bytes: Uint8Array, offset: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(offset, true);
}

/** Where the next intact frame header after `offset` is, or the end. */
function nextFrame(bytes: Uint8Array, offset: number, end: number): number {
  let next = offset + SECTOR_BYTES;
  while (next < end && decodeFrameHeader(bytes, next) === null) next += SECTOR_BYTES;
  return Math.min(next, end);
}
