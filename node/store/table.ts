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
 * - Positions, chunks and how garbage is reclaimed: see `arena.ts`. Position 0 means "none".
 * - Each of the 1,024 sub-tables grows and shrinks on its own: the longest rehash is that of about
 *   a thousandth of the keys. A deletion shifts the pairs behind it back; there are no tombstones.
 * - An entry is overwritten in place if its padded size stays. Otherwise a new one is appended and
 *   the old one is garbage.
 *
 * It is not ordered, and not durable: the log is.
 *
 * @module
 */

import type { ByteWriter } from "../../lib/byte_writer.ts";
import { decodeUtf8 } from "../../lib/utf8.ts";
import { Arena, type ArenaOwner, type Chunk, CHUNK_BYTES, NO_REFERENCE } from "./arena.ts";
import { copyBytes } from "./copy_bytes.ts";
import { halfSipHash13 } from "./half_sip_hash.ts";
import { expectEqual } from "./invariant.ts";
import { NO_SLOT, TableIndex } from "./table_index.ts";

const HEADER_BYTES = 8;

export interface TableOptions {
  /** The secret of the hash function: two random numbers of 32 bits. */
  readonly hashKey: readonly [number, number];
  /** Size of a chunk in bytes, a power of two from 16. Smaller ones are of use in tests only. */
  readonly chunkBytes?: number;
}

/**
 * A hash table over an arena. Invariants, which {@linkcode Table.check} checks:
 *
 * - Each pair of the index points at an entry of that hash, and a search for its key ends there.
 * - An entry of the arena is in use if and only if the index points at it.
 *
 * Byte ranges run from a start up to, without, an end. They are never the table's own memory.
 */
export class Table {
  readonly #k0: number;
  readonly #k1: number;
  readonly #index = new TableIndex();
  readonly #arena: Arena;
  #size = 0;

  /** @throws {RangeError} `chunkBytes` is not a power of two, or below 16. */
  constructor({ hashKey, chunkBytes = CHUNK_BYTES }: TableOptions) {
    [this.#k0, this.#k1] = hashKey;
    this.#arena = new Arena(this.#arenaOwner(), chunkBytes);
  }

  #arenaOwner(): ArenaOwner {
    let pairs: Uint32Array;
    return {
      bytesOf: entryBytesAt,
      referenceTo: (chunk, offset, position) => {
        const hash = this.#hashOf(chunk, offset);
        pairs = this.#index.tables[TableIndex.tableOf(hash)];
        const slot = this.#index.slotOf(hash, position);
        return slot === NO_SLOT ? NO_REFERENCE : slot;
      },
      repoint: (slot, position) => pairs[slot + 1] = position,
    };
  }

  /** Number of entries. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of the entries, with their headers and padding. */
  get liveBytes(): number {
    return this.#arena.liveBytes;
  }

  /**
   * Bytes of the entries, of the ends of chunks that are too short for them, and of the index: what
   * remains when all garbage is reclaimed.
   */
  get heldBytes(): number {
    return this.#arena.heldBytes + this.#index.bytes;
  }

