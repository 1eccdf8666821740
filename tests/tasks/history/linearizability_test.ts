import { assertEquals, assertGreater, assertLess } from "@std/assert";
import * as fc from "fast-check";
import type { Answer, Operation } from "../../../tasks/history/history.ts";
import { checkLinearizable } from "../../../tasks/history/linearizability.ts";
import {
  formatOperation,
  formatViolation,
  type ViolationKind,
} from "../../../tasks/history/violation.ts";
import { Random } from "../../../tasks/random.ts";
import { isLinearizable } from "./brute_force.ts";
import { Drawing, generate } from "./histories.ts";

const LARGE = 200_000;

/** Histories that a register can have, by what is special about each. */
const LINEARIZABLE: Record<string, (draw: Drawing) => Operation[]> = {
  "nothing happened": () => [],
  "one after the other": (draw) => [
    draw.get([1, 2], null),
    draw.put([3, 4], "a", ""),
    draw.put([5, 6], "b", "a"),
    draw.get([7, 8], "b"),
    draw.delete([9, 10], "b"),
    draw.get([11, 12], null),
  ],
  "a read that overlaps a write may show either": (draw) => [
    draw.put([1, 10], "a", ""),
    draw.get([2, 3], null),
    draw.get([4, 5], "a"),
    draw.get([6, 7], "a"),
  ],
  "writes that overlap take effect in either order": (draw) => [
    draw.put([1, 10], "a", "b"),
    draw.put([2, 9], "b", ""),
    draw.get([11, 12], "a"),
  ],
  "operations that touch overlap": (draw) => [draw.get([1, 2], "a"), draw.put([2, 3], "a", "")],
  "an unanswered write took effect": (draw) => [
    draw.put([1, 0], "a"),
    draw.get([2, 3], null),
    draw.get([4, 5], "a"),
  ],
  "an unanswered write never took effect": (draw) => [
    draw.put([1, 0], "a"),
    draw.put([2, 3], "b", ""),
    draw.get([4, 5], "b"),
  ],
  "an unanswered write took effect long after it was sent": (draw) => [
    draw.put([1, 0], "a"),
    draw.put([2, 3], "b", ""),
    draw.get([4, 5], "b"),
    draw.put([6, 7], "c", "a"),
  ],
  "an unanswered delete explains a write that found nothing": (draw) => [
    draw.put([1, 2], "a", ""),
    draw.delete([3, 0]),
    draw.put([4, 5], "b", ""),
  ],
  "an empty value is a value, and what a write finds does not tell": (draw) => [
    draw.put([1, 2], "", ""),
    draw.get([3, 4], ""),
    draw.put([5, 6], "a", ""),
  ],
  "a forgotten prevValue fits anything": (draw) => [
    draw.put([1, 2], "a", ""),
    draw.put([3, 4], "b", null),
    draw.get([5, 6], "b"),
  ],
  "the same value is written again": (draw) => [
    draw.put([1, 2], "a", ""),
    draw.put([3, 4], "b", "a"),
    draw.put([5, 6], "a", "b"),
    draw.put([7, 8], "c", "a"),
  ],
  "how far an order got is told apart from how far another one got": (draw) => [
    draw.delete([3, 5], null),
    draw.put([2, 3], "b", ""),
    draw.put([2, 2], "b", ""),
    draw.delete([3, 0]),
    draw.put([0, 3], "b", ""),
  ],
  "keys have nothing to do with each other": (draw) => [
    draw.put([1, 2], "a", "", { key: "one" }),
    draw.put([3, 4], "b", "", { key: "two" }),
    draw.get([5, 6], "a", { key: "one" }),
  ],
};

