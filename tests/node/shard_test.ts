import { assert, assertEquals, assertLess } from "@std/assert";
import * as fc from "fast-check";
import { type Command, CommandKind, Outcome, type Result } from "../../lib/key_value.ts";
import { SESSION_WINDOW } from "../../lib/limits.ts";
import {
  RESERVED_PER_USED_MAX,
  SLACK_CHUNKS_MAX,
  USED_PER_LIVE_MAX,
} from "../../node/store/arena.ts";
import { Fed } from "./fed.ts";

Deno.test("Shard.apply() answers a put with the value it overwrote, or nothing", () => {
  const fed = new Fed();
  const outcome = Outcome.applied;
  assertEquals(fed.put("c", 1, "k", "v"), { outcome, logIndex: 1, prevValue: "" });
  assertEquals(fed.put("c", 2, "k", "é😀\0"), { outcome, logIndex: 2, prevValue: "v" });
  assertEquals(fed.put("c", 3, "k", ""), { outcome, logIndex: 3, prevValue: "é😀\0" });
  assertEquals(fed.shard.get("k"), "");
  assertEquals(fed.shard.get("other"), null);
});

Deno.test("Shard.apply() deletes, and deletes what is not there", () => {
  const fed = new Fed();
  fed.put("c", 1, "k", "v");
  const outcome = Outcome.applied;
  assertEquals(fed.delete("c", 2, "k"), { outcome, logIndex: 2, prevValue: "v" });
  assertEquals(fed.delete("c", 3, "k"), { outcome, logIndex: 3, prevValue: "" });
  assertEquals(fed.shard.get("k"), null);
});

Deno.test("Shard.apply() answers a duplicate with the first result and applies nothing", () => {
  const fed = new Fed();
  fed.put("c", 1, "k", "first");
  const result = fed.put("c", 2, "k", "second");
  fed.put("d", 1, "k", "third");
  assertEquals(fed.put("c", 2, "k", "second"), { ...result, outcome: Outcome.duplicate });
  assertEquals(fed.shard.get("k"), "third");
});

Deno.test("Shard.apply() tells a duplicate that differs from the write it repeats", () => {
  const writes: [string, (fed: Fed) => Result][] = [
    ["value", (fed) => fed.put("c", 1, "k", "w")],
    ["key", (fed) => fed.put("c", 1, "l", "v")],
    ["kind", (fed) => fed.delete("c", 1, "k")],
  ];
  for (const [what, write] of writes) {
    const fed = new Fed();
    fed.put("c", 1, "k", "v");
    assertEquals(write(fed), { outcome: Outcome.mismatch, logIndex: 1, prevValue: "" }, what);
    assertEquals([fed.shard.get("k"), fed.shard.get("l")], ["v", null], what);
  }
});

Deno.test("Shard.apply() takes the sequence numbers of a window in any order, each once", () => {
  const fed = new Fed();
  const seqs = Array.from({ length: SESSION_WINDOW }, (_, i) => 1 + i * 421 % SESSION_WINDOW);
  for (const seq of seqs) assertEquals(fed.put("c", seq, `k${seq}`, "v").outcome, Outcome.applied);
  for (const seq of seqs) {
    assertEquals(fed.put("c", seq, `k${seq}`, "v").outcome, Outcome.duplicate);
  }
  fed.check();
});

Deno.test("Shard.apply() refuses what is below the window, from its very edge on", () => {
  const fed = new Fed();
  const top = 5000;
  fed.put("c", top, "k", "v");
  const lowest = top - SESSION_WINDOW + 1;
  assertEquals(fed.put("c", lowest, "low", "v").outcome, Outcome.applied);
  assertEquals(fed.put("c", lowest - 1, "lower", "v").outcome, Outcome.stale);
  assertEquals(fed.shard.get("lower"), null);
  fed.put("c", top + 1, "k", "v");
  assertEquals(fed.put("c", lowest, "low", "v").outcome, Outcome.stale);
});

