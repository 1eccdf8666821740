import { assert, assertEquals, assertNotEquals } from "@std/assert";
import type { DiskFaultKind } from "../../../tasks/simulate/disk_faults.ts";
import { type Fault, type Plan, planOf } from "../../../tasks/simulate/plan.ts";
import { simulate } from "../../../tasks/simulate/simulation.ts";
import type { FaultKind } from "../../../tasks/simulate/world.ts";

/** One node, one client, no faults: the same every time. */
const FIXED: Plan = {
  seed: 1,
  nodes: 1,
  keys: 3,
  segmentBytes: 3072,
  fillBytes: 512,
  snapshotGrowthBytesMin: 6000,
  syncMsMax: 2,
  storeBytesMax: Infinity,
  delayMsMax: 0.5,
  lossShare: 0,
  troubleMs: 1000,
  clients: [{
    name: "c1",
    operations: 20,
    inFlight: 1,
    routes: ["node"],
    pauseMsMax: 0,
    readShare: 0,
    deleteShare: 0.2,
    valueBytesMax: 1500,
    seqSteps: [1],
  }],
  faults: [],
};

Deno.test("simulate() of one seed is the same run twice, event by event", async () => {
  const hashes = new Set<string>();
  for (let seed = 1; seed <= 15; seed++) {
    const first = await simulate(planOf(seed));
    const second = await simulate(planOf(seed));
    assertEquals(second.trace.lines, first.trace.lines);
    assertEquals(second.trace.hash, first.trace.hash);
    assertEquals(second.faults, first.faults);
    hashes.add(first.trace.hash);
  }
  assertEquals(hashes.size, 15, "different seeds are different runs");
});

Deno.test("simulate() does nothing in simulated time that it has no event for", async () => {
  const { problem, simulatedMs, faults, operations } = await simulate(FIXED);
  assertEquals([problem, faults.size], [null, 0]);
  assert(simulatedMs >= FIXED.troubleMs && simulatedMs < 2 * FIXED.troubleMs, `${simulatedMs} ms`);
  assert(operations >= FIXED.clients[0].operations + FIXED.keys);
});

/** What a strike is counted as. */
const STRIKES: readonly FaultKind[] = [
  "crash at a disk call",
  "disk call failed with EIO",
  "disk full (ENOSPC)",
  "short write",
  "sync failed",
];

/** Strikes the node's disk at every call in turn; returns how many that were. */
async function strikeEveryCall(fault: DiskFaultKind): Promise<number> {
  for (let calls = 1;; calls++) {
    const strike: Fault = { kind: "disk call", atMs: 0, node: 0, fault, calls };
    const { problem, faults, trace } = await simulate({ ...FIXED, faults: [strike] });
    assertEquals(problem, null, `${fault} at call ${calls}:\n${trace.lines.slice(-20).join("\n")}`);
    if (!STRIKES.some((kind) => faults.has(kind))) return calls - 1;
  }
}

for (const mode of ["killed", "dropped", "torn"] as const) {
  Deno.test(`A node keeps its promises when it crashes at any disk call, ${mode}`, async () => {
    const calls = await strikeEveryCall(mode);
    assert(calls > 150, `${calls} calls`);
  });
}

for (const fault of ["EIO", "ENOSPC", "short write", "failed sync"] as const) {
  Deno.test(`A node keeps its promises when any disk call ends with ${fault}`, async () => {
    const calls = await strikeEveryCall(fault);
    assert(calls > 20, `${calls} calls`);
  });
}

Deno.test("simulate() never serves a flipped bit, wherever it is", async () => {
  let refused = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const faults: Fault[] = [300, 500, 700].map((atMs) => ({
      kind: "flip bits",
      atMs,
      node: 0,
      mode: "dropped",
      downMs: 10,
      bits: 1,
    }));
    const result = await simulate({ ...FIXED, seed, faults });
    assertEquals(result.problem, null, `seed ${seed}`);
    refused += result.faults.get("damage refused at the start") ?? 0;
  }
  assert(refused > 60, `${refused} refused`);
});

Deno.test("simulate() ends a run that does not come to its end, and says so", async () => {
  const never: Fault = { kind: "crash", atMs: 1, node: 0, mode: "killed", downMs: 1e6 };
  const { problem } = await simulate({ ...FIXED, faults: [never] });
  assertEquals(problem, "it did not come to its end");
});

Deno.test("planOf() draws every kind of fault", () => {
  const kinds = new Set<string>();
  for (let seed = 0; seed < 50; seed++) for (const { kind } of planOf(seed).faults) kinds.add(kind);
  assertEquals(kinds.size, 12, [...kinds].join());
  assertNotEquals(planOf(1), planOf(2));
});
