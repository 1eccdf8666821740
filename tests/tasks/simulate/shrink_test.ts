import { assertEquals } from "@std/assert";
import { type Fault, planOf } from "../../../tasks/simulate/plan.ts";
import { shrink } from "../../../tasks/simulate/shrink.ts";
import { simulate } from "../../../tasks/simulate/simulation.ts";

Deno.test("shrink() leaves of a failing plan what makes it fail, and nothing else", async () => {
  const original = planOf(3);
  const fatal: Fault = { kind: "crash", atMs: 1, node: 0, mode: "killed", downMs: 1e6 };
  const plan = { ...original, faults: [...original.faults, fatal] };
  const shrunk = await shrink({ plan, result: await simulate(plan) });
  assertEquals(shrunk.result.problem, "it did not come to its end");
  assertEquals(shrunk.plan.faults, [fatal]);
  assertEquals(shrunk.plan.clients.map((client) => client.operations), [1]);
  assertEquals(shrunk.plan.seed, 3);
});
