/**
 * The layout of a session's block, see `session_results.ts`: a header, a ring of rows and the
 * client. All numbers in it are of 32 bits; a sequence number or a log index is two of them, the
 * lower half first.
 *
 * @module
 */
import { SESSION_WINDOW } from "../lib/limits.ts";

// Header of an entry in the arena, in words: session, bytes after the header, and the sequence
// number whose `prevValue` it is; of a block, how many rows there is room for and a mark.
export const LENGTH = 1;
export const SEQ = 2;
export const ROOM = 2;
export const MARK = 3;
export const HEADER_WORDS = 4;
export const HEADER_BYTES = 4 * HEADER_WORDS;
/** No sequence number has this for its upper half. */
export const BLOCK = 0xffff_ffff;

// A row, in words.
export const ROW_SEQ = 0;
export const ROW_LOG_INDEX = 2;
export const ROW_FINGERPRINT = 4;
export const ROW_PREV_VALUE = 5;
export const ROW_WORDS = 6;
export const ROW_BYTES = 4 * ROW_WORDS;

/** Bytes of an entry with so many bytes after its header. */
export function entryBytes(length: number): number {
  return (HEADER_BYTES + length + 7) & ~7;
}

/**
 * How many rows a block of `count` rows has room for: at most a quarter more, or three, in steps,
 * so that it is seldom moved. It depends on nothing else: so results take as many bytes wherever
 * they are remembered, live, replayed or read from a snapshot.
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
 * Moves `count` rows, from place `start` on, one up in the ring of `room` rows that begins at word
 * `ring`. The row behind them is overwritten.
 */
export function moveUp(
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
  words.copyWithin(ring + ROW_WORDS, ring, ring + end - ringEnd);
  words.copyWithin(ring, ringEnd - ROW_WORDS, ringEnd);
  words.copyWithin(from + ROW_WORDS, from, ringEnd - ROW_WORDS);
}

export function uint53(words: Uint32Array, at: number): number {
  return words[at + 1] * 0x1_0000_0000 + words[at];
}

export function setUint53(words: Uint32Array, at: number, value: number): void {
  words[at] = value;
  words[at + 1] = value / 0x1_0000_0000;
}