  /** Bytes that the table takes: chunks, garbage and unused room in them included, and index. */
  get reservedBytes(): number {
    return this.#arena.reservedBytes + this.#index.bytes;
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
    const oldBytes = old === 0 ? 0 : this.entryBytes(old);

    const position = oldBytes === bytes ? old : this.#arena.append(bytes);
    const chunk = this.#arena.chunkOf(position);
    const offset = this.#arena.offsetOf(position);
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
      this.#arena.discard(old, oldBytes);
    }
    this.#arena.reclaim(Math.max(bytes, oldBytes));
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
    const chunk = this.#arena.chunkOf(position);
    const offset = this.#arena.offsetOf(position);
    const keyLength = chunk.words[offset >>> 2];
    const valueLength = valueEnd - valueStart;
    if (entryBytes(keyLength, valueLength) !== entryBytesAt(chunk, offset)) return false;
    chunk.words[(offset >>> 2) + 1] = valueLength;
    copyBytes(valueBytes, valueStart, valueEnd, chunk.bytes, offset + HEADER_BYTES + keyLength);
    return true;
  }

  /** Deletes an entry. Returns whether there was one. */
  delete(keyBytes: Uint8Array, start: number, end: number): boolean {
    const hash = halfSipHash13(this.#k0, this.#k1, keyBytes, start, end);
    const slot = this.#slotOfKey(hash, keyBytes, start, end);
    if (slot === NO_SLOT) return false;

    const position = this.#index.tables[TableIndex.tableOf(hash)][slot + 1];
    const bytes = this.entryBytes(position);
    this.#index.remove(hash, slot);
    this.#size--;
    this.#arena.discard(position, bytes);
    this.#arena.reclaim(bytes);
    return true;
  }

  /** Bytes of the entry at `position`, with header and padding. */
  entryBytes(position: number): number {
    return entryBytesAt(this.#arena.chunkOf(position), this.#arena.offsetOf(position));
  }

  /** Length in bytes of the value of the entry at `position`. */
  valueLength(position: number): number {
    return this.#arena.chunkOf(position).words[(this.#arena.offsetOf(position) >>> 2) + 1];
  }

  /** The value of the entry at `position`, which must be UTF-8, as text. */
  valueText(position: number): string {
    const start = this.#valueStart(position);
    return decodeUtf8(
      this.#arena.chunkOf(position).bytes,
      start,
      start + this.valueLength(position),
    );
  }

  /**
   * Copies the value of the entry at `position` to `target` from `offset` on.
   *
   * @throws {RangeError} The value does not fit there.
   */
  copyValue(position: number, target: Uint8Array, offset: number): void {
    const length = this.valueLength(position);
    if (offset + length > target.length) {
      throw new RangeError(
        `Cannot copy a value of ${length} bytes: target has room for ${target.length - offset}`,
      );
    }
    const start = this.#valueStart(position);
    copyBytes(this.#arena.chunkOf(position).bytes, start, start + length, target, offset);
  }

  /** Appends the value of the entry at `position` to `writer`. */
  appendValue(position: number, writer: ByteWriter): void {
    const start = this.#valueStart(position);
    writer.bytes(this.#arena.chunkOf(position).bytes, start, start + this.valueLength(position));
  }

  /**
   * The unsigned little-endian number of 32 bits with which the value begins.
   *
   * @throws {RangeError} The value is shorter.
   */
  valueUint32(position: number): number {
    const length = this.valueLength(position);
    if (length < 4) throw new RangeError(`Cannot read 4 bytes of a value: it has ${length} bytes`);
    return this.#arena.chunkOf(position).view.getUint32(this.#valueStart(position), true);
  }

  /**
   * All entries, in no order, each as it stands in the arena: the lengths of key and value, 4 bytes
   * each and little-endian, then key and value. They are views: the table must not change
   * meanwhile.
   */
  *packedEntries(): Generator<Uint8Array> {
    for (const pairs of this.#index.tables) {
      for (let slot = 0; slot < pairs.length; slot += 2) {
        const position = pairs[slot + 1];
        if (position === 0) continue;
        const { bytes, words } = this.#arena.chunkOf(position);
        const offset = this.#arena.offsetOf(position);
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
      expectEqual(`count of sub-table ${table}`, this.#index.counts[table], count);
      size += count;
      indexBytes += pairs.byteLength;
    }
    expectEqual("size", this.#size, size);
    expectEqual("bytes of the index", this.#index.bytes, indexBytes);

    expectEqual("number of entries met", this.#arena.check(), size);
  }

  /** Checks that each pair is where a search for its key ends, and counts the pairs. */
  #checkSubTable(table: number, pairs: Uint32Array): number {
    let count = 0;
    for (let slot = 0; slot < pairs.length; slot += 2) {
      const position = pairs[slot + 1];
      if (position === 0) continue;
      count++;
      const chunk = this.#arena.chunkOf(position);
      const offset = this.#arena.offsetOf(position);
      this.#arena.checkEnd(chunk, offset);
      const hash = this.#hashOf(chunk, offset);
      expectEqual(`hash at ${position}`, pairs[slot], hash);
      expectEqual(`sub-table of ${position}`, table, TableIndex.tableOf(hash));
      const keyStart = offset + HEADER_BYTES;
      const keyEnd = keyStart + chunk.words[offset >>> 2];
      expectEqual(
        `slot of ${position}`,
        slot,
        this.#slotOfKey(hash, chunk.bytes, keyStart, keyEnd),
      );
    }
    return count;
  }

  /** Where the value of the entry at `position` begins in its chunk. */
  #valueStart(position: number): number {
    const offset = this.#arena.offsetOf(position);
    return offset + HEADER_BYTES + this.#arena.chunkOf(position).words[offset >>> 2];
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
    const { bytes, words } = this.#arena.chunkOf(position);
    const offset = this.#arena.offsetOf(position);
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
}

/** Bytes that an entry takes, header and padding included. */
export function entryBytes(keyLength: number, valueLength: number): number {
  return (HEADER_BYTES + keyLength + valueLength + 7) & ~7;
}

function entryBytesAt({ words }: Chunk, offset: number): number {
  return entryBytes(words[offset >>> 2], words[(offset >>> 2) + 1]);
}
