import { assert, assertEquals, assertLess, assertNotEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ByteWriter } from "../../../lib/byte_writer.ts";
import { decodeUtf8 } from "../../../lib/utf8.ts";
import { halfSipHash13 } from "../../../node/store/half_sip_hash.ts";
import { CHUNK_BYTES, SLACK_CHUNKS_MAX, USED_PER_LIVE_MAX } from "../../../node/store/arena.ts";
import { Table } from "../../../node/store/table.ts";

const HASH_KEY = [0x01234567, 0x89abcdef] as const;
const SMALL_CHUNK_BYTES = 1024;
/** Header of an entry. */
const HEADER_BYTES = 8;

const encoder = new TextEncoder();

function newTable(chunkBytes?: number): Table {
  return new Table({ hashKey: HASH_KEY, chunkBytes });
}

// A range inside a larger array, so that reading outside of it is found out.
function padded(bytes: Uint8Array): Uint8Array {
  const array = new Uint8Array(bytes.length + 8).fill(0xee);
  array.set(bytes, 3);
  return array;
}

function toBytes(data: string | Uint8Array): Uint8Array {
  return typeof data === "string" ? encoder.encode(data) : data;
}

function set(table: Table, key: string | Uint8Array, value: string | Uint8Array): void {
  const [keyBytes, valueBytes] = [toBytes(key), toBytes(value)];
  const [keyEnd, valueEnd] = [3 + keyBytes.length, 3 + valueBytes.length];
  table.set(padded(keyBytes), 3, keyEnd, padded(valueBytes), 3, valueEnd);
}

function find(table: Table, key: string | Uint8Array): number {
  const bytes = toBytes(key);
  return table.find(padded(bytes), 3, 3 + bytes.length);
}

function remove(table: Table, key: string | Uint8Array): boolean {
  const bytes = toBytes(key);
  return table.delete(padded(bytes), 3, 3 + bytes.length);
}

function text(table: Table, key: string): string | null {
  const position = find(table, key);
  return position === 0 ? null : table.valueText(position);
}

/** All keys and values, which must be text. */
function contents(table: Table): Map<string, string> {
  const entries = new Map<string, string>();
  for (const packed of table.packedEntries()) {
    const keyLength = new DataView(packed.buffer, packed.byteOffset).getUint32(0, true);
    const keyEnd = HEADER_BYTES + keyLength;
    entries.set(decodeUtf8(packed, HEADER_BYTES, keyEnd), decodeUtf8(packed, keyEnd));
  }
  return entries;
}

/** Random whole numbers below `limit`, the same in every run. */
function randomFrom(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}

/** Keys that a table with `HASH_KEY` puts into its first sub-table. */
function collidingKeys(count: number): string[] {
  const keys: string[] = [];
  for (let number = 0; keys.length < count; number++) {
    const bytes = encoder.encode(`${number}`);
    if (halfSipHash13(...HASH_KEY, bytes, 0, bytes.length) >>> 22 === 0) keys.push(`${number}`);
  }
  return keys;
}

Deno.test("Table finds what was set, and nothing else", () => {
  const table = newTable();
  assertEquals(table.size, 0);
  assertEquals(find(table, "a"), 0);
  set(table, "a", "one");
  set(table, "b", "two");
  assertEquals(table.size, 2);
  assertEquals(text(table, "a"), "one");
  assertEquals(text(table, "b"), "two");
  assertEquals(find(table, "c"), 0);
  assertEquals(remove(table, "a"), true);
  assertEquals(remove(table, "a"), false);
  assertEquals(contents(table), new Map([["b", "two"]]));
  table.check();
});

