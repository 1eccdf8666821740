import { assertEquals } from "@std/assert";
import { SupervisedProcess } from "../../../tasks/supervise/supervised_process.ts";
import { ManualClock } from "../../manual_clock.ts";
import { fakeSpawn } from "./fake_programs.ts";

const PROGRAM = { name: "n1", args: ["a"], restartArgs: ["--b"], damageAdvice: "look at it" };

function startProcess() {
  const clock = new ManualClock();
  const { spawn, children } = fakeSpawn();
  const said: string[] = [];
  const printed: string[] = [];
  const process = new SupervisedProcess(PROGRAM, {
    spawn,
    clock,
    onLine: (line) => printed.push(line),
    say: (line) => said.push(line),
  });
  process.start();
  return { process, clock, children, said, printed };
}

Deno.test("SupervisedProcess is ready when the program says so, and knows what it said", () => {
  const { process, children } = startProcess();
  children[0].ready();
  assertEquals(process.state, {
    kind: "ready",
    facts: { id: "n1", keys: "3", log_bytes: "2048", pid: "7" },
  });
});

Deno.test("SupervisedProcess passes the lines of the program on", () => {
  const { children, printed } = startProcess();
  children[0].print("Cut off 12 bytes");
  assertEquals(printed, ["Cut off 12 bytes"]);
});

Deno.test("SupervisedProcess starts a program again 10 ms after a signal ended it", async () => {
  const { clock, children, said } = startProcess();
  children[0].ready();
  await children[0].end({ code: 137, signal: "SIGKILL" });
  assertEquals(said, ["n1 was ended by SIGKILL; it starts again in 10 ms"]);
  clock.advance(9);
  assertEquals(children.length, 1);
  clock.advance(1);
  assertEquals(children.length, 2);
});

Deno.test("SupervisedProcess starts a program again that ended without an error", async () => {
  const { clock, children, said } = startProcess();
  await children[0].end({ code: 0 });
  clock.advance(100);
  assertEquals([children.length, said], [2, ["n1 ended with code 0; it starts again in 10 ms"]]);
});

Deno.test("SupervisedProcess waits twice as long after each exit, up to 5 s", async () => {
  const { clock, children, said } = startProcess();
  for (let i = 0; i < 11; i++) {
    await children[i].end({ code: 1 });
    clock.advance(5000);
  }
  const delays = said.map((line) => Number(line.match(/in (\d+) ms/)![1]));
  assertEquals(delays, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5000, 5000]);
});

Deno.test("SupervisedProcess forgets earlier exits when it was ready for 10 s", async () => {
  const { clock, children, said } = startProcess();
  await children[0].end({ code: 1 });
  clock.advance(100);
  children[1].ready();
  clock.advance(10_000);
  await children[1].end({ code: 1 });
  assertEquals(said.at(-1), "n1 ended with code 1; it starts again in 10 ms");
});

Deno.test("SupervisedProcess does not take a long start for steady running", async () => {
  const { clock, children, said } = startProcess();
  await children[0].end({ code: 1 });
  clock.advance(20_000);
  await children[1].end({ code: 1 });
  assertEquals(said.at(-1), "n1 ended with code 1; it starts again in 20 ms");
});

Deno.test("SupervisedProcess stays down with damaged data, and says where to look", async () => {
  const { process, clock, children, said } = startProcess();
  await children[0].end({ code: 3 });
  assertEquals(said, [
    "n1 refuses to start on damaged data (code 3) and stays down; look at it",
  ]);
  assertEquals([process.state.kind, clock.pending], ["down", 0]);
});

Deno.test("SupervisedProcess leaves a program down that cannot use its config", async () => {
  const { process, clock, children, said } = startProcess();
  await children[0].end({ code: 2 });
  assertEquals(said, ["n1 cannot use its arguments or config (code 2) and stays down"]);
  assertEquals([process.state.kind, clock.pending], ["down", 0]);
});

Deno.test("SupervisedProcess tries again when a program cannot be started", () => {
  const clock = new ManualClock();
  const said: string[] = [];
  let attempts = 0;
  const process = new SupervisedProcess(PROGRAM, {
    spawn: () => {
      attempts++;
      throw new Error("Too many processes");
    },
    clock,
    onLine: () => {},
    say: (line) => said.push(line),
  });
  process.start();
  clock.advance(10);
  assertEquals(attempts, 2);
  assertEquals(said[0], "n1 cannot be started: Too many processes; it starts again in 10 ms");
});

Deno.test("SupervisedProcess is settled when the first start ends early", async () => {
  const { process, children } = startProcess();
  await children[0].end({ code: 1 });
  await process.settled;
  assertEquals(process.state, { kind: "waiting", reason: "ended with code 1" });
});

Deno.test("SupervisedProcess knows how a program ended that is starting again", async () => {
  const { process, clock, children } = startProcess();
  await children[0].end({ code: 1 });
  clock.advance(10);
  assertEquals(process.state, { kind: "starting", reason: "ended with code 1" });
});

Deno.test("SupervisedProcess.stop() waits for the end, and does not start it again", async () => {
  const { process, clock, children, said } = startProcess();
  let stopped = false;
  const stopping = process.stop().then(() => stopped = true);
  await new Promise(setImmediate);
  assertEquals([children[0].signals, stopped], [["SIGTERM"], false]);
  await children[0].end({ code: 0 });
  await stopping;
  assertEquals([clock.pending, said], [0, []]);
});

Deno.test("SupervisedProcess.stop() cancels a restart that is due", async () => {
  const { process, clock, children } = startProcess();
  await children[0].end({ code: 1 });
  await process.stop();
  clock.advance(60_000);
  assertEquals([children.length, clock.pending], [1, 0]);
});

Deno.test("SupervisedProcess.kill() kills a process that does not stop, and says so", async () => {
  const { process, children, said } = startProcess();
  const stopping = process.stop();
  process.kill();
  assertEquals(children[0].signals, ["SIGTERM", "SIGKILL"]);
  assertEquals(said, ["n1 does not stop, so it is killed"]);
  await children[0].end({ signal: "SIGKILL" });
  await stopping;
});

Deno.test("SupervisedProcess.kill() has nothing to do when the process has ended", async () => {
  const { process, children, said } = startProcess();
  const stopping = process.stop();
  await children[0].end({ code: 0 });
  await stopping;
  process.kill();
  assertEquals([children[0].signals, said], [["SIGTERM"], []]);
});

Deno.test("SupervisedProcess adds its restart arguments once the program was ready", async () => {
  const { clock, children } = startProcess();
  await children[0].end({ code: 1 });
  clock.advance(5000);
  children[1].ready();
  for (let i = 1; i <= 2; i++) {
    await children[i].end({ code: 1 });
    clock.advance(5000);
  }
  const args = children.map(({ program }) => program.args);
  assertEquals(args, [["a"], ["a"], ["a", "--b"], ["a", "--b"]]);
});
