/**
 * Memory for entries of any size outside the V8 heap, where the garbage collector would walk over
 * them: chunks of 4 MiB, to which entries are appended. An entry that is no longer in use is
 * garbage, which later calls reclaim in small steps: see {@linkcode Arena.reclaim}.
 *
 * The owner of an arena knows where its entries are, how large they are and which are in use. A
 * position counts units of 8 bytes over all chunks, so 32 bits reach 32 GiB. Chunk 0 has no memory,
 * so the positions in it are free to mean something else, 0 above all "none".
 *
 * An entry never spans chunks: the end of one that was too short for the next entry stays unused.
 * Entries of 1 MiB, the largest that a command makes, leave a quarter of each chunk unused. That is
 * no garbage, since moving them would leave it again, but {@linkcode Arena.heldBytes} counts it.
 *
 * @module
 */

import { copyBytes } from "./copy_bytes.ts";
import { expectEqual } from "./invariant.ts";

/** Size of a chunk of an arena, and of the largest entry, in bytes. */
export const CHUNK_BYTES = 4 * 1024 * 1024;

/** Empty chunks that keep their memory, ready for the next entries. */
const SPARE_CHUNKS_MAX = 2;
/** Bytes that a call walks for each byte that it wrote or left behind; why, see `reclaim()`. */
const RECLAIM_FACTOR = 8;
/** Entries that one call walks, as a rule: half a millisecond's work, each being a cache miss. */
const RECLAIM_ENTRIES_MAX = 1024;

// What an arena reserves at worst, beside what its owner counts; `reclaim()` says why.

/** Used bytes for each live one, in full chunks. */
export const USED_PER_LIVE_MAX = 4 / 3;
/** Bytes of full chunks for each used one: at worst entries of 1 MiB leave a quarter unused. */
export const RESERVED_PER_USED_MAX = 4 / 3;
/**
 * Chunks beside those: the one that is written to, the one that is emptied, two of garbage too
 * little to hurry, two spare ones, and one for what an owner counts only after it was added.
 */
export const SLACK_CHUNKS_MAX = 7;

/** What {@linkcode ArenaOwner.referenceTo} returns for an entry that is not in use. */
export const NO_REFERENCE = -1;

/** One piece of an arena: entries from the start to `used`, dead or alive, then unused room. */
export class Chunk {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  readonly view: DataView;
  used = 0;
  /** Bytes of the entries that are in use. */
  live = 0;

  constructor(readonly id: number, size: number) {
    const memory = new ArrayBuffer(size);
    this.bytes = new Uint8Array(memory);
    this.words = new Uint32Array(memory);
    this.view = new DataView(memory);
  }
}

/** Stands where a chunk has no memory. Every attempt to append to it opens another. */
const NO_CHUNK = new Chunk(0, 0);

/** What an arena asks its owner. Offsets are in bytes, within the chunk. */
export interface ArenaOwner {
  /** Bytes of the entry at `offset`, a multiple of 8, as it was appended. */
  bytesOf(chunk: Chunk, offset: number): number;
  /** What refers to the entry at `offset`, which is `position`; `NO_REFERENCE` if nothing does. */
  referenceTo(chunk: Chunk, offset: number, position: number): number;
  /** Lets the reference that was found last refer to `position`, to which its entry was moved. */
  repoint(reference: number, position: number): void;
}

/**
 * Entries in chunks. Invariants, which {@linkcode Arena.check} checks: entries fill each chunk up to
 * `used`; its `live` and the sums over all chunks count those that the owner uses.
 */
export class Arena {
  readonly #owner: ArenaOwner;
  readonly #chunkBytes: number;
  /** A position is the id of a chunk above this many bits of offset, in units of 8 bytes. */
  readonly #offsetBits: number;

  /** Chunks by id. An id without memory has `NO_CHUNK`, and is in `#vacantIds` unless it is 0. */
  readonly #chunks: Chunk[] = [NO_CHUNK];
  readonly #vacantIds: number[] = [];
  readonly #spareChunks: Chunk[] = [];
  /** Where entries are appended. All other chunks are spare or full. */
  #last = NO_CHUNK;
  #usedBytes = 0;
  #liveBytes = 0;