Deno.test("Shard.apply() takes the highest sequence number there is", () => {
  const fed = new Fed({ sessionsMax: 1 });
  const seq = Number.MAX_SAFE_INTEGER;
  assertEquals(fed.put("c", seq, "k", "v").outcome, Outcome.applied);
  assertEquals(fed.put("c", seq, "k", "v").outcome, Outcome.duplicate);
  assertEquals(fed.put("c", seq - 1, "k", "v").outcome, Outcome.applied);
  assertEquals(fed.put("d", 1, "k", "v").outcome, Outcome.applied);
  fed.check();
});

Deno.test("Sessions evicts the client that has been idle for longest", () => {
  const fed = new Fed({ sessionsMax: 3 });
  for (const client of ["a", "b", "c"]) fed.put(client, 1, "k", "v");
  fed.put("a", 1, "k", "v"); // a duplicate is a use as well
  fed.put("d", 1, "k", "v");
  const { sessions } = fed.shard;
  assertEquals([sessions.size, sessions.evictions], [3, 1]);
  for (const client of ["a", "c", "d"]) {
    assertEquals(fed.put(client, 1, "k", "v").outcome, Outcome.duplicate, client);
  }
  assertEquals(fed.put("b", 1, "k", "v").outcome, Outcome.applied);
  fed.check();
});

Deno.test("Sessions forgets older values above its bound, never the newest", () => {
  const fed = new Fed({ bytesSoftMax: 10_000 });
  for (let seq = 1; seq <= 100; seq++) fed.put("c", seq, "k", `${seq}`.padEnd(1000, "x"));
  assertEquals(fed.put("c", 50, "k", "50".padEnd(1000, "x")).prevValue, null);
  assertEquals(fed.put("c", 100, "k", "100".padEnd(1000, "x")).prevValue, "99".padEnd(1000, "x"));
  assert(fed.shard.sessions.bytes < 20_000, `${fed.shard.sessions.bytes} bytes`);
  fed.check();
});

Deno.test("Sessions answers whole at first even when it forgets values", () => {
  const fed = new Fed({ bytesSoftMax: 5000 });
  fed.put("c", 1000, "k", "x".repeat(1000));
  for (let seq = 1; seq < 1000; seq++) { // all of them holes below the highest
    assertEquals(fed.put("c", seq, "k", "x".repeat(1000)).prevValue?.length, 1000, `seq ${seq}`);
  }
  assert(fed.shard.sessions.bytes < 60_000, `${fed.shard.sessions.bytes} bytes`);
  fed.check();
});

Deno.test("Sessions forgets values of idle clients when the newest alone pass the bound", () => {
  const fed = new Fed({ bytesSoftMax: 1000, bytesMax: 20_000 });
  const value = "x".repeat(1000);
  const clients = Array.from({ length: 100 }, (_, i) => `c${i}`);
  for (const client of clients) fed.put(client, 1, "k", value);
  const { sessions } = fed.shard;
  assert(sessions.bytes <= 20_000, `${sessions.bytes} bytes`);
  assertEquals([sessions.size, sessions.drops, sessions.evictions], [100, 0, 0]);
  assertEquals(fed.put("c99", 1, "k", value).prevValue, value);
  assertEquals(fed.put("c1", 1, "k", value).prevValue, null);
  for (const client of clients) {
    assertEquals(fed.put(client, 1, "k", value).outcome, Outcome.duplicate, client);
  }
  fed.check();
});

Deno.test("Sessions refuses a write whose result it dropped, and never applies it again", () => {
  const fed = new Fed({ bytesSoftMax: 1000, bytesMax: 10_000 });
  for (let seq = 1; seq <= 300; seq++) fed.put("idle", seq, "idle", "v");
  for (let seq = 1; seq <= 300; seq++) fed.put("busy", seq, "busy", "v");
  const { sessions } = fed.shard;
  assert(sessions.bytes <= 10_000, `${sessions.bytes} bytes`);
  assert(sessions.drops > 100, `${sessions.drops} results dropped`);
  fed.put("other", 1, "idle", "later");
  let remembered = 0;
  for (let seq = 300; seq >= 1; seq--) {
    const { outcome } = fed.put("idle", seq, "idle", "v");
    const isNewest = remembered === 300 - seq;
    if (outcome === Outcome.duplicate && isNewest) remembered++;
    else assertEquals(outcome, Outcome.stale, `seq ${seq}`);
  }
  assert(remembered > 0 && remembered < 200, `${remembered} remembered`);
  assertEquals(fed.shard.get("idle"), "later");
  assertEquals(fed.put("idle", 301, "idle", "v").outcome, Outcome.applied);
  fed.check();
});

