/**
 * The index of a {@linkcode Table}: from a hash to the positions of the entries with that hash. It
 * is cut into 1,024 sub-tables with open addressing, each of which grows and shrinks on its own.
 *
 * @module
 */

const SUB_TABLE_BITS = 10;
/** Numbers in the smallest sub-table: 4 pairs. */
const SUB_TABLE_LENGTH_MIN = 8;
/** Returned by a search that finds no slot. */
export const NO_SLOT = -1;

/** Stands for every sub-table to which nothing was ever added, so that a new table is small. */
const UNUSED = new Uint32Array(SUB_TABLE_LENGTH_MIN);

/** The sub-tables. A slot is the place of a pair in its array; a pair of position 0 is empty. */
export class TableIndex {
  readonly tables: Uint32Array[] = new Array(1 << SUB_TABLE_BITS).fill(UNUSED);
  readonly counts = new Uint32Array(1 << SUB_TABLE_BITS);
  bytes = this.counts.byteLength + this.tables.length * SUB_TABLE_LENGTH_MIN * 4;

  static tableOf(hash: number): number {
    return hash >>> (32 - SUB_TABLE_BITS);
  }

  /** The slot of the pair, or `NO_SLOT`. Looks at no entry. */
  slotOf(hash: number, position: number): number {
    const pairs = this.tables[TableIndex.tableOf(hash)];
    const mask = pairs.length - 1;
    for (let slot = hash << 1 & mask; pairs[slot + 1] !== 0; slot = slot + 2 & mask) {
      if (pairs[slot + 1] === position) return slot;
    }
    return NO_SLOT;
  }

  insert(hash: number, position: number): void {
    const table = TableIndex.tableOf(hash);
    if (this.tables[table] === UNUSED) {
      this.tables[table] = new Uint32Array(SUB_TABLE_LENGTH_MIN);
    }
    const count = ++this.counts[table];
    // Pairs are two numbers each: a load of 3/4.
    if (count * 8 > this.tables[table].length * 3) this.#resize(table, 2);
    place(this.tables[table], hash, position);
  }

  remove(hash: number, slot: number): void {
    const table = TableIndex.tableOf(hash);
    const pairs = this.tables[table];
    const mask = pairs.length - 1;
    let hole = slot;
    for (let next = hole + 2 & mask; pairs[next + 1] !== 0; next = next + 2 & mask) {
      // A pair may move back as far as the slot where its search begins.
      const probed = next - (pairs[next] << 1) & mask;
      if (probed < (next - hole & mask)) continue;
      pairs[hole] = pairs[next];
      pairs[hole + 1] = pairs[next + 1];
      hole = next;
    }
    pairs[hole + 1] = 0;

    const count = --this.counts[table];
    if (pairs.length > SUB_TABLE_LENGTH_MIN && count * 16 < pairs.length) this.#resize(table, 0.5);
  }

  #resize(table: number, factor: number): void {
    const pairs = this.tables[table];
    const resized = new Uint32Array(pairs.length * factor);
    for (let slot = 0; slot < pairs.length; slot += 2) {
      if (pairs[slot + 1] !== 0) place(resized, pairs[slot], pairs[slot + 1]);
    }
    this.tables[table] = resized;
    this.bytes += resized.byteLength - pairs.byteLength;
  }
}

/** Puts a pair into the first empty slot of its search. There is one. */
function place(pairs: Uint32Array, hash: number, position: number): void {
  const mask = pairs.length - 1;
  let slot = hash << 1 & mask;
  while (pairs[slot + 1] !== 0) slot = slot + 2 & mask;
  pairs[slot] = hash;
  pairs[slot + 1] = position;
}