  /** The chunk that is being emptied, or `NO_CHUNK`. */
  #victim = NO_CHUNK;
  /** Bytes of the victim that were walked over, and bytes that are still to be. */
  #walkedBytes = 0;
  #owedBytes = 0;

  /**
   * @param chunkBytes Size of a chunk in bytes, a power of two from 16.
   * @throws {RangeError} It is not a power of two, or below 16.
   */
  constructor(owner: ArenaOwner, chunkBytes: number) {
    if (chunkBytes < 16 || !Number.isInteger(Math.log2(chunkBytes))) {
      throw new RangeError(`"chunkBytes" is ${chunkBytes}, expected a power of two from 16`);
    }
    this.#owner = owner;
    this.#chunkBytes = chunkBytes;
    this.#offsetBits = Math.log2(chunkBytes / 8);
  }

  /** Bytes of the entries that are in use. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /**
   * Bytes of the entries that are in use and, in proportion, of the ends of chunks that stay unused
   * with them: what remains when all garbage is reclaimed.
   */
  get heldBytes(): number {
    const used = this.#usedBytes - this.#last.used;
    if (used === 0) return this.#liveBytes;
    const spare = this.#spareChunks.length * this.#chunkBytes;
    const full = this.reservedBytes - spare - this.#last.bytes.length;
    return Math.ceil(this.#liveBytes * (full / used));
  }

  /** Bytes that the arena takes: garbage and unused room included. */
  get reservedBytes(): number {
    return (this.#chunks.length - 1 - this.#vacantIds.length) * this.#chunkBytes;
  }

  /** The chunk in which the entry at `position` is. */
  chunkOf(position: number): Chunk {
    return this.#chunks[position >>> this.#offsetBits];
  }

  /** Where the entry at `position` begins in its chunk, in bytes. */
  offsetOf(position: number): number {
    return (position << 3) & (this.#chunkBytes - 1);
  }

  #positionOf(chunk: Chunk, offset: number): number {
    return (chunk.id << this.#offsetBits | offset >>> 3) >>> 0;
  }

  /**
   * Room for a new entry of `bytes` bytes, a multiple of 8: its position. To be filled, and
   * referred to, before the next call of `reclaim()`.
   *
   * @throws {RangeError} It is larger than a chunk, or all positions are taken. Nothing changed.
   */
  append(bytes: number): number {
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
      throw new RangeError(`Arena is full: it has ${id} chunks of ${this.#chunkBytes} bytes`);
    }
    // Its memory may be refused: the id is taken after that.
    this.#chunks[id] = new Chunk(id, this.#chunkBytes);
    this.#vacantIds.pop();
    return this.#chunks[id];
  }

  /** Makes the entry at `position` garbage. */
  discard(position: number, bytes: number): void {
    this.chunkOf(position).live -= bytes;
    this.#liveBytes -= bytes;
  }

  /**
   * Pays for a call that wrote or left behind `bytes`, by walking over that many bytes, times
   * `RECLAIM_FACTOR`, of the victim: a full chunk whose live entries are moved to the last one.
   *
   * Why that keeps ahead: a victim is chosen only while more than a fifth of the bytes in full
   * chunks are garbage, and of the chunk with the largest share of it that is a fifth at least. To
   * walk it gains that fifth, while the calls that pay for the walk leave behind an eighth. So the
   * used bytes stay within 5/4 of the live bytes and a few chunks: the last one, the victim, and
   * two of garbage too little to begin with or to hurry.
   *
   * Why it is short: a call walks at most `RECLAIM_ENTRIES_MAX` entries, and at most one chunk and
   * one entry in bytes. What it still owes is left to the next calls. Two kinds of calls get ahead
   * of that. One that leaves behind more than an eighth of a chunk pays for a chunk only; if it
   * leaves a quarter of one, as the largest entries do, that suffices once a quarter is garbage.
   * And one that leaves behind a large entry may meet thousands of tiny ones: when the garbage has
   * passed 2/9 and two chunks, the bound on entries is lifted, which may take tens of milliseconds.
   * So the used bytes never pass 4/3 of the live bytes (`USED_PER_LIVE_MAX`) and those few chunks.
   */
  reclaim(bytes: number): void {
    this.#owedBytes += RECLAIM_FACTOR * bytes;
    this.#owedBytes = Math.min(this.#owedBytes, this.#chunkBytes);
    const entriesMax = this.#hasGarbage(2, 2 / 9) ? Infinity : RECLAIM_ENTRIES_MAX;
    for (let walked = 0; this.#owedBytes > 0 && walked < entriesMax; walked++) {
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

  /** Whether the garbage in full chunks fills `chunks` of them, and is more than `share` of it. */
  #hasGarbage(chunks: number, share: number): boolean {
    const full = this.#usedBytes - this.#last.used;
    const garbage = full - (this.#liveBytes - this.#last.live);
    return garbage >= chunks * this.#chunkBytes && garbage > full * share;
  }

  /** Chooses the full chunk with the largest share of garbage, if there is enough. */
  #chooseVictim(): void {
    if (!this.#hasGarbage(1, 1 / 5)) return;
    for (const chunk of this.#chunks) {
      if (chunk === this.#last || chunk.live === chunk.used) continue;
      const isBetter = chunk.live * this.#victim.used < this.#victim.live * chunk.used;
      if (this.#victim === NO_CHUNK || isBetter) this.#victim = chunk;
    }
    this.#walkedBytes = 0;
  }

  /** Walks over one entry and moves it if it is in use. */
  #moveNext(victim: Chunk): void {
    const offset = this.#walkedBytes;
    const bytes = this.#owner.bytesOf(victim, offset);
    const old = this.#positionOf(victim, offset);
    const reference = this.#owner.referenceTo(victim, offset, old);
    if (reference !== NO_REFERENCE) {
      const position = this.append(bytes);
      copyBytes(victim.bytes, offset, offset + bytes, this.#last.bytes, this.offsetOf(position));
      this.#owner.repoint(reference, position);
      this.discard(old, bytes);
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

  /**
   * Looks at every entry, which takes long: for tests and doctors. Returns how many are in use.
   *
   * @throws {Error} An invariant is broken; the message names the values.
   */
  check(): number {
    let used = 0;
    let live = 0;
    let entries = 0;
    for (const chunk of this.#chunks) {
      const met = this.#checkChunk(chunk);
      expectEqual(`live bytes of chunk ${chunk.id}`, chunk.live, met.live);
      used += chunk.used;
      live += met.live;
      entries += met.entries;
    }
    expectEqual("used bytes", this.#usedBytes, used);
    expectEqual("live bytes", this.#liveBytes, live);
    for (const { id, used } of this.#spareChunks) {
      expectEqual(`used bytes of spare chunk ${id}`, used, 0);
    }
    const vacant = this.#chunks.filter((chunk) => chunk === NO_CHUNK).length - 1;
    expectEqual("vacant chunks", this.#vacantIds.length, vacant);
    return entries;
  }

  /** Checks that entries fill the chunk up to `used`. Counts those in use, and their bytes. */
  #checkChunk(chunk: Chunk): { live: number; entries: number } {
    let live = 0;
    let entries = 0;
    for (let offset = 0; offset < chunk.used;) {
      this.checkEnd(chunk, offset);
      const bytes = this.#owner.bytesOf(chunk, offset);
      const position = this.#positionOf(chunk, offset);
      if (this.#owner.referenceTo(chunk, offset, position) !== NO_REFERENCE) {
        live += bytes;
        entries++;
      }
      offset += bytes;
    }
    return { live, entries };
  }

  /** @throws {Error} The entry at `offset` passes the end of the entries in its chunk. */
  checkEnd(chunk: Chunk, offset: number): void {
    const end = offset + this.#owner.bytesOf(chunk, offset);
    if (!(end > offset && end <= chunk.used)) {
      throw new Error(
        `Broken invariant: entry at ${offset} of chunk ${chunk.id} ends at ${end}, ` +
          `expected at most ${chunk.used}`,
      );
    }
  }
}