Deno.test("Table behaves as a Map under random operations", () => {
  const key = fc.nat({ max: 60 }).map((number) => `key ${number}`);
  const size = fc.oneof({ weight: 5, arbitrary: fc.nat({ max: 40 }) }, fc.nat({ max: 700 }));
  const operation = fc.oneof(
    { weight: 3, arbitrary: fc.record({ key, size, fill: fc.nat({ max: 9 }) }) },
    { weight: 1, arbitrary: fc.record({ key }) },
  );
  fc.assert(
    fc.property(
      fc.array(operation, { minLength: 1, maxLength: 500, size: "max" }),
      (operations) => {
        const table = newTable(SMALL_CHUNK_BYTES);
        const model = new Map<string, string>();
        for (const operation of operations) {
          if ("size" in operation) {
            const value = `${operation.fill}`.repeat(operation.size);
            set(table, operation.key, value);
            model.set(operation.key, value);
          } else {
            assertEquals(remove(table, operation.key), model.delete(operation.key));
          }
          assertEquals(text(table, operation.key), model.get(operation.key) ?? null);
        }
        table.check();
        assertEquals(table.size, model.size);
        assertEquals(contents(table), model);
      },
    ),
    { numRuns: 60 },
  );
});

Deno.test("Table grows to 100,000 entries and shrinks back", () => {
  const table = newTable(16 * SMALL_CHUNK_BYTES);
  const emptyBytes = table.reservedBytes;
  for (let number = 0; number < 100_000; number++) set(table, `key ${number}`, `value ${number}`);
  table.check();
  assertEquals(table.size, 100_000);
  for (let number = 0; number < 100_000; number += 997) {
    assertEquals(text(table, `key ${number}`), `value ${number}`);
  }

  for (let number = 0; number < 100_000; number++) assert(remove(table, `key ${number}`));
  table.check();
  assertEquals([table.size, table.liveBytes], [0, 0]);
  // What may be left: the chunk being written, spare ones, and garbage below the threshold.
  assertLess(table.reservedBytes, emptyBytes + 6 * 16 * SMALL_CHUNK_BYTES);
});

Deno.test("Table.set() overwrites in place when the padded size is the same", () => {
  const table = newTable();
  set(table, "key", "12345");
  const position = find(table, "key");
  set(table, "key", "123");
  assertEquals(find(table, "key"), position);
  assertEquals(text(table, "key"), "123");
  set(table, "key", "123456");
  assertNotEquals(find(table, "key"), position);
  assertEquals(text(table, "key"), "123456");
  assertEquals(table.liveBytes, 24);
  table.check();
});

Deno.test("Table.liveBytes counts headers and padding, reservedBytes chunks and index", () => {
  const table = newTable(SMALL_CHUNK_BYTES);
  const indexBytes = table.reservedBytes;
  set(table, "k", "");
  assertEquals(table.liveBytes, 16);
  assertEquals(table.reservedBytes, indexBytes + SMALL_CHUNK_BYTES);
  set(table, "l", "x".repeat(SMALL_CHUNK_BYTES - HEADER_BYTES - 1));
  assertEquals(table.liveBytes, 16 + SMALL_CHUNK_BYTES);
  assertEquals(table.reservedBytes, indexBytes + 2 * SMALL_CHUNK_BYTES);
  remove(table, "k");
  assertEquals(table.liveBytes, SMALL_CHUNK_BYTES);
  table.check();
});

Deno.test("Table keeps memory bounded under a million overwrites of changing sizes", () => {
  const table = newTable(64 * 1024);
  const random = randomFrom(1);
  const key = new Uint8Array(4);
  const value = new Uint8Array(200);
  for (let write = 0; write < 1_000_000; write++) {
    new DataView(key.buffer).setUint32(0, random(20_000));
    table.set(key, 0, key.length, value, 0, random(200));
    if (write < 100_000 || write % 100 !== 0) continue;
    // 5/4 of the live bytes and some chunks; beside them the index, at 8 bytes and load 3/8 to 3/4.
    const bound = table.liveBytes * 5 / 4 + 6 * 64 * 1024 + table.size * 8 * 8 / 3;
    assertLess(table.reservedBytes, bound);
  }
  table.check();
});

