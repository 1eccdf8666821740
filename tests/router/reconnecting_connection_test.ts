import { setImmediate } from "node:timers";
import { assertEquals } from "@std/assert";
import { CONNECT_TIMEOUT_MS, RECONNECT_MS_MIN, REQUEST_TIMEOUT_MS } from "../../lib/limits.ts";
import { FrameType } from "../../lib/link_protocol.ts";
import { Wire } from "../../lib/wire.ts";
import { ReconnectingConnection } from "../../router/reconnecting_connection.ts";
import { pipe } from "../../tasks/simulate/pipe.ts";
import { ManualClock } from "../manual_clock.ts";
import { until } from "../until.ts";
import { handOut } from "./hand_out.ts";

/** A connection that the test hands out each time, and what happened to it. */
function setUp() {
  const clock = new ManualClock();
  const { connect, attempt } = handOut(clock);
  const happened: string[] = [];
  const connection = new ReconnectingConnection({ nodeId: "n1", connect, clock, random: () => 0 }, {
    onUp: () => happened.push("up"),
    onReply: ({ type }) => {
      happened.push(`reply ${type}`);
      if (type === FrameType.json) throw new RangeError("Reply is not JSON");
    },
    onDown: () => happened.push("down"),
  });
  return { clock, connection, attempt, happened };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The pauses between attempts to connect that are all refused, in milliseconds. */
async function pausesWith(random: number, count: number): Promise<number[]> {
  const clock = new ManualClock();
  const attempts: number[] = [];
  const connection = new ReconnectingConnection({
    nodeId: "n1",
    connect: () => {
      attempts.push(clock.monotonic());
      return Promise.reject(new Deno.errors.ConnectionRefused("Refused"));
    },
    clock,
    random: () => random,
  }, { onUp() {}, onReply() {}, onDown() {} });
  while (attempts.length <= count) {
    await turn();
    clock.advance(1);
  }
  await connection.close();
  assertEquals(clock.pending, 0);
  return attempts.slice(1).map((at, i) => at - attempts[i]);
}

Deno.test("ReconnectingConnection waits longer after each failure, up to its bound", async () => {
  assertEquals(await pausesWith(0.999_999, 6), [20, 40, 80, 100, 100, 100]);
});

Deno.test("ReconnectingConnection waits for half of that at least, by chance", async () => {
  assertEquals(await pausesWith(0, 6), [10, 20, 40, 50, 50, 50]);
});

Deno.test("ReconnectingConnection gives up an attempt that nobody answers, for another", async () => {
  const { clock, connection, attempt, happened } = setUp();
  await attempt();
  clock.advance(CONNECT_TIMEOUT_MS);
  await attempt();
  const problem = `it accepted no connection within ${CONNECT_TIMEOUT_MS} ms`;
  assertEquals([connection.problem, happened], [problem, []]);
  await connection.close();
  assertEquals(clock.pending, 0);
});

Deno.test("ReconnectingConnection gives up a node that accepts and says nothing", async () => {
  const { clock, connection, attempt, happened } = setUp();
  const [near, far] = pipe();
  const { accept } = await attempt();
  const startMs = clock.monotonic();
  accept(near);
  assertEquals(await far.read(new Uint8Array(100)), 20, "bytes of the hello");
  clock.advance(REQUEST_TIMEOUT_MS);
  assertEquals(await far.read(new Uint8Array(1)), null);
  await attempt();
  const problem = `it said nothing for ${REQUEST_TIMEOUT_MS} ms`;
  assertEquals([connection.problem, happened], [problem, []]);
  assertEquals(connection.isDownForLong(startMs + REQUEST_TIMEOUT_MS), false);
  assertEquals(connection.isDownForLong(startMs + REQUEST_TIMEOUT_MS + 1), true);
  await connection.close();
});

Deno.test("ReconnectingConnection says that it was not welcomed, while and after", async () => {
  const { connection, attempt, happened } = setUp();
  const [near, far] = pipe();
  (await attempt()).accept(near);
  assertEquals(await far.read(new Uint8Array(100)), 20, "bytes of the hello");
  const problem = "it has not welcomed the connection";
  assertEquals(connection.problem, problem);
  far.close();
  await attempt();
  assertEquals([connection.problem, happened], [problem, []]);
  await connection.close();
});

Deno.test("ReconnectingConnection that closes in the turn in which it is there is closed", async () => {
  const { clock, connection, attempt } = setUp();
  const [near, far] = pipe();
  (await attempt()).accept(near);
  await connection.close();
  assertEquals(await far.read(new Uint8Array(1)), null);
  assertEquals(clock.pending, 0);
});

Deno.test("ReconnectingConnection is up from the welcome to its end, and says why it ended", async () => {
  const { clock, connection, attempt, happened } = setUp();
  const ends: [type: number, id: number, text: string, problem: string][] = [
    [FrameType.json, 1, "{", "Reply is not JSON"],
    [FrameType.refused, 0, "too much", "too much"],
    [0xff, 0xffff_ffff, "x".repeat(70_000), "the connection ended"],
  ];
  for (const [type, id, text, problem] of ends) {
    const [near, far] = pipe();
    (await attempt()).accept(near);
    const wire = new Wire(far, clock);
    const reading = wire.read(({ type }) => {
      wire.beginFrame(type === FrameType.hello ? FrameType.welcome : type, 0);
      wire.endFrame();
    });
    await until(() => connection.wire !== null, "it is up");
    assertEquals(happened.splice(0), ["up"]);
    wire.beginFrame(type, id).text(text);
    wire.endFrame();
    await wire.flush();
    if (type === 0xff) wire.close();
    await reading;
    await until(() => connection.wire === null, "it is down");
    assertEquals(connection.problem, problem);
    const replies = type === FrameType.refused ? [] : [`reply ${type}`];
    assertEquals(happened.splice(0), [...replies, "down"]);
  }
  await connection.close();
});

/** Accepts the next attempt of `connection`, as a node would that welcomes it. Returns its end. */
async function welcome({ clock, connection, attempt }: ReturnType<typeof setUp>): Promise<Wire> {
  const [near, far] = pipe();
  (await attempt()).accept(near);
  const wire = new Wire(far, clock);
  wire.read(({ id }) => {
    wire.beginFrame(FrameType.welcome, id);
    wire.endFrame();
  });
  await until(() => connection.wire !== null, "it is up");
  return wire;
}

Deno.test("ReconnectingConnection counts from its last end how long it has been down", async () => {
  const set = setUp();
  const { clock, connection } = set;
  const wire = await welcome(set);
  clock.advance(2 * REQUEST_TIMEOUT_MS);
  wire.close();
  await until(() => connection.wire === null, "it is down");
  const downSinceMs = clock.monotonic();
  assertEquals(connection.isDownForLong(downSinceMs + REQUEST_TIMEOUT_MS), false);
  assertEquals(connection.isDownForLong(downSinceMs + REQUEST_TIMEOUT_MS + 1), true);
  await connection.close();
});

Deno.test("ReconnectingConnection that was up begins again with the shortest pause", async () => {
  const set = setUp();
  const { clock, connection, attempt } = set;
  for (let failures = 0; failures < 4; failures++) (await attempt()).refuse();
  const wire = await welcome(set);
  wire.close();
  await until(() => connection.wire === null, "it is down");
  await turn();
  const downSinceMs = clock.monotonic();
  clock.advance(RECONNECT_MS_MIN / 2);
  await turn();
  await attempt();
  assertEquals(clock.monotonic() - downSinceMs, RECONNECT_MS_MIN / 2);
  await connection.close();
});

Deno.test("ReconnectingConnection stays up when a single request is refused", async () => {
  const set = setUp();
  const { connection, happened } = set;
  const wire = await welcome(set);
  for (const type of [FrameType.refused, FrameType.value]) {
    wire.beginFrame(type, 1).text("busy");
    wire.endFrame();
  }
  await until(() => happened.length === 3, "both replies come");
  assertEquals(happened, ["up", `reply ${FrameType.refused}`, `reply ${FrameType.value}`]);
  assertEquals(connection.wire !== null, true);
  await connection.close();
});

Deno.test("ReconnectingConnection takes nothing but a welcome for one", async () => {
  const { clock, connection, attempt, happened } = setUp();
  const [near, far] = pipe();
  (await attempt()).accept(near);
  const wire = new Wire(far, clock);
  wire.beginFrame(FrameType.value, 1);
  wire.endFrame();
  await wire.read(() => {}); // until the connection is closed
  await attempt();
  const problem = `First reply has type ${FrameType.value}, expected ${FrameType.welcome}`;
  assertEquals([connection.problem, happened], [problem, []]);
  await connection.close();
});
