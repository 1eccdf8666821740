import { assert, assertEquals, assertGreaterOrEqual, assertNotEquals } from "@std/assert";
import { Random } from "../../../tasks/random.ts";
import { planFaults } from "../../../tasks/torture/plan.ts";

const NODES = ["n1", "n2", "n3"];

function plan(minutes: number, seed = "1") {
  const durationMs = minutes * 60_000;
  return planFaults({ durationMs, nodeIds: NODES, random: new Random(seed) });
}

Deno.test("planFaults() kills at least 100 times in 10 minutes", () => {
  const kills = plan(10).filter(({ kind }) => kind === "kill");
  assertGreaterOrEqual(kills.length, 100);
  assertGreaterOrEqual(kills.filter(({ target }) => target === "router").length, 10);
});

Deno.test("planFaults() kills at least 10 times, however short it is", () => {
  assertGreaterOrEqual(plan(0.01).filter(({ kind }) => kind === "kill").length, 10);
});

Deno.test("planFaults() hurts every process, in the order of time, within the duration", () => {
  const faults = plan(10);
  assertEquals([...new Set(faults.map(({ target }) => target))].sort(), [...NODES, "router"]);
  assertEquals(faults, faults.toSorted((one, other) => one.atMs - other.atMs));
  assert(faults.every(({ atMs }) => atMs >= 0 && atMs <= 10 * 60_000));
});

Deno.test("planFaults() pauses for less than a router waits for a node", () => {
  const pauses = plan(10).filter(({ kind }) => kind === "pause");
  assertGreaterOrEqual(pauses.length, 20);
  assert(pauses.every(({ forMs }) => forMs >= 100 && forMs <= 2500));
});

Deno.test("planFaults() plans the same for the same seed, and something else for another", () => {
  assertEquals(plan(1), plan(1));
  assertNotEquals(plan(1), plan(1, "2"));
});