Deno.test("Table keeps memory bounded when large and tiny entries come and go", () => {
  const table = newTable();
  const random = randomFrom(2);
  const value = new Uint8Array(1.2 * 1024 * 1024);
  for (let write = 0; write < 3000; write++) {
    const large = write % 8 === 0;
    const bytes = large ? 1024 * 1024 + random(100_000) : random(100);
    const key = encoder.encode(`${large} ${random(20)}`);
    table.set(key, 0, key.length, value, 0, bytes);
  }
  // Three such values fill a chunk; the 20 take 7 chunks at best.
  assertLess(table.reservedBytes, 2.5 * table.liveBytes);
  table.check();
});

Deno.test("Table.heldBytes counts the ends of chunks that no entry fits, until they are free", () => {
  const chunkBytes = 16 * 1024;
  for (const [share, perChunk] of [[0.24, 4], [0.27, 3]]) {
    const table = newTable(chunkBytes);
    const random = randomFrom(5);
    const emptyBytes = table.heldBytes;
    const value = new Uint8Array(chunkBytes);
    const write = () => {
      const key = encoder.encode(`${random(200)}`.padStart(3));
      table.set(key, 0, key.length, value, 0, chunkBytes * share - 50 + random(40) | 0);
    };
    for (let writes = 0; writes < 4000; writes++) {
      write();
      const bound = table.heldBytes * USED_PER_LIVE_MAX + SLACK_CHUNKS_MAX * chunkBytes;
      assertLess(table.reservedBytes, bound, `${perChunk} a chunk`);
    }
    const bestBytes = table.size / perChunk * chunkBytes;
    assertLess(Math.abs((table.heldBytes - emptyBytes) / bestBytes - 1), 0.1);
    for (const key of contents(table).keys()) remove(table, key);
    assertEquals(table.liveBytes, 0);
    assertLess(table.heldBytes, 2 * emptyBytes);
    table.check();
  }
});

Deno.test("Table keeps memory bounded when large entries among thousands of tiny ones go", () => {
  const table = newTable();
  const number = new DataView(new ArrayBuffer(8));
  const key = new Uint8Array(number.buffer);
  const value = new Uint8Array(1024 * 1024);
  const set = (id: number, length: number) => {
    number.setFloat64(0, id);
    table.set(key, 0, key.length, value, 0, length);
  };
  const chunks = 30;
  for (let chunk = 0; chunk < chunks; chunk++) {
    for (let i = 0; i < 3; i++) set(-1 - 3 * chunk - i, 1_048_000);
    for (let i = 0; i < 40_000; i++) set(chunk * 40_000 + i, 8);
  }
  for (let large = 1; large <= 3 * chunks; large++) {
    set(-large, 1_047_000);
    const bound = table.heldBytes * USED_PER_LIVE_MAX + SLACK_CHUNKS_MAX * CHUNK_BYTES;
    assertLess(table.reservedBytes, bound);
  }
  table.check();
});

Deno.test("Table gives back the memory of entries that were deleted in random order", () => {
  const table = newTable(SMALL_CHUNK_BYTES);
  const random = randomFrom(3);
  const numbers = Array.from({ length: 5000 }, (_, number) => number);
  for (const number of numbers) set(table, `${number}`, "x".repeat(number % 50));
  const fullBytes = table.reservedBytes;
  while (numbers.length > 50) {
    const [number] = numbers.splice(random(numbers.length), 1);
    assert(remove(table, `${number}`));
  }
  table.check();
  assertEquals(
    contents(table),
    new Map(numbers.map((number) => [`${number}`, "x".repeat(number % 50)])),
  );
  assertLess(table.reservedBytes, fullBytes / 2);
});

Deno.test("Table holds empty values and the empty key", () => {
  const table = newTable();
  set(table, "", "");
  set(table, "k", "");
  assertEquals(text(table, ""), "");
  assertEquals(text(table, "k"), "");
  assertEquals(table.valueLength(find(table, "k")), 0);
  table.copyValue(find(table, "k"), new Uint8Array(0), 0);
  table.check();
});

