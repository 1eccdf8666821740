import { assert, assertEquals, assertMatch } from "@std/assert";
import * as fc from "fast-check";
import type { Answer, Operation } from "../../../tasks/history/history.ts";
import { checkLinearizable } from "../../../tasks/history/linearizability.ts";
import { isLinearizable } from "./brute_force.ts";

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
    { numRuns: 20_000, seed: 1 },
  );
  console.log(verdicts);
});
