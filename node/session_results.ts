/**
 * The results of writes that sessions remember. Each session has a block in an arena: its client,
 * and a ring of rows, one for each result, in the order of their sequence numbers. A new result
 * almost always goes to the end of it, next to the one before, where it is found again without a
 * search.
 *
 * ```text
 *  block: session, length, rows, mark │ rows of 24 bytes, a ring │ client
 *                                        │ prevValue
 *                                        ▼
 *  value: session, length, seq        │ the bytes that a write overwrote
 * ```
 *
 * Rows are numbered from 0, the lowest sequence number; a number stays valid until a row is
 * inserted or dropped. All numbers in memory are of 32 bits; a sequence number or a log index is
 * two of them, the lower half first.
 *
 * @module
 */
import { SESSION_WINDOW } from "../lib/limits.ts";
import { Arena, CHUNK_BYTES, NO_REFERENCE } from "./arena.ts";
import { copyBytes } from "./copy_bytes.ts";
import { expectEqual } from "./invariant.ts";

// Header of an entry in the arena, in words: session, bytes after the header, and the sequence
// number whose `prevValue` it is; of a block, how many rows there is room for and a mark.
const LENGTH = 1;
const SEQ = 2;
const ROOM = 2;
const MARK = 3;
const HEADER_WORDS = 4;
const HEADER_BYTES = 4 * HEADER_WORDS;
/** No sequence number has this for its upper half. */
const BLOCK = 0xffff_ffff;

// A row, in words.
const ROW_SEQ = 0;
const ROW_LOG_INDEX = 2;
const ROW_FINGERPRINT = 4;
const ROW_PREV_VALUE = 5;
const ROW_WORDS = 6;
const ROW_BYTES = 4 * ROW_WORDS;

// What stands for the position of a `prevValue` that is "", or was forgotten. No entry has these.
const EMPTY = 0;
const FORGOTTEN = 1;

/** Results by session, a number from 1, and row. */
export class SessionResults {
  readonly #arena: Arena;
  /** By session: position of its block, row of its lowest result in the ring, and results. */
  readonly #blocks: Uint32Array;
  readonly #first: Uint16Array;
  readonly #count: Uint16Array;
  /** Results that have a `prevValue` which could be forgotten. */
  readonly #whole: Uint16Array;
  #bytes = 0;
  /** Bytes of the arena that were written or left behind since it was last made to reclaim some. */
  #unpaidBytes = 0;

