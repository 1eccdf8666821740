import { assertEquals } from "@std/assert";
import { Supervisor } from "../../../tasks/supervise/supervisor.ts";
import { ManualClock } from "../../manual_clock.ts";
import { fakeSpawn } from "./fake_programs.ts";

const PROGRAMS = ["n1", "n2", "router"].map((name) => ({ name, args: [] }));

function createSupervisor() {
  const clock = new ManualClock();
  const { spawn, children } = fakeSpawn();
  const lines: string[] = [];
  const supervisor = new Supervisor(PROGRAMS, {
    spawn,
    clock,
    onLine: ({ name }, line) => lines.push(`${name}: ${line}`),
    say: (line) => lines.push(line),
  });
  return { supervisor, clock, children, lines };
}

Deno.test("Supervisor.start() starts all programs at once", async () => {
  const { supervisor, children } = createSupervisor();
  const started = supervisor.start();
  assertEquals(children.map((child) => child.program.name), ["n1", "n2", "router"]);
  for (const child of children) child.ready();
  await started;
});

Deno.test("Supervisor.start() resolves when each program is ready or has ended", async () => {
  const { supervisor, clock, children } = createSupervisor();
  const started = supervisor.start();
  children[0].ready();
  await children[1].end({ code: 3 });
  children[2].ready();
  await started;
  assertEquals(supervisor.states.map((state) => state.kind), ["ready", "down", "ready"]);
  assertEquals(clock.pending, 0);
});

Deno.test("Supervisor.start() goes on without a program that takes too long", async () => {
  const { supervisor, clock, children } = createSupervisor();
  const started = supervisor.start();
  children[0].ready();
  children[2].ready();
  clock.advance(30_000);
  await started;
  assertEquals(supervisor.states.map((state) => state.kind), ["ready", "starting", "ready"]);
});

Deno.test("Supervisor passes on all lines but the ready lines of the start", async () => {
  const { supervisor, clock, children, lines } = createSupervisor();
  const started = supervisor.start();
  children[0].print("Cut off 12 bytes");
  for (const child of children) child.ready();
  await started;
  await children[1].end({ code: 1 });
  clock.advance(100);
  children[3].ready();
  assertEquals(lines, [
    "n1: Cut off 12 bytes",
    "n2 ended with code 1; it starts again in 10 ms",
    "n2: listening id=n2 keys=3 log_bytes=2048 pid=7",
  ]);
});

Deno.test("Supervisor.stop() kills what has not ended after 4 s", async () => {
  const { supervisor, clock, children } = createSupervisor();
  supervisor.start();
  const stopped = supervisor.stop();
  await children[0].end({ code: 0 });
  clock.advance(3999);
  assertEquals(children[1].signals, ["SIGTERM"]);
  clock.advance(1);
  assertEquals(children.map((child) => child.signals), [
    ["SIGTERM"],
    ["SIGTERM", "SIGKILL"],
    ["SIGTERM", "SIGKILL"],
  ]);
  await children[1].end({ signal: "SIGKILL" });
  await children[2].end({ signal: "SIGKILL" });
  await stopped;
});

Deno.test("Supervisor.stop() leaves no timer behind", async () => {
  const { supervisor, clock, children } = createSupervisor();
  const started = supervisor.start();
  for (const child of children) child.ready();
  await started;
  const stopped = supervisor.stop();
  for (const child of children) await child.end({ code: 0 });
  await stopped;
  assertEquals(clock.pending, 0);
});
