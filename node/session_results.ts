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
 * inserted or dropped. How the words of a block are laid out: see `session_block.ts`.
 *
 * @module
 */
import { decodeUtf8 } from "../lib/utf8.ts";
import { Arena, CHUNK_BYTES, NO_REFERENCE } from "./arena.ts";
import { copyBytes } from "./copy_bytes.ts";
import { expectEqual } from "./invariant.ts";
import {
  BLOCK,
  copyRows,
  entryBytes,
  HEADER_BYTES,
  HEADER_WORDS,
  LENGTH,
  MARK,
  moveUp,
  ROOM,
  roomFor,
  ROW_BYTES,
  ROW_FINGERPRINT,
  ROW_LOG_INDEX,
  ROW_PREV_VALUE,
  ROW_SEQ,
  ROW_WORDS,
  SEQ,
  setUint53,
  uint53,
} from "./session_block.ts";

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

  /**
   * Bytes of clients, rows and values, with the room for further rows, but without garbage. What is
   * remembered alone decides how many they are, not how it came about.
   */
  get bytes(): number {
    return this.#arena.liveBytes;
  }

  /** Bytes of memory that they take, chunks with garbage and unused ends: for tests. */
  get reservedBytes(): number {
    return this.#arena.reservedBytes;
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
    this.#blocks[session] = this.#appendBlock(session, roomFor(0), end - start);
    const chunk = this.#arena.chunkOf(this.#blocks[session]);
    copyBytes(bytes, start, end, chunk.bytes, this.#clientAt(session));
  }

  /** Forgets a session and its results. */
  delete(session: number): void {
    this.dropLowest(session, this.#count[session]);
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
    const end = start + chunk.words[(start >>> 2) - HEADER_WORDS + LENGTH];
    return decodeUtf8(chunk.bytes, start, end);
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
    const room = roomFor(count + 1);
    if (room !== this.#roomOf(session)) this.#resize(session, room);
    this.#count[session]++;
    const words = this.#wordsOf(session);
    if (row === 0) {
      // A snapshot has the highest first: the ring begins one earlier, and no row moves.
      this.#first[session] = (this.#first[session] || room) - 1;
    } else if (row < count) {
      const ring = this.#wordAt(this.#blocks[session]) + HEADER_WORDS;
      moveUp(words, ring, room, (this.#first[session] + row) % room, count - row);
    }
    const at = this.#wordOf(session, row);
    setUint53(words, at + ROW_SEQ, seq);
    setUint53(words, at + ROW_LOG_INDEX, logIndex);
    words[at + ROW_FINGERPRINT] = fingerprint;
    words[at + ROW_PREV_VALUE] = EMPTY;
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
    this.#discard(position);
  }

  /** Marks a row that has no `prevValue` as one whose `prevValue` was forgotten. */
  markForgotten(session: number, row: number): void {
    this.#wordsOf(session)[this.#wordOf(session, row) + ROW_PREV_VALUE] = FORGOTTEN;
  }

  /** Drops the lowest `rows` rows. The block stays as it is until `insert()` or `fit()`. */
  dropLowest(session: number, rows: number): void {
    for (let row = 0; row < rows && this.#whole[session] > 0; row++) {
      this.forgetPrevValue(session, row);
    }
    this.#first[session] = (this.#first[session] + rows) % this.#roomOf(session);
    this.#count[session] -= rows;
  }

  /** Gives back the room of rows that were dropped. */
  fit(session: number): void {
    const room = roomFor(this.#count[session]);
    if (room !== this.#roomOf(session)) this.#resize(session, room);
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

  #discard(position: number): void {
    const bytes = entryBytes(this.#arena.chunkOf(position).words[this.#wordAt(position) + LENGTH]);
    this.#arena.discard(position, bytes);
    this.#unpaidBytes += bytes;
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
      const room = roomFor(this.#count[session]);
      expectEqual(`room for rows of session ${session}`, this.#roomOf(session), room);
      bytes += entryBytes(ROW_BYTES * room + this.#clientLength(session));
      for (let row = 0; row < this.#count[session]; row++) {
        if (row > 0 && this.seqOf(session, row - 1) >= this.seqOf(session, row)) {
          throw new Error(`Broken invariant: rows of session ${session} are not in order`);
        }
        const length = this.prevLengthOf(session, row);
        if (length <= 0) continue;
        bytes += entryBytes(length);
        whole++;
      }
      expectEqual(`previous values of session ${session}`, this.#whole[session], whole);
      entries += 1 + whole;
    }
    expectEqual("entries of results", this.#arena.check(), entries);
    expectEqual("bytes of results", this.bytes, bytes);
  }
}
