import { assertEquals } from "@std/assert";
import type { FailedAttempt } from "../../../tasks/torture/load.ts";
import { type Observations, reportOn } from "../../../tasks/torture/report.ts";

/** Two shards that answer every 10 ms for a second, but for what a test takes away. */
function answers(...silences: [shard: string, from: number, to: number][]) {
  const times = Array.from({ length: 101 }, (_, i) => i * 10);
  return new Map(["n1", "n2"].map((id) => [
    id,
    times.filter((time) =>
      !silences.some(([shard, from, to]) => shard === id && time > from && time < to)
    ),
  ]));
}

function report(observations: Partial<Observations>) {
  return reportOn({ faults: [], answeredAt: answers(), failures: [], ...observations });
}

const KILL = { target: "n1", kind: "kill", startedAt: 300, endedAt: 480 } as const;
const FAILURE: FailedAttempt = {
  shard: "n1",
  via: "router",
  reason: "503",
  startedAt: 350,
  endedAt: 360,
};

Deno.test("reportOn() measures from a kill to the first answer of the new process", () => {
  // An answer that the killed process had given is still on its way at 310.
  const answeredAt = answers(["n1", 310, 500]);
  assertEquals(report({ faults: [KILL], answeredAt }).servedAgainMs, [200]);
});

Deno.test("reportOn() leaves out a kill during which the router was hurt as well", () => {
  const faults = [KILL, { ...KILL, target: "router", startedAt: 400, endedAt: 410 }];
  assertEquals(report({ faults }).servedAgainMs, []);
});

Deno.test("reportOn() says that keys were never served again when there was no answer", () => {
  const answeredAt = answers(["n1", 310, 2000]);
  assertEquals(report({ faults: [KILL], answeredAt }).servedAgainMs, [Infinity]);
});

Deno.test("reportOn() puts each silence down to the fault of its node or of the router", () => {
  const faults = [KILL, { target: "router", kind: "pause", startedAt: 700, endedAt: 750 } as const];
  const answeredAt = answers(["n1", 300, 500], ["n1", 700, 760], ["n2", 700, 760], [
    "n2",
    100,
    130,
  ]);
  const { shards } = report({ faults, answeredAt });
  assertEquals(shards, [
    {
      id: "n1",
      kills: 1,
      pauses: 0,
      longestHurtMs: 200,
      longestRouterMs: 60,
      longestHealthyMs: 10,
    },
    { id: "n2", kills: 0, pauses: 0, longestHurtMs: 0, longestRouterMs: 60, longestHealthyMs: 30 },
  ]);
});

Deno.test("reportOn() has no excuse for an error on the keys of a healthy node", () => {
  const elsewhere = { ...FAILURE, shard: "n2" };
  const before = { ...FAILURE, startedAt: 280, endedAt: 290 };
  const { errors } = report({ faults: [KILL], failures: [elsewhere, before] });
  assertEquals(errors, { healthy: 2, hurt: 0, straight: 0, router: 0 });
});

Deno.test("reportOn() tells the errors of a hurt node by the way that they took", () => {
  const straight = { ...FAILURE, via: "node" } as const;
  const { errors } = report({ faults: [KILL], failures: [FAILURE, straight, straight] });
  assertEquals(errors, { healthy: 0, hurt: 1, straight: 2, router: 0 });
});

Deno.test("reportOn() puts an error down to a router that was killed meanwhile", () => {
  const faults = [{ ...KILL, target: "router" }];
  const straight = { ...FAILURE, via: "node" } as const;
  const { errors } = report({ faults, failures: [FAILURE, straight] });
  assertEquals(errors, { healthy: 1, hurt: 0, straight: 0, router: 1 });
});
