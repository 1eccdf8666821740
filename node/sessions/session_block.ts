/**
 * The layout in memory of what `session_results.ts` keeps in its arena: of the block of a session
 * and of the values beside it. All of it is words of 32 bits; a sequence number or a log index is
 * two of them, the lower half first.
 *
 * @module
 */
import { SESSION_WINDOW } from "../../lib/limits.ts";

// The header of an entry, in words: the session, and the number of bytes after the header.
export const SESSION = 0;
export const LENGTH = 1;
// Of a block: the number of rows that it has room for, and a mark.
export const ROOM = 2;
export const MARK = 3;
/** The mark of a block. In a value, the upper half of `SEQ` is there, which is never so high. */
export const BLOCK = 0xffff_ffff;
// Of a value: the sequence number of the write that overwrote it.
export const SEQ = 2;
export const HEADER_WORDS = 4;
export const HEADER_BYTES = 4 * HEADER_WORDS;

// A row, in words.
export const ROW_SEQ = 0;
export const ROW_LOG_INDEX = 2;
export const ROW_FINGERPRINT = 4;
/** The position of the value, `EMPTY` or `FORGOTTEN`. */
export const ROW_PREV_VALUE = 5;
export const ROW_WORDS = 6;
export const ROW_BYTES = 4 * ROW_WORDS;

// No entry has one of these positions.
/** The `prevValue` is "". */
export const EMPTY = 0;
/** The `prevValue` was forgotten. */
export const FORGOTTEN = 1;

/** Bytes of an entry with so many bytes after its header. */
export function entryBytes(length: number): number {
  return (HEADER_BYTES + length + 7) & ~7;
}

/**
 * How many rows the block of a session with `count` results has room for: at most a quarter more,
 * or three, in steps, so that it is seldom moved. It depends on nothing else: so results take as
 * many bytes wherever they are remembered, live, replayed or read from a snapshot.
 */
export function roomFor(count: number): number {
  if (count < 2) return 1;
  // Four steps from a power of two to the next one.
  const stepBits = Math.max(2, 29 - Math.clz32(count - 1));
  return Math.min(SESSION_WINDOW, ((count - 1 >>> stepBits) + 1) << stepBits);
}

/** Copies `count` rows from word `start` of `from` to word `at` of `to`. */
export function copyRows(
  from: Uint32Array,
  start: number,
  count: number,
  to: Uint32Array,
  at: number,
): void {
  to.set(from.subarray(start, start + count * ROW_WORDS), at);
}

/**
 * Moves `count` rows, from place `start` on, up by one place in the ring of `room` places that
 * begins at word `ring`. The place behind them has to be free.
 */
export function moveRowsUp(
  words: Uint32Array,
  ring: number,
  room: number,
  start: number,
  count: number,
): void {
  const from = ring + start * ROW_WORDS;
  const end = from + count * ROW_WORDS;
  const ringEnd = ring + room * ROW_WORDS;
  if (end < ringEnd) {
    words.copyWithin(from + ROW_WORDS, from, end);
    return;
  }
  // From the back: those at the start of the ring, the one that goes there, those before that.
  words.copyWithin(ring + ROW_WORDS, ring, ring + end - ringEnd);
  words.copyWithin(ring, ringEnd - ROW_WORDS, ringEnd);
  words.copyWithin(from + ROW_WORDS, from, ringEnd - ROW_WORDS);
}

/** The number from 0 to 2^53−1 in the two words at `at`. */
export function readNumber(words: Uint32Array, at: number): number {
  return words[at + 1] * 0x1_0000_0000 + words[at];
}

/** Puts a number from 0 to 2^53−1 into the two words at `at`. */
export function writeNumber(words: Uint32Array, at: number, value: number): void {
  words[at] = value; // an array of words takes a number modulo 2^32
  words[at + 1] = value / 0x1_0000_0000;
}
