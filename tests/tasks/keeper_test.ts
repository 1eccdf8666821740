import { assertEquals } from "@std/assert";
import { Keeper } from "../../tasks/keeper.ts";
import { ManualClock } from "../manual_clock.ts";
import { fakeSpawn } from "./fake_programs.ts";

const PROGRAM = { name: "n1", args: [], damageAdvice: "look at it" };

function startKeeper() {
  const clock = new ManualClock();
  const { spawn, children } = fakeSpawn();
  const said: string[] = [];
  const printed: string[] = [];
  const keeper = new Keeper(PROGRAM, {
    spawn,
    clock,
    onLine: (line) => printed.push(line),
    say: (line) => said.push(line),
  });
  keeper.start();
  return { keeper, clock, children, said, printed };
}

Deno.test("Keeper is ready when the program says so, and knows what it said", () => {
  const { keeper, children } = startKeeper();
  children[0].ready();
  assertEquals(keeper.state, {
    kind: "ready",
    facts: { id: "n1", keys: "3", log_bytes: "2048", pid: "7" },
  });
});

Deno.test("Keeper passes the lines of the program on", () => {
  const { children, printed } = startKeeper();
  children[0].print("Cut off 12 bytes");
  assertEquals(printed, ["Cut off 12 bytes"]);
});

Deno.test("Keeper starts a program again 10 ms after a signal ended it", async () => {
  const { clock, children, said } = startKeeper();
  children[0].ready();
  await children[0].end({ code: 137, signal: "SIGKILL" });
  assertEquals(said, ["n1 was ended by SIGKILL; it starts again in 10 ms"]);
  clock.advance(9);
  assertEquals(children.length, 1);
  clock.advance(1);
  assertEquals(children.length, 2);
});

Deno.test("Keeper starts a program again that ended without an error", async () => {
  const { clock, children, said } = startKeeper();
  await children[0].end({ code: 0 });
  clock.advance(100);
  assertEquals([children.length, said], [2, ["n1 ended with code 0; it starts again in 10 ms"]]);
});

Deno.test("Keeper waits twice as long after each exit, up to 5 s", async () => {
  const { clock, children, said } = startKeeper();
  for (let i = 0; i < 11; i++) {
    await children[i].end({ code: 1 });
    clock.advance(5000);
  }
  const delays = said.map((line) => Number(line.match(/in (\d+) ms/)![1]));
  assertEquals(delays, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5000, 5000]);
});

Deno.test("Keeper forgets earlier exits when the program was ready for 10 s", async () => {
  const { clock, children, said } = startKeeper();
  await children[0].end({ code: 1 });
  clock.advance(100);
  children[1].ready();
  clock.advance(10_000);
  await children[1].end({ code: 1 });
  assertEquals(said.at(-1), "n1 ended with code 1; it starts again in 10 ms");
});

Deno.test("Keeper does not take a long start for steady running", async () => {
  const { clock, children, said } = startKeeper();
  await children[0].end({ code: 1 });
  clock.advance(20_000);
  await children[1].end({ code: 1 });
  assertEquals(said.at(-1), "n1 ended with code 1; it starts again in 20 ms");
});

Deno.test("Keeper leaves a program with damaged data down, and says where to look", async () => {
  const { keeper, clock, children, said } = startKeeper();
  await children[0].end({ code: 3 });
  assertEquals(said, [
    "n1 refuses to start on damaged data (code 3) and stays down; look at it",
  ]);
  assertEquals([keeper.state.kind, clock.pending], ["down", 0]);
});

Deno.test("Keeper leaves a program down that cannot use its config", async () => {
  const { keeper, clock, children, said } = startKeeper();
  await children[0].end({ code: 2 });
  assertEquals(said, ["n1 cannot use its arguments or config (code 2) and stays down"]);
  assertEquals([keeper.state.kind, clock.pending], ["down", 0]);
});

Deno.test("Keeper tries again when a program cannot be started", () => {
  const clock = new ManualClock();
  const said: string[] = [];
  let attempts = 0;
  const keeper = new Keeper(PROGRAM, {
    spawn: () => {
      attempts++;
      throw new Error("Too many processes");
    },
    clock,
    onLine: () => {},
    say: (line) => said.push(line),
  });
  keeper.start();
  clock.advance(10);
  assertEquals(attempts, 2);
  assertEquals(said[0], "n1 cannot be started: Too many processes; it starts again in 10 ms");
});

Deno.test("Keeper is settled when the first start ends early", async () => {
  const { keeper, children } = startKeeper();
  await children[0].end({ code: 1 });
  await keeper.settled;
  assertEquals(keeper.state, { kind: "waiting", reason: "ended with code 1" });
});

Deno.test("Keeper.stop() waits for the process to end, and does not start it again", async () => {
  const { keeper, clock, children, said } = startKeeper();
  let stopped = false;
  const stopping = keeper.stop().then(() => stopped = true);
  await new Promise(setImmediate);
  assertEquals([children[0].signals, stopped], [["SIGTERM"], false]);
  await children[0].end({ code: 0 });
  await stopping;
  assertEquals([clock.pending, said], [0, []]);
});

Deno.test("Keeper.stop() calls off a restart that is due", async () => {
  const { keeper, clock, children } = startKeeper();
  await children[0].end({ code: 1 });
  await keeper.stop();
  clock.advance(60_000);
  assertEquals([children.length, clock.pending], [1, 0]);
});

Deno.test("Keeper.kill() kills a process that does not stop, and says so", async () => {
  const { keeper, children, said } = startKeeper();
  const stopping = keeper.stop();
  keeper.kill();
  assertEquals(children[0].signals, ["SIGTERM", "SIGKILL"]);
  assertEquals(said, ["n1 does not stop, so it is killed"]);
  await children[0].end({ signal: "SIGKILL" });
  await stopping;
});

Deno.test("Keeper.kill() has nothing to do when the process has ended", async () => {
  const { keeper, children, said } = startKeeper();
  const stopping = keeper.stop();
  await children[0].end({ code: 0 });
  await stopping;
  keeper.kill();
  assertEquals([children[0].signals, said], [["SIGTERM"], []]);
});
