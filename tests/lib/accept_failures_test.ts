import { assertEquals } from "@std/assert";
import { AcceptFailures } from "../../lib/accept_failures.ts";
import { ACCEPT_FAILURE_REPORT_MS, ACCEPT_RETRY_MS } from "../../lib/limits.ts";
import { ManualClock } from "../manual_clock.ts";

Deno.test("AcceptFailures says at once what is wrong, and not again for a while", async () => {
  const clock = new ManualClock();
  const said: string[] = [];
  const report = (line: string) => said.push(line);
  const failures = new AcceptFailures({ address: "127.0.0.1:8090", clock, report });
  const fail = async () => {
    const paused = failures.pause(new Error("Too many open files"));
    clock.advance(ACCEPT_RETRY_MS);
    await paused;
  };
  for (let ms = 0; ms < ACCEPT_FAILURE_REPORT_MS; ms += ACCEPT_RETRY_MS) await fail();
  const line = "cannot accept connections on 127.0.0.1:8090, trying again: Too many open files";
  assertEquals(said, [line]);
  await fail();
  assertEquals(said, [line, line]);
  assertEquals(clock.pending, 0);
});

Deno.test("AcceptFailures neither reports nor waits for a client that left too early", async () => {
  const clock = new ManualClock();
  const said: string[] = [];
  const report = (line: string) => said.push(line);
  const failures = new AcceptFailures({ address: "127.0.0.1:8090", clock, report });
  for (const error of [new Deno.errors.NotConnected(), new Deno.errors.ConnectionAborted()]) {
    const paused = failures.pause(error);
    assertEquals([said, clock.pending], [[], 0], error.name);
    await paused;
  }
});
