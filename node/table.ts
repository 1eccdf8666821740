/**
 * A map from byte strings to byte strings that lives outside the V8 heap. A `Map` of a million
 * strings makes the garbage collector stop the event loop, and doubling its table stops it again;
 * here every call is short, however many entries there are, and memory is exact to count.
 *
 * ```text
 *  hash of the key           sub-table: pairs, linear probing        arena: chunks of 4 MiB
 *  ┌────────────┬────────┐   ┌──────┬──────────┬──────┬──────────┐   ┌───────────────────────────┐
 *  │ top 10 bits│ the    │ ┌▶│ hash │ position │ hash │ position │ ┌▶│ u32 key length            │
 *  │ sub-table  │ slot   │ │ └──────┴────┬─────┴──────┴──────────┘ │ │ u32 value length          │
 *  └─────┬──────┴────────┘ │             └─────────────────────────┘ │ key, value, padding to 8  │
 *        └─────────────────┘                                         └───────────────────────────┘
 * ```
 *
 * - A position counts units of 8 bytes over all chunks, so 32 bits reach 32 GiB. Chunk 0 has no
 *   memory, so position 0 is free to mean "none". An entry never spans chunks.
 * - Each of the 1,024 sub-tables grows and shrinks on its own: the longest rehash is that of about
 *   a thousandth of the keys. A deletion shifts the pairs behind it back; there are no tombstones.
 * - An entry is overwritten in place if its padded size stays. Otherwise a new one is appended and
 *   the old one is garbage, which later calls reclaim in small steps: see `#reclaim()`.
 *
 * It is not ordered, and not durable: the log is. The end of a chunk that was too short for the
 * next entry stays unused, so entries of nearly half a chunk and more can waste up to half of it.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { halfSipHash13 } from "./half_sip_hash.ts";
import { NO_SLOT, TableIndex } from "./table_index.ts";

/** Size of a chunk of the arena, and of the largest entry, in bytes. */
export const CHUNK_BYTES = 4 * 1024 * 1024;

/** Empty chunks that keep their memory, ready for the next entries. */
const SPARE_CHUNKS_MAX = 2;
/** Bytes that a call walks for each byte that it wrote or left behind; why, see `#reclaim()`. */
const RECLAIM_FACTOR = 8;
/** Entries that one call walks at most: half a millisecond's work, each being a cache miss. */
const RECLAIM_ENTRIES_MAX = 1024;

const HEADER_BYTES = 8;

/** Up to here a loop copies as fast as a native function, and needs no view of the source. */
const LOOP_LENGTH_MAX = 128;
/** Up to here `Buffer` decodes faster than a `TextDecoder`, whose call costs more. */
const BUFFER_TEXT_BYTES_MAX = 256;
// By default a decoder drops U+FEFF at the start of a text.
const textDecoder = new TextDecoder("utf-8", { ignoreBOM: true });

export interface TableOptions {
  /** The secret of the hash function: two random numbers of 32 bits. */
  readonly hashKey: readonly [number, number];
  /** Size of a chunk in bytes, a power of two from 16. Smaller ones are of use in tests only. */
  readonly chunkBytes?: number;
}

/** An entry as bytes of its own, copied out of the table. */
export interface TableEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** One piece of the arena: entries from the start to `used`, dead or alive, then unused room. */
class Chunk {
  readonly bytes: Uint8Array;
  /** The same bytes. Apart, because loops that meet two kinds of arrays take twice as long. */
  readonly text: Buffer;
  readonly words: Uint32Array;
  readonly view: DataView;
  used = 0;
  /** Bytes of the entries that the index points at. */
  live = 0;

  constructor(readonly id: number, size: number) {
    const memory = new ArrayBuffer(size);
    this.bytes = new Uint8Array(memory);
    this.text = Buffer.from(memory);
    this.words = new Uint32Array(memory);
    this.view = new DataView(memory);
  }

  entryBytes(offset: number): number {
    return entryBytes(this.words[offset >>> 2], this.words[(offset >>> 2) + 1]);
  }
}