/** Histories that no register can have: what went wrong, and what the checker calls it. */
const WRONG: Record<string, [ViolationKind, (draw: Drawing) => Operation[]]> = {
  "an acknowledged write is gone at the end": ["lost", (draw) => [
    draw.put([1, 2], "a", ""),
    draw.get([3, 4], "a"),
    draw.get([5, 6], null),
  ]],
  "the newer of two writes is gone at the end": ["lost", (draw) => [
    draw.put([1, 2], "a", ""),
    draw.put([3, 4], "b", "a"),
    draw.get([5, 6], "a"),
  ]],
  "a write did not find what was acknowledged": ["lost", (draw) => [
    draw.put([1, 2], "a", ""),
    draw.put([3, 4], "b", ""),
  ]],
  "two writes overwrote the same value": ["lost", (draw) => [
    draw.put([1, 2], "a", ""),
    draw.put([3, 6], "b", "a"),
    draw.put([4, 5], "c", "a"),
  ]],
  "a delete was undone": ["lost", (draw) => [
    draw.put([1, 2], "a", ""),
    draw.delete([3, 4], "a"),
    draw.get([5, 6], "a"),
  ]],
  "a write overwrote itself": ["doubled", (draw) => [
    draw.put([1, 10], "a", "a"),
    draw.get([11, 12], "a"),
  ]],
  "a write came back over one that others had seen": ["doubled", (draw) => [
    draw.put([1, 2], "a", ""),
    draw.put([3, 4], "b", "a"),
    draw.get([5, 6], "b"),
    draw.put([7, 8], "c", "a"),
  ]],
  "an unanswered write took effect twice": ["doubled", (draw) => [
    draw.put([1, 0], "a"),
    draw.put([2, 3], "b", "a"),
    draw.put([4, 5], "c", "b"),
    draw.put([6, 7], "d", "a"),
  ]],
  "a read shows what was overwritten": ["stale read", (draw) => [
    draw.put([1, 2], "a", ""),
    draw.put([3, 4], "b", "a"),
    draw.get([5, 6], "a"),
    draw.get([7, 8], "b"),
  ]],
  "a read shows a key that was there as missing": ["stale read", (draw) => [
    draw.put([1, 2], "a", ""),
    draw.get([3, 4], null),
    draw.put([5, 6], "b", "a"),
  ]],
  "a read shows what nobody wrote": ["phantom", (draw) => [
    draw.put([1, 2], "a", ""),
    draw.get([3, 4], "x"),
  ]],
  "a write found what nobody wrote": ["phantom", (draw) => [draw.put([1, 2], "a", "x")]],
  "a read shows a value before it was written": ["phantom", (draw) => [
    draw.get([1, 2], "a"),
    draw.put([3, 4], "a", ""),
  ]],
  "reads see two overlapping writes in two orders": ["no order", (draw) => [
    draw.put([1, 20], "a", null),
    draw.put([1, 20], "b", null),
    draw.get([2, 3], "a"),
    draw.get([4, 5], "b"),
    draw.get([6, 7], "a"),
  ]],
};

for (const [name, history] of Object.entries(LINEARIZABLE)) {
  Deno.test(`checkLinearizable() accepts: ${name}`, () => {
    const operations = history(new Drawing());
    assertEquals(checkLinearizable(operations).map(formatViolation), []);
  });
}

for (const [name, [kind, history]] of Object.entries(WRONG)) {
  Deno.test(`checkLinearizable() refuses: ${name}`, () => {
    const operations = history(new Drawing());
    assertEquals(checkLinearizable(operations).map((violation) => violation.kind), [kind]);
  });
}

/** Operations on one key with few values at few moments: much overlaps, much is ambiguous. */
const operations: fc.Arbitrary<Operation[]> = fc.array(
  fc.record({
    kind: fc.constantFrom("put", "delete", "get"),
    value: fc.constantFrom("", "a", "b", "c"),
    shown: fc.constantFrom(null, "", "a", "b", "c"),
    isUnknown: fc.integer({ min: 0, max: 4 }).map((draw) => draw === 0),
    start: fc.nat(8),
    length: fc.nat(4),
  }),
  { minLength: 1, maxLength: 6 },
).map((draws) =>
  draws.map(({ kind, value, shown, isUnknown, start, length }, i) => {
    const answer: Answer = isUnknown
      ? { kind: "unknown" }
      : kind === "get"
      ? { kind: "read", value: shown }
      : { kind: "written", prevValue: shown, logIndex: i, duplicate: false };
    return {
      client: `c${i}`,
      kind,
      seq: kind === "get" ? 0 : 1,
      key: "k",
      value: kind === "put" ? value : "",
      invokedAt: start,
      completedAt: isUnknown ? Infinity : start + length,
      answer,
    } as Operation;
  })
);