Deno.test("Table holds a key of 65,536 bytes and a value of 1 MiB", () => {
  const table = newTable();
  const key = "k".repeat(65_535);
  const value = "0123456789abcdef".repeat(65_536);
  set(table, `${key}1`, value);
  set(table, `${key}2`, "short");
  assertEquals(text(table, `${key}1`), value);
  assertEquals(text(table, `${key}2`), "short");
  assertEquals(find(table, `${key}3`), 0);
  assertEquals(find(table, key), 0);
  table.check();
});

Deno.test("Table.valueText() decodes any UTF-8, short or long", () => {
  const table = newTable();
  const samples = [
    "",
    "ascii",
    "é",
    "漢字",
    "🦕",
    "\ufeffmark kept",
    "nul \0 inside",
    "\u{10ffff}",
  ];
  for (const sample of samples) {
    for (const copies of [1, 7, 40, 1000]) {
      const value = sample.repeat(copies);
      set(table, `key of ${value}`.slice(0, 20), value);
      assertEquals(text(table, `key of ${value}`.slice(0, 20)), value);
    }
  }
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 400 }), (value) => {
      set(table, "random", value);
      assertEquals(text(table, "random"), value);
    }),
    { numRuns: 200 },
  );
  table.check();
});

Deno.test("Table.copyValue() writes the value and not a byte beside it", () => {
  const table = newTable();
  for (const length of [0, 1, 7, 64, 128, 129, 5000]) {
    const value = Uint8Array.from({ length }, (_, index) => index * 7);
    set(table, "key", value);
    const target = new Uint8Array(length + 4).fill(0xee);
    table.copyValue(find(table, "key"), target, 2);
    assertEquals(target.subarray(2, 2 + length), value);
    assertEquals([target[0], target[1], target.at(-2), target.at(-1)], [0xee, 0xee, 0xee, 0xee]);
  }
  const error = assertThrows(
    () => table.copyValue(find(table, "key"), new Uint8Array(5001), 2),
    RangeError,
  );
  assertEquals(error.message, "Cannot copy a value of 5000 bytes: target has room for 4999");
});

Deno.test("Table.appendValue() adds the value and not a byte beside it", () => {
  const table = newTable();
  const writer = new ByteWriter(1);
  for (const length of [0, 1, 7, 128, 129, 5000]) {
    const value = Uint8Array.from({ length }, (_, index) => index * 7);
    set(table, "key", value);
    writer.clear();
    writer.uint8(0xee);
    table.appendValue(find(table, "key"), writer);
    assertEquals(writer.written(), Uint8Array.of(0xee, ...value));
  }
});

Deno.test("Table.valueUint32() reads a little-endian number at any alignment", () => {
  const table = newTable();
  const value = new DataView(new ArrayBuffer(15));
  value.setUint32(0, 0xfedcba98, true);
  for (const key of ["1", "22", "333", "4444"]) {
    set(table, key, new Uint8Array(value.buffer));
    assertEquals(table.valueUint32(find(table, key)), 0xfedcba98);
  }
  set(table, "short", "abc");
  const position = find(table, "short");
  assertThrows(() => table.valueUint32(position), RangeError, "it has 3 bytes");
});

Deno.test("Table.packedEntries() has each entry once, as lengths, key and value", () => {
  const table = new Table({ hashKey: [1, 2] });
  const encode = (text: string) => new TextEncoder().encode(text);
  for (const [key, value] of [["k", "first"], ["key", ""], ["k", "v"]]) {
    table.set(encode(key), 0, key.length, encode(value), 0, value.length);
  }
  assertEquals(Array.from(table.packedEntries(), (entry) => entry.toHex()).sort(), [
    "01000000" + "01000000" + "6b" + "76",
    "03000000" + "00000000" + "6b6579",
  ]);
});

Deno.test("Table keeps 500 keys of one sub-table apart", () => {
  const table = newTable();
  const keys = collidingKeys(500);
  for (const key of keys) set(table, key, `value ${key}`);
  table.check();
  for (const key of keys) assertEquals(text(table, key), `value ${key}`);

  // Every deletion in the middle of a cluster has to leave the keys behind it within reach.
  const random = randomFrom(4);
  while (keys.length > 0) {
    const [key] = keys.splice(random(keys.length), 1);
    assert(remove(table, key));
    if (keys.length % 100 === 0) table.check();
  }
  assertEquals(table.size, 0);
});