Deno.test("Sessions holds on to its bound in bytes, whoever writes", () => {
  const fed = new Fed({ bytesSoftMax: 2000, bytesMax: 10_000 });
  for (let i = 0; i < 5000; i++) {
    fed.put(`c${i * 7 % 31}`, 1 + i * 13 % 400, `k${i % 5}`, "x".repeat(i * 11 % 700));
    const { bytes } = fed.shard.sessions;
    assert(bytes <= 10_000 + 1000, `${bytes} bytes after ${i} writes`);
  }
  assert(fed.shard.sessions.drops > 0);
  fed.check();
});

Deno.test("Sessions takes little more memory than its bound, however windows shrink", () => {
  for (const left of [20, 54, 90]) {
    // Blocks of up to 3 KiB: longer ones would leave longer ends in chunks this small.
    const [chunkBytes, bytesMax] = [16 * 1024, 512 * 1024];
    const fed = new Fed({ chunkBytes, bytesSoftMax: bytesMax / 4, bytesMax });
    const { sessions } = fed.shard;
    const emptyBytes = sessions.reservedBytes;
    for (let client = 0; client < 500; client++) {
      for (let seq = 1; seq <= 120; seq++) fed.put(`c${client}`, seq, "k", "");
      fed.put(`c${client}`, SESSION_WINDOW + 120 - left, "k", "");
      const bound = bytesMax * USED_PER_LIVE_MAX * RESERVED_PER_USED_MAX +
        2 * SLACK_CHUNKS_MAX * chunkBytes;
      assertLess(sessions.reservedBytes - emptyBytes, bound, `${left} left, client ${client}`);
    }
    fed.check();
  }
});

/** What a shard has to do, said as simply as it goes, with nothing bounded but the window. */
class Model {
  readonly store = new Map<string, string>();
  readonly #sessions = new Map<string, { top: number; results: Map<number, [string, Result]> }>();

  apply(command: Command, index: number): Result {
    const session = this.#sessions.get(command.client) ?? { top: 0, results: new Map() };
    this.#sessions.set(command.client, session);
    if (command.seq <= session.top - SESSION_WINDOW) {
      return { outcome: Outcome.stale, logIndex: index, prevValue: null };
    }
    const write = JSON.stringify([command.kind, command.key, command.value]);
    const remembered = session.results.get(command.seq);
    if (remembered) {
      const same = remembered[0] === write;
      return { ...remembered[1], outcome: same ? Outcome.duplicate : Outcome.mismatch };
    }
    const prevValue = this.store.get(command.key) ?? "";
    if (command.kind === CommandKind.put) this.store.set(command.key, command.value);
    else this.store.delete(command.key);
    const result = { outcome: Outcome.applied, logIndex: index, prevValue };
    session.top = Math.max(session.top, command.seq);
    session.results.set(command.seq, [write, result]);
    return result;
  }
}

Deno.test("Shard.apply() does what the model does, for any commands in any order", () => {
  const seq = fc.oneof(
    { weight: 5, arbitrary: fc.integer({ min: 1, max: 12 }) },
    fc.integer({ min: 1, max: 3000 }),
    fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  );
  const text = fc.string({ unit: "grapheme", maxLength: 20 }).filter((text) => text.isWellFormed());
  const command = fc.record({
    kind: fc.constantFrom(CommandKind.put, CommandKind.put, CommandKind.delete),
    client: fc.constantFrom("a", "b", "ç"),
    seq,
    key: fc.constantFrom("k", "l", "ключ"),
    value: text,
  }).map((command) => command.kind === CommandKind.delete ? { ...command, value: "" } : command);
  fc.assert(
    fc.property(fc.array(command, { maxLength: 200 }), (commands) => {
      const fed = new Fed();
      const model = new Model();
      for (const command of commands) {
        assertEquals(fed.apply(command), model.apply(command, fed.index));
        assertEquals(fed.shard.get(command.key), model.store.get(command.key) ?? null);
      }
      assertEquals(fed.shard.store.size, model.store.size);
      fed.check();
    }),
    { numRuns: 300 },
  );
});
