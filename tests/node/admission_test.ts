import { assert, assertEquals, assertLessOrEqual, assertRejects } from "@std/assert";
import * as fc from "fast-check";
import { MEMORY_BYTES_MAX, MEMORY_BYTES_MIN } from "../../lib/limits.ts";
import { CommandKind, InsufficientStorageError, Outcome } from "../../lib/key_value.ts";
import { defaultMemoryBytes, storeBytesMax } from "../../node/admission.ts";
import { CHUNK_BYTES, RESERVED_PER_USED_MAX, USED_PER_LIVE_MAX } from "../../node/store/arena.ts";
import type { Node } from "../../node/node.ts";
import { linkTo, MemoryNode } from "../memory_cluster.ts";

const BOUND = 200_000;
const VALUE = "v".repeat(1000);

/** Writes of one client to a node that may hold {@linkcode BOUND} bytes. */
class Writer {
  readonly memory = new MemoryNode("n1");
  seq = 0;

  static async start(storeBytesMax = BOUND): Promise<Writer> {
    const writer = new Writer();
    await writer.memory.start({ storeBytesMax });
    return writer;
  }

  get node(): Node {
    return this.memory.node;
  }

  put(key: string, value: string, seq = ++this.seq) {
    return this.node.write({ kind: CommandKind.put, client: "c", seq, key, value });
  }

  delete(key: string) {
    const seq = ++this.seq;
    return this.node.write({ kind: CommandKind.delete, client: "c", seq, key, value: "" });
  }

  /** Puts new keys until there is no room for another. Returns how many there are. */
  async fill(value = VALUE, prefix = "k"): Promise<number> {
    for (let count = 0;; count++) {
      const refused = await this.put(`${prefix}${count}`, value).then(() => false, isFull);
      if (refused) return count;
    }
  }
}

function isFull(error: unknown): true {
  if (error instanceof InsufficientStorageError) return true;
  throw error;
}

Deno.test("Node whose memory is full refuses what grows, says why, and logs nothing", async () => {
  const writer = await Writer.start();
  const count = await writer.fill();
  const { lastIndex } = writer.node;
  const error = await assertRejects(
    () => writer.put("one more", VALUE),
    InsufficientStorageError,
  );
  const { store_held_bytes: held } = writer.node.metrics();
  assertEquals(
    error.message,
    `Memory is full: the store holds ${held} bytes and this write adds 1016, ` +
      `expected at most ${BOUND}; it was not applied, and may be sent again after keys were ` +
      `deleted or the node was started with more --memory-max`,
  );
  await assertRejects(() => writer.put("k0", VALUE + VALUE), InsufficientStorageError);
  assertEquals(writer.node.lastIndex, lastIndex);
  assertEquals(writer.node.keys, count);
  assertEquals(writer.node.metrics().refused_memory_full_total, 3);
  assert(held <= BOUND && held > BOUND - 2000, `${held} held`);
});

Deno.test("Node whose memory is full reads, deletes, overwrites, and answers again", async () => {
  const writer = await Writer.start();
  const count = await writer.fill() + await writer.fill("", "small");
  assertEquals(await writer.node.get("k7"), VALUE);
  const same = await writer.put("k7", VALUE.replaceAll("v", "w"));
  assertEquals([same.outcome, same.prevValue], [Outcome.applied, VALUE]);
  assertEquals((await writer.put("k8", "")).prevValue, VALUE);
  // What was freed is there to be taken, each time again.
  for (let i = 0; i < 10; i++) {
    assertEquals((await writer.put("k8", VALUE)).outcome, Outcome.applied);
    assertEquals((await writer.put("k8", "")).outcome, Outcome.applied);
  }
  await writer.put("k8", VALUE);
  assertEquals(writer.node.keys, count);
});

Deno.test("Node whose memory is full answers again what it applied before", async () => {
  const writer = await Writer.start();
  await writer.fill();
  assertEquals((await writer.delete("k1")).prevValue, VALUE);
  assertEquals((await writer.put("other", VALUE)).outcome, Outcome.applied);
  await assertRejects(() => writer.put("k1", VALUE), InsufficientStorageError);
  assertEquals((await writer.put("k1", VALUE, 2)).outcome, Outcome.duplicate);
  assertEquals(await writer.node.get("k1"), null);
});

Deno.test("Node whose memory is full knows a second copy of a write in its batch", async () => {
  const writer = await Writer.start();
  const count = await writer.fill();
  await writer.delete("k0"); // makes room for one
  const seq = ++writer.seq;
  const copies = await Promise.all([1, 2, 3].map(() => writer.put("mine", VALUE, seq)));
  const outcomes = copies.map(({ outcome }) => outcome);
  assertEquals(outcomes, [Outcome.applied, Outcome.duplicate, Outcome.duplicate]);
  // One that was refused stays so: its copies in the batch are no duplicates of anything.
  const other = ++writer.seq;
  const refused = await Promise.allSettled([1, 2].map(() => writer.put("other", VALUE, other)));
  for (const one of refused) isFull((one as PromiseRejectedResult).reason);
  assertEquals([writer.node.keys, writer.node.get("mine")], [count, VALUE]);
});