Deno.test("Table keeps two keys of the same hash apart", () => {
  // Found by trying: all 32 bits are equal under HASH_KEY.
  const [one, other] = ["key 178112", "key 221646"];
  const [hash, otherHash] = [one, other].map((key) =>
    halfSipHash13(...HASH_KEY, encoder.encode(key), 0, key.length)
  );
  assertEquals(hash, otherHash);

  const table = newTable();
  set(table, one, "one");
  assertEquals(find(table, other), 0);
  assertEquals(remove(table, other), false);
  set(table, other, "other");
  assertEquals([text(table, one), text(table, other)], ["one", "other"]);
  table.check();
  assert(remove(table, one));
  assertEquals([text(table, one), text(table, other)], [null, "other"]);
  table.check();
});

Deno.test("Table.set() refuses an entry larger than a chunk and stays as it was", () => {
  const table = newTable();
  set(table, "key", "value");
  const value = new Uint8Array(CHUNK_BYTES - HEADER_BYTES - 2);
  const error = assertThrows(() => set(table, "key", value), RangeError);
  assertEquals(error.message, "Entry is 4194312 bytes, expected at most 4194304");
  assertEquals(text(table, "key"), "value");
  table.check();
  set(table, "key", value.subarray(1));
  assertEquals(table.valueLength(find(table, "key")), value.length - 1);
  table.check();
});

Deno.test("Table refuses chunks of a size that is not a power of two", () => {
  for (const chunkBytes of [0, 8, 1000, -1024, NaN, 16.5]) {
    assertThrows(() => newTable(chunkBytes), RangeError, `"chunkBytes" is ${chunkBytes}`);
  }
});

/** Runs `build` and returns with its table the memory of the arena, which it does not show. */
function exposed(build: () => Table): { table: Table; chunks: ArrayBuffer[] } {
  const chunks: ArrayBuffer[] = [];
  const original = globalThis.ArrayBuffer;
  globalThis.ArrayBuffer = class extends original {
    constructor(bytes: number) {
      super(bytes);
      chunks.push(this);
    }
  } as ArrayBufferConstructor;
  try {
    return { table: build(), chunks };
  } finally {
    globalThis.ArrayBuffer = original;
  }
}

Deno.test("Table.check() detects every flipped bit in the header or the key of an entry", () => {
  const { table, chunks } = exposed(() => {
    const table = newTable(SMALL_CHUNK_BYTES);
    set(table, "first", "1");
    set(table, "second", "2");
    return table;
  });
  table.check();
  assertEquals(chunks.length, 1);
  const bytes = new Uint8Array(chunks[0]);
  // 8 bytes of header and the key; a flip within the padded size of the value changes its length
  // only, which nothing else records.
  for (let bit = 0; bit < 8 * (HEADER_BYTES + "first".length); bit++) {
    if (bit >= 32 && bit < 35) continue;
    bytes[bit >> 3] ^= 1 << (bit & 7);
    assertThrows(() => table.check(), Error, "Broken invariant: ", `bit ${bit} is flipped`);
    bytes[bit >> 3] ^= 1 << (bit & 7);
  }
  table.check();
});

Deno.test("Table.check() detects a lost entry", () => {
  const original = globalThis.Uint32Array;
  const arrays: Uint32Array[] = [];
  globalThis.Uint32Array = class extends original {
    constructor(length: number) {
      super(length);
      arrays.push(this);
    }
  } as unknown as Uint32ArrayConstructor;
  const table = newTable();
  set(table, "key", "value");
  globalThis.Uint32Array = original;

  table.check();
  const pairs = arrays.find((array) => array.length === 8 && array.some((number) => number !== 0));
  assert(pairs !== undefined);
  pairs.fill(0);
  assertThrows(() => table.check(), Error, "count of sub-table");
});