/** Stands where a chunk has no memory. Every attempt to append to it opens another. */
const NO_CHUNK = new Chunk(0, 0);

/**
 * See the module's comment. Invariants, which {@linkcode Table.check} checks:
 *
 * - Each pair of the index points at an entry of that hash, and a search for its key ends there.
 * - An entry that a walk over a chunk meets is alive if and only if the index points at it.
 * - `live` of each chunk, and the sums over all, count exactly those.
 *
 * Byte ranges run from a start up to, without, an end. They are never the table's own memory.
 */
export class Table {
  readonly #k0: number;
  readonly #k1: number;
  readonly #chunkBytes: number;
  /** A position is the id of a chunk above this many bits of offset, in units of 8 bytes. */
  readonly #offsetBits: number;
  readonly #index = new TableIndex();

  /** By id. What has no memory is `NO_CHUNK`, and its id, but for 0, is in `#vacantIds`. */
  readonly #chunks: Chunk[] = [NO_CHUNK];
  readonly #vacantIds: number[] = [];
  readonly #spareChunks: Chunk[] = [];
  /** Where entries are appended. All other chunks are spare or full. */
  #last = NO_CHUNK;
  #size = 0;
  #usedBytes = 0;
  #liveBytes = 0;

  /** The chunk that is being emptied, or `NO_CHUNK`; how far; and how far it should be by now. */
  #victim = NO_CHUNK;
  #walkedBytes = 0;
  #owedBytes = 0;

