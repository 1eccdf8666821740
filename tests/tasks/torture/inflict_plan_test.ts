import { assertEquals, assertRejects } from "@std/assert";
import { inflictPlan } from "../../../tasks/torture/inflict_plan.ts";
import type { PlannedFault } from "../../../tasks/torture/plan.ts";

const NEVER = new Promise<never>(() => {});

function kill(target: string, atMs: number): PlannedFault {
  return { target, kind: "kill", atMs, forMs: 0 };
}

Deno.test("inflictPlan() inflicts faults on one process one after the other", async () => {
  const events: string[] = [];
  await inflictPlan([kill("n1", 0), kill("n1", 1), kill("n2", 2)], {
    async inflict({ target, atMs }) {
      events.push(`${target} ${atMs} begins`);
      await new Promise((resolve) => setTimeout(resolve, 10));
      events.push(`${target} ${atMs} ends`);
    },
    failed: NEVER,
    signal: new AbortController().signal,
  });
  const ofFirst = events.filter((event) => event.startsWith("n1"));
  assertEquals(ofFirst, ["n1 0 begins", "n1 0 ends", "n1 1 begins", "n1 1 ends"]);
  assertEquals(events.length, 6);
});

const ONE_HOUR_MS = 3_600_000;

Deno.test("inflictPlan() ends at once when a fault cannot be inflicted", async () => {
  const plan = [kill("n1", 0), kill("n1", 1), kill("n2", ONE_HOUR_MS)];
  const inflict = async () => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    throw new Error("n1 is not ready");
  };
  const { signal } = new AbortController();
  await assertRejects(() => inflictPlan(plan, { inflict, failed: NEVER, signal }), Error, "n1 is");
});

Deno.test("inflictPlan() ends at once when something else fails, or it is to stop", async () => {
  const plan = [kill("n1", ONE_HOUR_MS)];
  const inflict = () => Promise.resolve();
  const abort = new AbortController();
  const failed = Promise.reject(new Error("Wrong answer"));
  const { signal } = abort;
  await assertRejects(() => inflictPlan(plan, { inflict, failed, signal }), Error, "Wrong answer");
  const stopped = inflictPlan(plan, { inflict, failed: NEVER, signal });
  abort.abort(new Error("Stopped"));
  await assertRejects(() => stopped, Error, "Stopped");
});
