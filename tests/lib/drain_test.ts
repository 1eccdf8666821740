import { assertEquals, assertRejects } from "@std/assert";
import { atMostDrainTime } from "../../lib/drain.ts";
import { DRAIN_MS } from "../../lib/limits.ts";
import { ManualClock } from "../manual_clock.ts";

Deno.test("atMostDrainTime() does not wait for work that takes longer", async () => {
  const clock = new ManualClock();
  const drained = atMostDrainTime(clock, new Promise(() => {}));
  clock.advance(DRAIN_MS);
  await drained;
});

Deno.test("atMostDrainTime() leaves no timer behind when the work is done", async () => {
  const clock = new ManualClock();
  await atMostDrainTime(clock, Promise.resolve());
  assertEquals(clock.pending, 0);
});

Deno.test("atMostDrainTime() leaves no timer behind when the work fails", async () => {
  const clock = new ManualClock();
  await assertRejects(() => atMostDrainTime(clock, Promise.reject(new Error("broken"))));
  assertEquals(clock.pending, 0);
});
