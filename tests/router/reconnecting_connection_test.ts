import { assertEquals } from "@std/assert";
import { CONNECT_TIMEOUT_MS, REQUEST_TIMEOUT_MS } from "../../lib/limits.ts";
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

Deno.test("ReconnectingConnection waits longer after each failure, up to its bound", async () => {
  const clock = new ManualClock();
  const attempts: number[] = [];
  const connection = new ReconnectingConnection({
    nodeId: "n1",
    connect: () => {
      attempts.push(clock.monotonic());
      return Promise.reject(new Deno.errors.ConnectionRefused("Refused"));
    },
    clock,
    random: () => 1,
  }, { onUp() {}, onReply() {}, onDown() {} });
  for (let i = 0; i < 2000; i++) {
    clock.advance(1);
    await Promise.resolve();
    await Promise.resolve();
    await Promise.resolve();
  }
  const pauses = attempts.slice(1).map((at, i) => Math.round((at - attempts[i]) / 10) * 10);
  assertEquals(pauses.slice(0, 6), [20, 40, 80, 100, 100, 100]);
  await connection.close();
  assertEquals(clock.pending, 0);
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
