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
import { getUint53, setUint53 } from "../../lib/byte_writer.ts";
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
  /** As large as the largest result so far. */
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);

  constructor(results: SessionResults) {
    this.#results = results;
  }

  /** The result in a row of a session, in bytes that are valid until the next call. */
  encode(session: number, row: number): Uint8Array {
    const results = this.#results;
    const prevLength = results.prevLengthOf(session, row);
    const length = PREV_VALUE_OFFSET + Math.max(0, prevLength);
    if (length > this.#bytes.length) {
      this.#bytes = new Uint8Array(2 * length);
      this.#view = new DataView(this.#bytes.buffer);
    }
    const view = this.#view;
    setUint53(view, SEQ_OFFSET, results.seqOf(session, row));
    setUint53(view, LOG_INDEX_OFFSET, results.logIndexOf(session, row));
    view.setUint32(FINGERPRINT_OFFSET, results.fingerprintOf(session, row), true);
    view.setUint32(FLAGS_OFFSET, prevLength < 0 ? FORGOTTEN : 0, true);
    results.copyPrevValue(session, row, this.#bytes, PREV_VALUE_OFFSET);
    return this.#bytes.subarray(0, length);
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
