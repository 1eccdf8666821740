import { assertEquals, assertThrows } from "@std/assert";
import { checkHistory } from "../../../tasks/history/check_history.ts";
import { checkLogOrder, mergeAttempts } from "../../../tasks/history/exactly_once.ts";
import type { Operation } from "../../../tasks/history/history.ts";
import { formatViolation } from "../../../tasks/history/violation.ts";
import { Drawing, generate } from "./histories.ts";

const ALICE = { client: "alice", seq: 7 };

/** The first lines of what is wrong with attempts of one write. */
function judge(...attempts: Operation[]): string[] {
  return mergeAttempts(attempts).violations.map((violation) =>
    formatViolation(violation).split("\n")[0]
  );
}

Deno.test("mergeAttempts() makes one write of all that were sent under one seq", () => {
  const draw = new Drawing();
  const { operations, violations } = mergeAttempts([
    draw.put([1, 0], "a", undefined, ALICE),
    draw.put([5, 6], "a", "", { ...ALICE, logIndex: 3, duplicate: true }),
    draw.put([7, 8], "a", "", { ...ALICE, logIndex: 3, duplicate: true }),
  ]);
  assertEquals(violations, []);
  assertEquals(operations, [
    { ...draw.put([5, 6], "a", "", { ...ALICE, logIndex: 3, duplicate: true }), invokedAt: 1 },
  ]);
});

Deno.test("mergeAttempts() leaves out what had no effect and told nothing", () => {
  const draw = new Drawing();
  const refused = { ...draw.put([1, 2], "a", "", ALICE), answer: { kind: "refused" } } as const;
  const unread = { ...draw.get([1, 2], null), answer: { kind: "unknown" } } as const;
  assertEquals(mergeAttempts([refused, unread]).operations, []);
});

Deno.test("mergeAttempts() accepts a prevValue that was forgotten meanwhile", () => {
  const draw = new Drawing();
  const later = { ...ALICE, logIndex: 3, duplicate: true };
  assertEquals(
    judge(
      draw.put([1, 2], "a", "b", { ...ALICE, logIndex: 3 }),
      draw.put([3, 4], "a", null, later),
    ),
    [],
  );
});

Deno.test("mergeAttempts() refuses a write that was acknowledged at two positions", () => {
  const draw = new Drawing();
  assertEquals(
    judge(
      draw.put([1, 9], "a", "", { ...ALICE, logIndex: 3 }),
      draw.put([2, 8], "a", "", { ...ALICE, logIndex: 4 }),
    ),
    ['doubled: key "k": seq 7 of alice was acknowledged at logIndex 4 and at 3'],
  );
});

Deno.test("mergeAttempts() refuses a write that was acknowledged with two prevValues", () => {
  const draw = new Drawing();
  assertEquals(
    judge(
      draw.put([1, 2], "a", "b", { ...ALICE, logIndex: 3 }),
      draw.put([3, 4], "a", "a", { ...ALICE, logIndex: 3, duplicate: true }),
    ),
    ['doubled: key "k": seq 7 of alice was acknowledged with two different prevValues'],
  );
});

Deno.test("mergeAttempts() refuses a repeated write that was not known as a duplicate", () => {
  const draw = new Drawing();
  assertEquals(
    judge(
      draw.put([1, 2], "a", "b", { ...ALICE, logIndex: 3 }),
      draw.put([3, 4], "a", "b", { ...ALICE, logIndex: 3 }),
    ),
    [
      'doubled: key "k": seq 7 of alice was sent again after it was acknowledged, ' +
      "and not known as a duplicate",
    ],
  );
});

Deno.test("mergeAttempts() throws when a client used a seq for two writes", () => {
  const draw = new Drawing();
  const writes = [draw.put([1, 2], "a", "", ALICE), draw.put([3, 4], "b", "a", ALICE)];
  assertThrows(() => mergeAttempts(writes), RangeError, "two writes with one seq");
});

Deno.test("checkLogOrder() refuses two writes of a node at one position", () => {
  const draw = new Drawing();
  const writes = [
    draw.put([1, 2], "a", "", { key: "one", logIndex: 5 }),
    draw.put([1, 2], "b", "", { key: "two", logIndex: 5 }),
  ];
  assertEquals(checkLogOrder(writes, () => "n1").map(({ summary }) => summary), [
    "two writes of node n1 have logIndex 5",
  ]);
  assertEquals(checkLogOrder(writes, (key) => key), [], "Each node counts for itself");
});

Deno.test("checkLogOrder() refuses a write that stands before one acknowledged earlier", () => {
  const draw = new Drawing();
  const writes = [
    draw.put([1, 2], "a", "", { key: "one", logIndex: 6 }),
    draw.put([3, 4], "b", "", { key: "two", logIndex: 5 }),
  ];
  assertEquals(checkLogOrder(writes, () => "n1").map(({ summary }) => summary), [
    "seq 1 of c2 was sent after seq 1 of c1 was acknowledged, " +
    "but stands before it in the log of node n1",
  ]);
});

Deno.test("checkLogOrder() accepts writes that overlap in either order", () => {
  const draw = new Drawing();
  const writes = [draw.put([1, 4], "a", "b"), draw.put([2, 3], "b", "")];
  assertEquals(checkLogOrder(writes.toReversed(), () => "n1"), []);
});

Deno.test("checkHistory() accepts what a right store answers, and misses no lost write", () => {
  const operations = generate({ operations: 2000, clients: 10, keys: 50, seed: 4 });
  const ownerOf = () => "n1";
  assertEquals(checkHistory(operations, { ownerOf }), []);
  const last = operations.filter(({ client }) => client === "last");
  for (const read of last) {
    // As if the last write of the key had been lost, or the delete of it.
    const wrong = read.answer.kind === "read" && read.answer.value === null ? "v0" : null;
    const answer = { kind: "read", value: wrong } as const;
    const altered = operations.with(operations.indexOf(read), { ...read, answer });
    const keys = checkHistory(altered, { ownerOf }).map(({ key }) => key);
    assertEquals(keys, [read.key]);
  }
});