Deno.test("checkLinearizable() agrees with trying every order", () => {
  const verdicts = { yes: 0, no: 0 };
  fc.assert(
    fc.property(operations, (operations) => {
      const expected = isLinearizable(operations);
      verdicts[expected ? "yes" : "no"]++;
      assertEquals(checkLinearizable(operations).length === 0, expected);
    }),
    { numRuns: 30_000, seed: 1 },
  );
  assertGreater(Math.min(verdicts.yes, verdicts.no), 2000);
});

Deno.test("checkLinearizable() tells the story without what has no part in it", () => {
  const draw = new Drawing();
  const before = Array.from({ length: 500 }, (_, i) => [
    draw.put([10 * i, 10 * i + 5], `v${i}`, i === 0 ? "" : `v${i - 1}`),
    draw.get([10 * i + 6, 10 * i + 7], `v${i}`),
  ]).flat();
  const wrong = [
    draw.put([6000, 6001], "x", "v499", { client: "alice" }),
    draw.get([6002, 6003], "v499", { client: "bob" }),
    draw.get([6004, 6005], "x", { client: "carol" }),
    draw.put([6006, 6007], "y", "x"),
  ];
  const [violation] = checkLinearizable([...before, ...wrong]);
  assertEquals(
    formatViolation(violation),
    `stale read: key "k": a read of bob shows "v499", although seq 1 of alice had replaced it
  4990 to 4995  c999 seq 1 put "v499": prevValue "v498", logIndex 999
  6000 to 6001  alice seq 1 put "x": prevValue "v499", logIndex 1001
  6002 to 6003  bob get: "v499"`,
  );
});

const SHAPES = [
  { keys: 1, clients: 50 },
  { keys: 10, clients: 100, unknown: 0.02, forgotten: 0.02 },
];

for (const shape of SHAPES) {
  const { keys, clients, unknown = 0, forgotten = 0 } = shape;
  const title = `${keys} keys, ${clients} clients, ${unknown} unknown, ${forgotten} forgotten`;
  Deno.test(`checkLinearizable() accepts 200,000 operations of a register: ${title}`, () => {
    const operations = generate({ ...shape, operations: LARGE, seed: 1 });
    assertEquals(checkLinearizable(operations), []);
  });
}

/** Another answer that cannot be: what it shows is long gone, or was not yet written. */
function mutate(operation: Operation, ofKey: readonly Operation[], random: Random) {
  const { answer } = operation;
  if (answer.kind !== "read" && answer.kind !== "written") return undefined;
  const { value, kind } = random.pick(ofKey);
  const overwriter = ofKey.find(({ answer }) =>
    answer.kind === "written" && answer.prevValue === value
  );
  if (kind !== "put" || overwriter === undefined || overwriter === operation) return undefined;
  if (answer.kind === "written") return { ...operation, answer: { ...answer, prevValue: value } };
  if (overwriter.completedAt >= operation.invokedAt) return undefined;
  return { ...operation, answer: { ...answer, value } };
}

Deno.test("checkLinearizable() finds one wrong answer among 200,000", () => {
  const random = new Random("mutations");
  const operations = generate({ operations: LARGE, clients: 100, keys: 400, seed: 2 });
  const byKey = Map.groupBy(operations, ({ key }) => key);
  let mutations = 0;
  for (let draws = 0; mutations < 100; draws++) {
    assertLess(draws, 10_000, "Draws of answers to mutate");
    const operation = random.pick(operations);
    const ofKey = byKey.get(operation.key)!;
    const mutated = mutate(operation, ofKey, random);
    if (mutated === undefined) continue;
    // The other keys have no part in it; twice they are looked at all the same.
    const all = mutations++ < 2 ? operations : ofKey;
    const violations = checkLinearizable(all.with(all.indexOf(operation), mutated));
    assertEquals(violations.map(({ key }) => key), [operation.key], formatOperation(mutated));
    assertLess(violations[0].story.length, 20, formatViolation(violations[0]));
  }
});
