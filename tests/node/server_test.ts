import { assertEquals } from "@std/assert";
import { AcceptFailures } from "../../lib/accept_failures.ts";
import { ACCEPT_RETRY_MS } from "../../lib/limits.ts";
import { acceptEach } from "../../node/server.ts";
import { ManualClock } from "../manual_clock.ts";
import { until } from "../until.ts";

/** A listener that the test hands connections and errors; at the end of them it is closed. */
function listen(accepted: (string | Error)[]) {
  const clock = new ManualClock();
  const said: string[] = [];
  const report = (line: string) => said.push(line);
  const closed: string[] = [];
  const next = () => {
    const one = accepted.shift() ?? new Deno.errors.BadResource("Listener is closed");
    if (one instanceof Error) return Promise.reject(one);
    return Promise.resolve({ name: one, close: () => closed.push(one) });
  };
  const failures = new AcceptFailures({ address: "127.0.0.1:1", clock, report });
  return { clock, said, closed, listener: { accept: next }, failures };
}

Deno.test("acceptEach() closes a connection that cannot be served, and goes on at once", async () => {
  for (const error of [new TypeError("Invalid argument"), new Deno.errors.BadResource("Gone")]) {
    const { clock, said, closed, listener, failures } = listen(["first", "reset", "last"]);
    const served: string[] = [];
    await acceptEach(listener, failures, ({ name }) => {
      if (name === "reset") throw error;
      served.push(name);
    });
    assertEquals({ served, closed, said }, {
      served: ["first", "last"],
      closed: ["reset"],
      said: [],
    });
    assertEquals(clock.pending, 0);
  }
});

Deno.test("acceptEach() says that it cannot accept, and tries again after a pause", async () => {
  const { clock, said, listener, failures } = listen([new Error("Too many open files"), "next"]);
  const served: string[] = [];
  const accepting = acceptEach(listener, failures, ({ name }) => served.push(name));
  await until(() => clock.pending === 1, "it pauses");
  assertEquals(served, []);
  clock.advance(ACCEPT_RETRY_MS);
  await accepting;
  assertEquals(served, ["next"]);
  assertEquals(said.length, 1);
});