  /** @throws {RangeError} `chunkBytes` is not a power of two, or below 16. */
  constructor({ hashKey, chunkBytes = CHUNK_BYTES }: TableOptions) {
    if (chunkBytes < 16 || !Number.isInteger(Math.log2(chunkBytes))) {
      throw new RangeError(`"chunkBytes" is ${chunkBytes}, expected a power of two from 16`);
    }
    [this.#k0, this.#k1] = hashKey;
    this.#chunkBytes = chunkBytes;
    this.#offsetBits = Math.log2(chunkBytes / 8);
  }

  /** Number of entries. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of the entries, with their headers and padding. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Bytes of the entries and of the index: what remains when all garbage is reclaimed. */
  get heldBytes(): number {
    return this.#liveBytes + this.#index.bytes;
  }

  /** Bytes that the table takes: chunks, garbage and unused room in them included, and index. */
  get reservedBytes(): number {
    return (this.#chunks.length - 1 - this.#vacantIds.length) * this.#chunkBytes +
      this.#index.bytes;
  }

  /** The position of an entry, valid until the next `set()` or `delete()`; 0 if there is none. */
  find(keyBytes: Uint8Array, start: number, end: number): number {
    const hash = halfSipHash13(this.#k0, this.#k1, keyBytes, start, end);
    const slot = this.#slotOfKey(hash, keyBytes, start, end);
    return slot === NO_SLOT ? 0 : this.#index.tables[TableIndex.tableOf(hash)][slot + 1];
  }

  /**
   * Adds an entry or overwrites its value.
   *
   * @throws {RangeError} The entry is larger than a chunk, or all positions are taken; the table is
   * as before.
   */
  set(
    keyBytes: Uint8Array,
    keyStart: number,
    keyEnd: number,
    valueBytes: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): void {
    const keyLength = keyEnd - keyStart;
    const valueLength = valueEnd - valueStart;
    const bytes = entryBytes(keyLength, valueLength);
    const hash = halfSipHash13(this.#k0, this.#k1, keyBytes, keyStart, keyEnd);
    const slot = this.#slotOfKey(hash, keyBytes, keyStart, keyEnd);
    const pairs = this.#index.tables[TableIndex.tableOf(hash)];
    const old = slot === NO_SLOT ? 0 : pairs[slot + 1];
    const oldBytes = old === 0 ? 0 : this.#chunkOf(old).entryBytes(this.#offsetOf(old));

    const position = oldBytes === bytes ? old : this.#append(bytes);
    const chunk = this.#chunkOf(position);
    const offset = this.#offsetOf(position);
    chunk.words[offset >>> 2] = keyLength;
    chunk.words[(offset >>> 2) + 1] = valueLength;
    const keyAt = offset + HEADER_BYTES;
    copyBytes(valueBytes, valueStart, valueEnd, chunk.bytes, keyAt + keyLength);
    if (position === old) return;

    copyBytes(keyBytes, keyStart, keyEnd, chunk.bytes, keyAt);
    if (old === 0) {
      this.#index.insert(hash, position);
      this.#size++;
    } else {
      pairs[slot + 1] = position;
      this.#discard(old, oldBytes);
    }
    this.#reclaim(Math.max(bytes, oldBytes));
  }

  /**
   * Overwrites the value of the entry at `position`, if the new one takes as much room. Returns
   * whether it did; the position stays valid. Saves the search of {@linkcode set}.
   */
  overwrite(
    position: number,
    valueBytes: Uint8Array,
    valueStart: number,
    valueEnd: number,
  ): boolean {
    const chunk = this.#chunkOf(position);
    const offset = this.#offsetOf(position);
    const keyLength = chunk.words[offset >>> 2];
    const valueLength = valueEnd - valueStart;
    if (entryBytes(keyLength, valueLength) !== chunk.entryBytes(offset)) return false;
    chunk.words[(offset >>> 2) + 1] = valueLength;
    copyBytes(valueBytes, valueStart, valueEnd, chunk.bytes, offset + HEADER_BYTES + keyLength);
    return true;
  }

  /** Whether there was such an entry. */
  delete(keyBytes: Uint8Array, start: number, end: number): boolean {
    const hash = halfSipHash13(this.#k0, this.#k1, keyBytes, start, end);
    const slot = this.#slotOfKey(hash, keyBytes, start, end);
    if (slot === NO_SLOT) return false;

    const position = this.#index.tables[TableIndex.tableOf(hash)][slot + 1];
    const bytes = this.#chunkOf(position).entryBytes(this.#offsetOf(position));
    this.#index.remove(hash, slot);
    this.#size--;
    this.#discard(position, bytes);
    this.#reclaim(bytes);
    return true;
  }

  /** Bytes of the entry at `position`, with header and padding. */
  entryBytes(position: number): number {
    return this.#chunkOf(position).entryBytes(this.#offsetOf(position));
  }

  /** Length in bytes of the value of the entry at `position`. */
  valueLength(position: number): number {
    return this.#chunkOf(position).words[(this.#offsetOf(position) >>> 2) + 1];
  }

  /** The value of the entry at `position` as text; from its byte `from` on it must be UTF-8. */
  valueText(position: number, from = 0): string {
    const { bytes, text } = this.#chunkOf(position);
    const valueStart = this.#valueStart(position, 0, 0);
    const start = valueStart + from;
    const end = valueStart + this.valueLength(position);
    return end - start <= BUFFER_TEXT_BYTES_MAX
      ? text.toString("utf8", start, end)
      : textDecoder.decode(bytes.subarray(start, end));
  }

  /**
   * Copies the value of the entry at `position` to `target` from `offset` and returns its length.
   *
   * @throws {RangeError} The value does not fit there.
   */
  copyValue(position: number, target: Uint8Array, offset: number): number {
    const length = this.valueLength(position);
    if (offset + length > target.length) {
      throw new RangeError(
        `Cannot copy a value of ${length} bytes: target has room for ${target.length - offset}`,
      );
    }
    const start = this.#valueStart(position, 0, 0);
    copyBytes(this.#chunkOf(position).bytes, start, start + length, target, offset);
    return length;
  }

  /**
   * The unsigned little-endian number of 32 bits at byte `offset` of the value.
   *
   * @throws {RangeError} The value ends before it.
   */
  valueUint32(position: number, offset: number): number {
    return this.#chunkOf(position).view.getUint32(this.#valueStart(position, offset, 4), true);
  }

  /**
   * The little-endian floating-point number of 64 bits at byte `offset` of the value.
   *
   * @throws {RangeError} The value ends before it.
   */
  valueFloat64(position: number, offset: number): number {
    return this.#chunkOf(position).view.getFloat64(this.#valueStart(position, offset, 8), true);
  }

  /** All entries, copied, in no order. The table must not change until the last one was taken. */
  *entries(): Generator<TableEntry> {
    for (const packed of this.packedEntries()) {
      const keyEnd = HEADER_BYTES +
        new DataView(packed.buffer, packed.byteOffset).getUint32(0, true);
      yield { key: packed.slice(HEADER_BYTES, keyEnd), value: packed.slice(keyEnd) };
    }
  }

  /**
   * All entries, in no order, each as it stands in the arena: the lengths of key and value, 4 bytes
   * each and little-endian, then key and value. They are views: the table must not change meanwhile.
   */
  *packedEntries(): Generator<Uint8Array> {
    for (const pairs of this.#index.tables) {
      for (let slot = 0; slot < pairs.length; slot += 2) {
        const position = pairs[slot + 1];
        if (position === 0) continue;
        const { bytes, words } = this.#chunkOf(position);
        const offset = this.#offsetOf(position);
        const length = HEADER_BYTES + words[offset >>> 2] + words[(offset >>> 2) + 1];
        yield bytes.subarray(offset, offset + length);
      }
    }
  }

  /**
   * Looks at every pair and every entry, which takes long: for tests and doctors.
   *
   * @throws {Error} An invariant is broken; the message names the values.
   */
  check(): void {
    let size = 0;
    let indexBytes = this.#index.counts.byteLength;
    for (const [table, pairs] of this.#index.tables.entries()) {
      const count = this.#checkSubTable(table, pairs);
      expect(`count of sub-table ${table}`, this.#index.counts[table], count);
      size += count;
      indexBytes += pairs.byteLength;
    }
    expect("size", this.#size, size);
    expect("bytes of the index", this.#index.bytes, indexBytes);

    let used = 0;
    let live = 0;
    let entries = 0;
    for (const chunk of this.#chunks) {
      const met = this.#checkChunk(chunk);
      expect(`live bytes of chunk ${chunk.id}`, chunk.live, met.live);
      used += chunk.used;
      live += met.live;
      entries += met.entries;
    }
    expect("number of entries met", entries, size);
    expect("used bytes", this.#usedBytes, used);
    expect("live bytes", this.#liveBytes, live);

    for (const { id, used } of this.#spareChunks) {
      expect(`used bytes of spare chunk ${id}`, used, 0);
    }
    const vacant = this.#chunks.filter((chunk) => chunk === NO_CHUNK).length - 1;
    expect("vacant chunks", this.#vacantIds.length, vacant);
  }

  /** Checks that each pair is where a search for its key ends, and counts the pairs. */
  #checkSubTable(table: number, pairs: Uint32Array): number {
    let count = 0;
    for (let slot = 0; slot < pairs.length; slot += 2) {
      const position = pairs[slot + 1];
      if (position === 0) continue;
      count++;
      const chunk = this.#chunkOf(position) ?? NO_CHUNK;
      const offset = this.#offsetOf(position);
      checkEnd(chunk, offset);
      const hash = this.#hashOf(chunk, offset);
      expect(`hash at ${position}`, pairs[slot], hash);
      expect(`sub-table of ${position}`, table, TableIndex.tableOf(hash));
      const keyStart = offset + HEADER_BYTES;
      const keyEnd = keyStart + chunk.words[offset >>> 2];
      expect(`slot of ${position}`, slot, this.#slotOfKey(hash, chunk.bytes, keyStart, keyEnd));
    }
    return count;
  }

  /** Checks that entries fill the chunk up to `used`. Counts the live ones and their bytes. */
  #checkChunk(chunk: Chunk): { live: number; entries: number } {
    let live = 0;
    let entries = 0;
    for (let offset = 0; offset < chunk.used;) {
      checkEnd(chunk, offset);
      const bytes = chunk.entryBytes(offset);
      const slot = this.#index.slotOf(this.#hashOf(chunk, offset), this.#positionOf(chunk, offset));
      if (slot !== NO_SLOT) {
        live += bytes;
        entries++;
      }
      offset += bytes;
    }
    return { live, entries };
  }

  #chunkOf(position: number): Chunk {
    return this.#chunks[position >>> this.#offsetBits];
  }

  /** In bytes, within the chunk. */
  #offsetOf(position: number): number {
    return (position << 3) & (this.#chunkBytes - 1);
  }

  /** Where byte `offset` of the value is in its chunk; `length` bytes from there are inside it. */
  #valueStart(position: number, offset: number, length: number): number {
    const { words } = this.#chunkOf(position);
    const at = this.#offsetOf(position);
    const valueLength = words[(at >>> 2) + 1];
    if (offset < 0 || offset + length > valueLength) {
      throw new RangeError(
        `Cannot read ${length} bytes at ${offset} of a value: it has ${valueLength} bytes`,
      );
    }
    return at + HEADER_BYTES + words[at >>> 2] + offset;
  }

  #slotOfKey(hash: number, keyBytes: Uint8Array, start: number, end: number): number {
    const pairs = this.#index.tables[TableIndex.tableOf(hash)];
    const mask = pairs.length - 1;
    for (let slot = hash << 1 & mask; pairs[slot + 1] !== 0; slot = slot + 2 & mask) {
      if (pairs[slot] === hash && this.#hasKey(pairs[slot + 1], keyBytes, start, end)) return slot;
    }
    return NO_SLOT;
  }

  #hasKey(position: number, keyBytes: Uint8Array, start: number, end: number): boolean {
    const { bytes, words } = this.#chunkOf(position);
    const offset = this.#offsetOf(position);
    if (words[offset >>> 2] !== end - start) return false;
    const shift = offset + HEADER_BYTES - start;
    for (let at = start; at < end; at++) {
      if (bytes[at + shift] !== keyBytes[at]) return false;
    }
    return true;
  }

  #hashOf(chunk: Chunk, offset: number): number {
    const keyStart = offset + HEADER_BYTES;
    const keyEnd = keyStart + chunk.words[offset >>> 2];
    return halfSipHash13(this.#k0, this.#k1, chunk.bytes, keyStart, keyEnd);
  }

  #positionOf(chunk: Chunk, offset: number): number {
    return (chunk.id << this.#offsetBits | offset >>> 3) >>> 0;
  }

  /** Room for a new live entry. */
  #append(bytes: number): number {
    if (this.#last.used + bytes > this.#last.bytes.length) this.#last = this.#openChunk(bytes);
    const position = this.#positionOf(this.#last, this.#last.used);
    this.#last.used += bytes;
    this.#last.live += bytes;
    this.#usedBytes += bytes;
    this.#liveBytes += bytes;
    return position;
  }

  #openChunk(bytes: number): Chunk {
    if (bytes > this.#chunkBytes) {
      throw new RangeError(`Entry is ${bytes} bytes, expected at most ${this.#chunkBytes}`);
    }
    const spare = this.#spareChunks.pop();
    if (spare !== undefined) return spare;

    const id = this.#vacantIds.at(-1) ?? this.#chunks.length;
    if (id >= 2 ** (32 - this.#offsetBits)) {
      throw new RangeError(`Table is full: it has ${id} chunks of ${this.#chunkBytes} bytes`);
    }
    // Its memory may be refused: the id is taken after that.
    this.#chunks[id] = new Chunk(id, this.#chunkBytes);
    this.#vacantIds.pop();
    return this.#chunks[id];
  }

  #discard(position: number, bytes: number): void {
    this.#chunkOf(position).live -= bytes;
    this.#liveBytes -= bytes;
  }

  /**
   * Pays for a call that wrote or left behind `bytes`, by walking over that many bytes, times
   * `RECLAIM_FACTOR`, of the victim: a full chunk whose live entries are moved to the last one.
   *
   * Why that keeps ahead: a victim is chosen only while more than a fifth of the bytes in full
   * chunks are garbage, so the one with the fewest live bytes has at most 4/5 of a chunk of them.
   * To walk all of it frees one chunk and fills 4/5: a fifth is gained, while the calls that pay
   * for the walk leave behind an eighth at most. So the used bytes stay within 5/4 of the live
   * bytes and a few chunks: the last one, the victim, and one of garbage too little to begin with.
   *
   * Why it is short: a call walks at most `RECLAIM_ENTRIES_MAX` entries, and at most one chunk and
   * one entry in bytes. What it still owes is left to the next calls. Only calls that leave behind
   * large entries, in chunks that are otherwise full of tiny live ones, can get ahead for a while.
   */
  #reclaim(bytes: number): void {
    this.#owedBytes += RECLAIM_FACTOR * bytes;
    this.#owedBytes = Math.min(this.#owedBytes, this.#chunkBytes);
    for (let walked = 0; this.#owedBytes > 0 && walked < RECLAIM_ENTRIES_MAX; walked++) {
      if (this.#victim === NO_CHUNK) this.#chooseVictim();
      if (this.#victim === NO_CHUNK) {
        this.#owedBytes = 0;
      } else if (this.#victim.live === 0) {
        this.#owedBytes -= this.#victim.used - this.#walkedBytes;
        this.#releaseVictim();
      } else {
        this.#moveNext(this.#victim);
      }
    }
  }

  /** Chooses the full chunk with the fewest live bytes that has garbage, if there is enough. */
  #chooseVictim(): void {
    const full = this.#usedBytes - this.#last.used;
    const garbage = full - (this.#liveBytes - this.#last.live);
    if (garbage < this.#chunkBytes || garbage * 5 <= full) return;
    for (const chunk of this.#chunks) {
      if (chunk === this.#last || chunk.live === chunk.used) continue;
      if (this.#victim === NO_CHUNK || chunk.live < this.#victim.live) this.#victim = chunk;
    }
    this.#walkedBytes = 0;
  }

  /** Walks over one entry and moves it if it is alive. */
  #moveNext(victim: Chunk): void {
    const offset = this.#walkedBytes;
    const bytes = victim.entryBytes(offset);
    const hash = this.#hashOf(victim, offset);
    const old = this.#positionOf(victim, offset);
    const slot = this.#index.slotOf(hash, old);
    if (slot !== NO_SLOT) {
      const position = this.#append(bytes);
      copyBytes(victim.bytes, offset, offset + bytes, this.#last.bytes, this.#offsetOf(position));
      this.#index.tables[TableIndex.tableOf(hash)][slot + 1] = position;
      this.#discard(old, bytes);
    }
    this.#walkedBytes += bytes;
    this.#owedBytes -= bytes;
  }

  #releaseVictim(): void {
    const chunk = this.#victim;
    this.#victim = NO_CHUNK;
    this.#usedBytes -= chunk.used;
    chunk.used = 0;
    if (this.#spareChunks.length < SPARE_CHUNKS_MAX) {
      this.#spareChunks.push(chunk);
    } else {
      this.#chunks[chunk.id] = NO_CHUNK;
      this.#vacantIds.push(chunk.id);
    }
  }
}

/** Bytes that an entry takes, header and padding included. */
export function entryBytes(keyLength: number, valueLength: number): number {
  return (HEADER_BYTES + keyLength + valueLength + 7) & ~7;
}

function copyBytes(
  from: Uint8Array,
  start: number,
  end: number,
  to: Uint8Array,
  offset: number,
): void {
  if (end - start > LOOP_LENGTH_MAX) {
    to.set(from.subarray(start, end), offset);
  } else {
    for (let at = start; at < end; at++) to[offset + at - start] = from[at];
  }
}

/** Throws if the entry at `offset` passes the end of the entries in its chunk. */
function checkEnd(chunk: Chunk, offset: number): void {
  const [keyLength, valueLength] = chunk.words.subarray(offset >>> 2);
  const end = offset + HEADER_BYTES + keyLength + valueLength;
  if (!(end <= chunk.used)) {
    throw new Error(
      `Table is broken: entry at ${offset} of chunk ${chunk.id} ends at ${end}, ` +
        `expected at most ${chunk.used}`,
    );
  }
}

function expect(what: string, actual: number, expected: number): void {
  if (actual !== expected) {
    throw new Error(`Table is broken: ${what} is ${actual}, expected ${expected}`);
  }
}
