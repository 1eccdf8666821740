/**
 * The result of a write in bytes, as it stands in a snapshot. Numbers are little-endian.
 *
 * | offset | size | field |
 * | --- | --- | --- |
 * | 0 | 8 | sequence number |
 * | 8 | 8 | index of the write in the log |
 * | 16 | 4 | fingerprint: CRC-32 of the command |
 * | 20 | 4 | flags: 1 if `prevValue` was forgotten to make room, else 0 |
 * | 24 | … | `prevValue`, as UTF-8; nothing if it is "" or was forgotten |
 *
 * Sequence number 7 at index 300, with the fingerprint a1b2c3d4, overwrote the value "abc":
 *
 *     07 00 00 00 00 00 00 00  2c 01 00 00 00 00 00 00
 *     d4 c3 b2 a1  00 00 00 00  61 62 63
 *
 * @module
 */
import { ByteWriter, getUint53 } from "../../lib/byte_writer.ts";
import { decodeUtf8 } from "../../lib/utf8.ts";
import type { SessionResults } from "./session_results.ts";

const SEQ_OFFSET = 0;
const LOG_INDEX_OFFSET = 8;
const FINGERPRINT_OFFSET = 16;
const FLAGS_OFFSET = 20;
const PREV_VALUE_OFFSET = 24;
/** Flag: `prevValue` was forgotten. */
const FORGOTTEN = 1;

/** Encodes results that are remembered, one after the other. */
export class ResultEncoder {
  readonly #results: SessionResults;
  readonly #writer = new ByteWriter(1024);

  constructor(results: SessionResults) {
    this.#results = results;
  }

  /** The result in a row of a session, in bytes that are valid until the next call. */
  encode(session: number, row: number): Uint8Array {
    const results = this.#results;
    const writer = this.#writer;
    writer.clear();
    writer.uint53(results.seqOf(session, row));
    writer.uint53(results.logIndexOf(session, row));
    writer.uint32(results.fingerprintOf(session, row));
    writer.uint32(results.prevLengthOf(session, row) < 0 ? FORGOTTEN : 0);
    results.appendPrevValue(session, row, writer);
    return writer.written();
  }
}

/** The fields of a result, all but the text of `prevValue`. */
export interface ResultFields {
  readonly seq: number;
  readonly logIndex: number;
  readonly fingerprint: number;
  /** Whether `prevValue` was forgotten. */
  readonly isForgotten: boolean;
  /** Where `prevValue` begins in the bytes. */
  readonly prevStart: number;
}

/** Reads the result in `bytes` from `start` on. */
export function decodeFields(bytes: Uint8Array, start: number): ResultFields {
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, PREV_VALUE_OFFSET);
  return {
    seq: getUint53(view, SEQ_OFFSET),
    logIndex: getUint53(view, LOG_INDEX_OFFSET),
    fingerprint: view.getUint32(FINGERPRINT_OFFSET, true),
    isForgotten: view.getUint32(FLAGS_OFFSET, true) === FORGOTTEN,
    prevStart: start + PREV_VALUE_OFFSET,
  };
}

/** A result as people read it. */
export interface ReadableResult {
  readonly seq: number;
  readonly logIndex: number;
  /** Null if it was forgotten. */
  readonly prevValue: string | null;
}

/** Reads the result in `bytes` from `start` to `end` for people. */
export function readableResult(bytes: Uint8Array, start: number, end: number): ReadableResult {
  const { seq, logIndex, isForgotten, prevStart } = decodeFields(bytes, start);
  const prevValue = isForgotten ? null : decodeUtf8(bytes, prevStart, end);
  return { seq, logIndex, prevValue };
}