Deno.test("Node takes again what grows as soon as keys were deleted, over and over", async () => {
  const writer = await Writer.start();
  const count = await writer.fill();
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < count; i++) await writer.delete(`k${i}`);
    assertEquals(writer.node.keys, 0);
    // Values of another size each time: no entry fits where another was.
    const bytes = 500 + 137 * round;
    const filled = await writer.fill("v".repeat(bytes));
    for (let i = filled; i < count; i++) await writer.delete(`k${i}`);
    assert(filled * (bytes + 30) > BOUND * 0.7, `${filled} keys of ${bytes} bytes`);
    for (let i = 0; i < filled; i++) await writer.delete(`k${i}`);
  }
});

Deno.test("Node never holds more than its bound, whatever many clients write at once", async () => {
  const step = fc.record({
    kind: fc.constantFrom("put", "put", "delete"),
    key: fc.integer({ min: 0, max: 60 }),
    length: fc.integer({ min: 0, max: 9000 }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(step, { minLength: 30, maxLength: 60 }), { maxLength: 8 }),
      async (bursts) => {
        const writer = await Writer.start();
        const expected = new Map<string, string>();
        for (const burst of bursts) {
          const values = burst.map(({ kind, length }) =>
            kind === "put" ? "x".repeat(length) : null
          );
          const answers = await Promise.allSettled(
            burst.map(({ key }, i) => {
              return values[i] === null
                ? writer.delete(`k${key}`)
                : writer.put(`k${key}`, values[i]);
            }),
          );
          for (const [i, answer] of answers.entries()) {
            if (answer.status === "rejected") isFull(answer.reason);
            else if (values[i] === null) expected.delete(`k${burst[i].key}`);
            else expected.set(`k${burst[i].key}`, values[i]);
          }
          assertLessOrEqual(writer.node.metrics().store_held_bytes, BOUND + INDEX_GROWTH);
          for (let key = 0; key <= 60; key++) {
            assertEquals(writer.node.get(`k${key}`), expected.get(`k${key}`) ?? null);
          }
        }
      },
    ),
    { numRuns: 60 },
  );
});

/** What 61 keys can add to the index, which is counted when it is there. */
const INDEX_GROWTH = 61 * 64;

Deno.test("Node started with a lower bound has all its keys, and refuses what grows", async () => {
  const writer = await Writer.start();
  const count = await writer.fill();
  await writer.memory.stop();
  await writer.memory.start({ storeBytesMax: BOUND / 2 });
  assertEquals(writer.node.keys, count);
  await assertRejects(() => writer.put("new", ""), InsufficientStorageError);
  for (let i = 0; i < count; i++) await writer.delete(`k${i}`);
  assertEquals((await writer.put("new", VALUE)).outcome, Outcome.applied);
});

Deno.test("Node whose memory is full says so over a link, with its name", async () => {
  const writer = await Writer.start();
  const link = linkTo(writer.memory);
  await writer.fill();
  const command = { kind: CommandKind.put, client: "d", seq: 1, key: "new", value: VALUE };
  await assertRejects(
    () => link.write(command),
    InsufficientStorageError,
    `Node "n1": Memory is full: the store holds `,
  );
  assertEquals((await link.write({ ...command, key: "k3" })).outcome, Outcome.applied);
  await link.close();
  await writer.memory.stop();
});

Deno.test("storeBytesMax() leaves room for sessions and garbage", () => {
  const MiB = 1024 * 1024;
  // 292 MiB for the sessions, 28 for the chunks of the store that are not full, 3/4 of the rest.
  assertEquals(Math.floor(storeBytesMax(1000 * MiB) / MiB), 510);
  assert(storeBytesMax(MEMORY_BYTES_MIN) > 45 * MiB);
});

Deno.test("storeBytesMax() is never more than a table can address, garbage included", () => {
  const addressable = 2 ** 32 * 8 - 8 * CHUNK_BYTES;
  const reserved = storeBytesMax(MEMORY_BYTES_MAX) * USED_PER_LIVE_MAX * RESERVED_PER_USED_MAX;
  assertLessOrEqual(reserved, addressable);
});

Deno.test("defaultMemoryBytes() is shared out when many nodes run on one machine", () => {
  const one = defaultMemoryBytes();
  assertEquals(defaultMemoryBytes(2), one);
  assertLessOrEqual(defaultMemoryBytes(6) * 2, one);
});