  constructor(sessionsMax: number, chunkBytes = CHUNK_BYTES) {
    this.#blocks = new Uint32Array(sessionsMax + 1);
    this.#first = new Uint16Array(sessionsMax + 1);
    this.#count = new Uint16Array(sessionsMax + 1);
    this.#whole = new Uint16Array(sessionsMax + 1);
    let pointers = this.#blocks;
    this.#arena = new Arena({
      bytesOf: (chunk, offset) => entryBytes(chunk.words[(offset >>> 2) + LENGTH]),
      referenceTo: (chunk, offset, position) => {
        const at = offset >>> 2;
        const session = chunk.words[at];
        if (chunk.words[at + MARK] === BLOCK) {
          pointers = this.#blocks;
          return pointers[session] === position ? session : NO_REFERENCE;
        }
        const seq = uint53(chunk.words, at + SEQ);
        const row = this.search(session, seq);
        if (!this.has(session, row, seq)) return NO_REFERENCE;
        pointers = this.#wordsOf(session);
        const pointer = this.#wordOf(session, row) + ROW_PREV_VALUE;
        return pointers[pointer] === position ? pointer : NO_REFERENCE;
      },
      repoint: (pointer, position) => pointers[pointer] = position,
    }, chunkBytes);
  }

  /** Bytes of clients, rows and values. Room for further rows, and garbage, do not count. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Results of a session. */
  count(session: number): number {
    return this.#count[session];
  }

  /** Those of them that have a `prevValue` which could be forgotten. */
  wholeCount(session: number): number {
    return this.#whole[session];
  }

  /** Begins a session, of the client in `bytes`. */
  create(session: number, bytes: Uint8Array, start: number, end: number): void {
    this.#blocks[session] = this.#appendBlock(session, 1, end - start);
    const chunk = this.#arena.chunkOf(this.#blocks[session]);
    copyBytes(bytes, start, end, chunk.bytes, this.#clientAt(session));
    this.#bytes += entryBytes(end - start);
  }

  /** Forgets a session and its results. */
  delete(session: number): void {
    while (this.#count[session] > 0) this.dropLowest(session);
    this.#bytes -= entryBytes(this.#clientLength(session));
    this.#discard(this.#blocks[session]);
    this.#blocks[session] = 0;
  }

  /** Copies the client of a session to the start of `target` and returns its length in bytes. */
  copyClient(session: number, target: Uint8Array): number {
    const { bytes } = this.#arena.chunkOf(this.#blocks[session]);
    const start = this.#clientAt(session);
    const length = this.#clientLength(session);
    copyBytes(bytes, start, start + length, target, 0);
    return length;
  }

  /** The first row whose sequence number is `seq` or higher; the number of rows if none is. */
  search(session: number, seq: number): number {
    const count = this.#count[session];
    if (count === 0) return 0;
    // Row i is at least i above row 0; and it is i above it as long as no number is missing.
    let low = 0;
    let high = Math.min(Math.max(0, seq - this.seqOf(session, 0)), count);
    if (high === 0 || this.seqOf(session, high - 1) < seq) return high;
    while (low < high) {
      const middle = low + high >>> 1;
      if (this.seqOf(session, middle) < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Whether there is such a row, and it is that of `seq`. */
  has(session: number, row: number, seq: number): boolean {
    return row < this.#count[session] && this.seqOf(session, row) === seq;
  }

  seqOf(session: number, row: number): number {
    return uint53(this.#wordsOf(session), this.#wordOf(session, row) + ROW_SEQ);
  }

  logIndexOf(session: number, row: number): number {
    return uint53(this.#wordsOf(session), this.#wordOf(session, row) + ROW_LOG_INDEX);
  }

  fingerprintOf(session: number, row: number): number {
    return this.#wordsOf(session)[this.#wordOf(session, row) + ROW_FINGERPRINT];
  }

  /** Length in bytes of the `prevValue` of a row; −1 if it was forgotten. */
  prevLengthOf(session: number, row: number): number {
    const position = this.#prevPositionOf(session, row);
    if (position === EMPTY) return 0;
    if (position === FORGOTTEN) return -1;
    return this.#arena.chunkOf(position).words[this.#wordAt(position) + LENGTH];
  }

  /** The `prevValue` of a row as text; null if it was forgotten. */
  prevTextOf(session: number, row: number): string | null {
    const position = this.#prevPositionOf(session, row);
    if (position <= FORGOTTEN) return position === EMPTY ? "" : null;
    const chunk = this.#arena.chunkOf(position);
    const start = this.#arena.offsetOf(position) + HEADER_BYTES;
    return chunk.textOf(start, start + chunk.words[(start >>> 2) - HEADER_WORDS + LENGTH]);
  }

  /** Copies the `prevValue` of a row, if there is one, to `target` from `offset`. */
  copyPrevValue(session: number, row: number, target: Uint8Array, offset: number): void {
    const position = this.#prevPositionOf(session, row);
    if (position <= FORGOTTEN) return;
    const chunk = this.#arena.chunkOf(position);
    const start = this.#arena.offsetOf(position) + HEADER_BYTES;
    const end = start + chunk.words[(start >>> 2) - HEADER_WORDS + LENGTH];
    copyBytes(chunk.bytes, start, end, target, offset);
  }

  /** Inserts a result, whose `prevValue` is "", where {@linkcode search} says that it belongs. */
  insert(
    session: number,
    row: number,
    seq: number,
    logIndex: number,
    fingerprint: number,
  ): void {
    const count = this.#count[session];
    if (count === this.#roomOf(session)) this.#resize(session, roomFor(count + 1));
    this.#count[session]++;
    const words = this.#wordsOf(session);
    if (row === 0) {
      // A snapshot has the highest first: the ring begins one earlier, and no row moves.
      this.#first[session] = (this.#first[session] || this.#roomOf(session)) - 1;
    } else {
      for (let above = count; above > row; above--) {
        const from = this.#wordOf(session, above - 1);
        words.copyWithin(this.#wordOf(session, above), from, from + ROW_WORDS);
      }
    }
    const at = this.#wordOf(session, row);
    setUint53(words, at + ROW_SEQ, seq);
    setUint53(words, at + ROW_LOG_INDEX, logIndex);
    words[at + ROW_FINGERPRINT] = fingerprint;
    words[at + ROW_PREV_VALUE] = EMPTY;
    this.#bytes += ROW_BYTES;
  }

  /**
   * Gives a row that has none a `prevValue` of `length` bytes, more than 0. Returns the memory to
   * which they are to be copied at once, from {@linkcode prevOffsetOf} on.
   */
  addPrevValue(session: number, row: number, length: number): Uint8Array {
    const position = this.#append(length);
    const { words, bytes } = this.#arena.chunkOf(position);
    const at = this.#wordAt(position);
    words[at] = session;
    words[at + LENGTH] = length;
    setUint53(words, at + SEQ, this.seqOf(session, row));
    this.#wordsOf(session)[this.#wordOf(session, row) + ROW_PREV_VALUE] = position;
    this.#whole[session]++;
    this.#bytes += entryBytes(length);
    return bytes;
  }

  /** Where the `prevValue` of a row is in its memory. */
  prevOffsetOf(session: number, row: number): number {
    return this.#arena.offsetOf(this.#prevPositionOf(session, row)) + HEADER_BYTES;
  }

  /** Forgets the `prevValue` of a row, unless it is "". */
  forgetPrevValue(session: number, row: number): void {
    const at = this.#wordOf(session, row) + ROW_PREV_VALUE;
    const words = this.#wordsOf(session);
    const position = words[at];
    if (position === EMPTY) return;
    words[at] = FORGOTTEN;
    if (position === FORGOTTEN) return;
    this.#whole[session]--;
    this.#bytes -= this.#discard(position);
  }

  /** Marks a row that has no `prevValue` as one whose `prevValue` was forgotten. */
  markForgotten(session: number, row: number): void {
    this.#wordsOf(session)[this.#wordOf(session, row) + ROW_PREV_VALUE] = FORGOTTEN;
  }

  /** Drops row 0. */
  dropLowest(session: number): void {
    this.forgetPrevValue(session, 0);
    const room = this.#roomOf(session);
    this.#first[session] = (this.#first[session] + 1) % room;
    const count = --this.#count[session];
    this.#bytes -= ROW_BYTES;
    if (room > 4 && roomFor(count) * 2 <= room) this.#resize(session, roomFor(count));
  }

  /** To be called at the end of each change: reclaims some of what changes left behind. */
  settle(): void {
    this.#arena.reclaim(this.#unpaidBytes);
    this.#unpaidBytes = 0;
  }

  #prevPositionOf(session: number, row: number): number {
    return this.#wordsOf(session)[this.#wordOf(session, row) + ROW_PREV_VALUE];
  }

  /** The memory of a session's block. */
  #wordsOf(session: number): Uint32Array {
    return this.#arena.chunkOf(this.#blocks[session]).words;
  }

  /** Where a row is in it. */
  #wordOf(session: number, row: number): number {
    const room = this.#roomOf(session);
    const inRing = this.#first[session] + row;
    return this.#wordAt(this.#blocks[session]) + HEADER_WORDS +
      ROW_WORDS * (inRing < room ? inRing : inRing - room);
  }

  #wordAt(position: number): number {
    return this.#arena.offsetOf(position) >>> 2;
  }

  /** How many rows a session's block has room for. */
  #roomOf(session: number): number {
    const position = this.#blocks[session];
    return this.#arena.chunkOf(position).words[this.#wordAt(position) + ROOM];
  }

  #clientAt(session: number): number {
    return this.#arena.offsetOf(this.#blocks[session]) + HEADER_BYTES +
      ROW_BYTES * this.#roomOf(session);
  }

  #clientLength(session: number): number {
    const length = this.#wordsOf(session)[this.#wordAt(this.#blocks[session]) + LENGTH];
    return length - ROW_BYTES * this.#roomOf(session);
  }

  #append(length: number): number {
    const bytes = entryBytes(length);
    this.#unpaidBytes += bytes;
    return this.#arena.append(bytes);
  }

  #discard(position: number): number {
    const bytes = entryBytes(this.#arena.chunkOf(position).words[this.#wordAt(position) + LENGTH]);
    this.#arena.discard(position, bytes);
    this.#unpaidBytes += bytes;
    return bytes;
  }

  #appendBlock(session: number, room: number, clientLength: number): number {
    const length = ROW_BYTES * room + clientLength;
    const position = this.#append(length);
    const { words } = this.#arena.chunkOf(position);
    const at = this.#wordAt(position);
    words[at] = session;
    words[at + LENGTH] = length;
    words[at + ROOM] = room;
    words[at + MARK] = BLOCK;
    this.#first[session] = 0;
    return position;
  }

  /** Moves a session to a block with another number of rows. */
  #resize(session: number, room: number): void {
    const old = this.#blocks[session];
    const { words, bytes } = this.#arena.chunkOf(old);
    const first = this.#wordOf(session, 0);
    const ring = this.#wordAt(old) + HEADER_WORDS;
    const clientAt = this.#clientAt(session);
    const clientLength = this.#clientLength(session);
    const unwrapped = Math.min(this.#count[session], this.#roomOf(session) - this.#first[session]);
    const wrapped = this.#count[session] - unwrapped;
    const position = this.#appendBlock(session, room, clientLength);
    this.#blocks[session] = position;
    const target = this.#arena.chunkOf(position);
    const start = this.#wordOf(session, 0);
    copyRows(words, first, unwrapped, target.words, start);
    copyRows(words, ring, wrapped, target.words, start + unwrapped * ROW_WORDS);
    copyBytes(bytes, clientAt, clientAt + clientLength, target.bytes, this.#clientAt(session));
    this.#discard(old);
  }

  /**
   * Walks over everything, which takes long: for tests and doctors.
   *
   * @throws {Error} Counts, rows and entries do not agree.
   */
  check(sessions: Iterable<number>): void {
    let entries = 0;
    let bytes = 0;
    for (const session of sessions) {
      let whole = 0;
      bytes += entryBytes(this.#clientLength(session));
      for (let row = 0; row < this.#count[session]; row++) {
        if (row > 0 && this.seqOf(session, row - 1) >= this.seqOf(session, row)) {
          throw new Error(`Broken invariant: rows of session ${session} are not in order`);
        }
        const length = this.prevLengthOf(session, row);
        bytes += ROW_BYTES + (length > 0 ? entryBytes(length) : 0);
        if (length > 0) whole++;
      }
      expectEqual(`previous values of session ${session}`, this.#whole[session], whole);
      entries += 1 + whole;
    }
    expectEqual("entries of results", this.#arena.check(), entries);
    expectEqual("bytes of results", this.#bytes, bytes);
  }
}

/** Bytes of an entry with so many bytes after its header. */
function entryBytes(length: number): number {
  return (HEADER_BYTES + length + 7) & ~7;
}

/** Capacity, in rows, of a block made for `count` rows. */
function roomFor(count: number): number {
  return Math.min(SESSION_WINDOW, count < 2 ? 1 : count + Math.max(2, count >>> 2));
}

/** Copies `count` rows from word `start` of `from` to word `at` of `to`. */
function copyRows(
  from: Uint32Array,
  start: number,
  count: number,
  to: Uint32Array,
  at: number,
): void {
  to.set(from.subarray(start, start + count * ROW_WORDS), at);
}

function uint53(words: Uint32Array, at: number): number {
  return words[at + 1] * 0x1_0000_0000 + words[at];
}

function setUint53(words: Uint32Array, at: number, value: number): void {
  words[at] = value;
  words[at + 1] = value / 0x1_0000_0000;
}
