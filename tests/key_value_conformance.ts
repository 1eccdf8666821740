/**
 * What every {@linkcode KeyValue} has to do, whatever is behind it: one suite for the node, the
 * router and both of them over HTTP.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import { assertEquals } from "@std/assert";
import * as fc from "fast-check";
import { type Command, CommandKind, type KeyValue, Outcome } from "../lib/key_value.ts";

/** Makes a store that is empty. */
export type StoreFactory = () => Promise<{ store: KeyValue } & AsyncDisposable>;

function put(client: string, seq: number, key: string, value: string): Command {
  return { kind: CommandKind.put, client, seq, key, value };
}

function remove(client: string, seq: number, key: string): Command {
  return { kind: CommandKind.delete, client, seq, key, value: "" };
}

/** Keys that are spread over all nodes of a router. */
const KEYS = Array.from({ length: 40 }, (_, i) => `key ${i}`);

/** Registers the suite for the implementation called `name`. */
export function testKeyValue(name: string, open: StoreFactory): void {
  const test = (sentence: string, run: (store: KeyValue) => Promise<void>) =>
    Deno.test(`${name} ${sentence}`, async () => {
      await using opened = await open();
      await run(opened.store);
    });

  test("has no value for a key that was never put", async (store) => {
    for (const key of KEYS) assertEquals(await store.get(key), null, key);
  });

  test("reads back what was put", async (store) => {
    for (const [i, key] of KEYS.entries()) await store.write(put("c", i + 1, key, `value ${i}`));
    for (const [i, key] of KEYS.entries()) assertEquals(await store.get(key), `value ${i}`, key);
  });

  test("answers a put with the value that it overwrote", async (store) => {
    const first = await store.write(put("c", 1, "k", "v"));
    const second = await store.write(put("c", 2, "k", "w"));
    assertEquals([first.outcome, first.prevValue], [Outcome.applied, ""]);
    assertEquals([second.outcome, second.prevValue], [Outcome.applied, "v"]);
    assertEquals(second.logIndex, first.logIndex + 1);
  });

  test("forgets a key that is deleted, and says what it was", async (store) => {
    await store.write(put("c", 1, "k", "v"));
    assertEquals((await store.write(remove("c", 2, "k"))).prevValue, "v");
    assertEquals(await store.get("k"), null);
    assertEquals((await store.write(remove("c", 3, "k"))).prevValue, "");
  });

  test("tells an empty value from none", async (store) => {
    await store.write(put("c", 1, "k", ""));
    assertEquals(await store.get("k"), "");
  });

  test("applies a write once, however often it is sent", async (store) => {
    const write = put("c", 1, "k", "v");
    const first = await store.write(write);
    await store.write(put("d", 1, "k", "w"));
    for (let i = 0; i < 3; i++) {
      assertEquals(await store.write(write), { ...first, outcome: Outcome.duplicate });
    }
    assertEquals(await store.get("k"), "w");
  });

  test("applies a write once when it is sent twice at the same time", async (store) => {
    const write = put("c", 1, "k", "v");
    const results = await Promise.all([store.write(write), store.write(write), store.write(write)]);
    const outcomes = results.map((result) => result.outcome).sort();
    assertEquals(outcomes, [Outcome.applied, Outcome.duplicate, Outcome.duplicate]);
    assertEquals(new Set(results.map((result) => result.logIndex)).size, 1);
  });

  test("says so when a sequence number is used for another write", async (store) => {
    await store.write(put("c", 1, "k", "v"));
    assertEquals((await store.write(put("c", 1, "k", "w"))).outcome, Outcome.mismatch);
    assertEquals(await store.get("k"), "v");
  });

  test("refuses a sequence number that it no longer remembers", async (store) => {
    await store.write(put("c", 2000, "k", "v"));
    assertEquals((await store.write(put("c", 1, "k", "w"))).outcome, Outcome.stale);
    assertEquals(await store.get("k"), "v");
  });

  test("keeps any text exactly", async (store) => {
    const texts = ["", "\0", "\ufeffx", "é€😀", "\u2028", '"\\\n', " ", "x".repeat(300), "\uffff"];
    for (const [i, text] of texts.entries()) {
      await store.write(put("çlient", i + 1, `k${text}`, text));
      assertEquals(await store.get(`k${text}`), text, JSON.stringify(text));
    }
  });

  test("keeps the largest key and a large value", async (store) => {
    const key = "k".repeat(60_000);
    const value = "é".repeat(400_000);
    await store.write(put("c", 1, key, value));
    assertEquals(await store.get(key) === value, true);
    assertEquals((await store.write(remove("c", 2, key))).prevValue === value, true);
  });

  test("keeps apart what many clients write at once", async (store) => {
    const writes = Array.from({ length: 300 }, (_, i) => put(`c${i % 7}`, 1 + i, `k${i}`, `v${i}`));
    const results = await Promise.all(writes.map((write) => store.write(write)));
    for (const result of results) assertEquals(result.outcome, Outcome.applied);
    for (let i = 0; i < 300; i++) assertEquals(await store.get(`k${i}`), `v${i}`);
  });

  test("agrees with a map, for any writes and reads", async (store) => {
    const text = fc.string({ unit: "grapheme" }).filter((text) => text.isWellFormed());
    const step = fc.record({
      kind: fc.constantFrom("put", "delete", "get"),
      key: fc.constantFrom(...KEYS.slice(0, 5)),
      value: text,
    });
    const map = new Map<string, string>();
    let seq = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step), async (steps) => {
        for (const { kind, key, value } of steps) {
          const before = map.get(key);
          if (kind === "get") {
            assertEquals(await store.get(key), before ?? null);
            continue;
          }
          const write = kind === "put" ? put("c", ++seq, key, value) : remove("c", ++seq, key);
          assertEquals((await store.write(write)).prevValue, before ?? "");
          if (kind === "put") map.set(key, value);
          else map.delete(key);
        }
      }),
      { numRuns: 40 },
    );
  });

  test("has no wrong reads beside writes", async (store) => {
    await store.write(put("c", 1, "k", "0"));
    let last = 0;
    const writing = (async () => {
      for (let i = 1; i <= 50; i++) await store.write(put("c", 1 + i, "k", `${last = i}`));
    })();
    for (let seen = 0; seen < 50;) {
      const value = Number(await store.get("k"));
      if (value < seen || value > last) throw new Error(`Read ${value} after ${seen} of ${last}`);
      seen = value;
      await new Promise<void>((resolve) => setImmediate(resolve)); // a node answers without a turn
    }
    await writing;
  });
}
