import { setImmediate } from "node:timers";
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import {
  CommandKind,
  InsufficientStorageError,
  Outcome,
  UnavailableError,
} from "../../lib/key_value.ts";
import {
  LINK_BACKLOG_BYTES_MAX,
  PROBE_TIMEOUT_MS,
  REQUEST_TIMEOUT_MS,
  UNSENT_PER_NODE_BYTES_MAX,
  WAITING_PER_NODE_MAX,
} from "../../lib/limits.ts";
import { FrameType } from "../../lib/link_protocol.ts";
import { type Duplex, Wire } from "../../lib/wire.ts";
import { Link } from "../../router/link.ts";
import { ManualClock } from "../manual_clock.ts";
import { MemoryNode } from "../memory_cluster.ts";
import { pipe } from "../../tasks/simulate/pipe.ts";
import { until } from "../until.ts";
import { handOut } from "./hand_out.ts";

function put(seq: number, key = "k", value = "v") {
  return { kind: CommandKind.put, client: "c", seq, key, value };
}

/** A link whose connections the test hands out. */
function setUp(nodeId = "n1", options: { firstId?: number } = {}) {
  const clock = new ManualClock();
  const { connect, attempt } = handOut(clock);
  const random = () => 0;
  const link = new Link({ nodeId, address: "test:1", connect, clock, random, ...options });
  return { clock, link, attempt };
}

/** Opens the link to a real node. Returns how to break it. */
async function open(
  attempt: () => Promise<{ accept: (duplex: Duplex) => void }>,
  node: MemoryNode,
) {
  const [near, far] = pipe();
  const served = node.links.serve(far);
  (await attempt()).accept(near);
  return async () => {
    far.close();
    await served;
  };
}

/** Opens the link to a node that welcomes it and answers nothing. `ended` resolves when it is closed. */
async function openSilent(
  attempt: () => Promise<{ accept: (duplex: Duplex) => void }>,
  link: Link,
  clock: ManualClock,
): Promise<{ ended: Promise<void> }> {
  const [near, far] = pipe();
  (await attempt()).accept(near);
  const wire = new Wire(far, clock);
  const ended = wire.read(({ type, id }) => {
    if (type !== FrameType.hello) return;
    wire.beginFrame(FrameType.welcome, id);
    wire.endFrame();
  });
  await until(() => link.up, "the link is up");
  return { ended };
}

Deno.test("Link sends what waits for it as soon as it is up", async () => {
  const node = await new MemoryNode("n1").start();
  const { link, attempt } = setUp();
  const written = link.write(put(1));
  const read = link.get("other");
  assertEquals(link.up, false);
  await open(attempt, node);
  assertEquals((await written).outcome, Outcome.applied);
  assertEquals(await read, null);
  assertEquals(link.up, true);
  await link.close();
  await node.stop();
});

Deno.test("Link sends again, on its next connection, what the last did not answer", async () => {
  const node = await new MemoryNode("n1").start();
  const { clock, link, attempt } = setUp();
  // A node that takes everything and dies before it answers, after it has applied the write.
  const [near, far] = pipe();
  (await attempt()).accept(near);
  const wire = new Wire(far, clock);
  const received: number[] = [];
  const reading = wire.read(({ type, id }) => {
    received.push(type);
    if (type === FrameType.hello) {
      wire.beginFrame(FrameType.welcome, id);
      wire.endFrame();
    } else if (received.length === 3) wire.close();
  });
  const results = [link.write(put(1)), link.write(put(2, "k", "w"))];
  await node.node.write(put(1));
  await reading;
  assertEquals(received, [FrameType.hello, FrameType.write, FrameType.write]);

  await open(attempt, node);
  const outcomes = (await Promise.all(results)).map((result) => result.outcome);
  assertEquals(outcomes, [Outcome.duplicate, Outcome.applied]);
  assertEquals(await link.get("k"), "w");
  await link.close();
  await node.stop();
});

Deno.test("Link gives up a request at its deadline, and says of whom it is", async () => {
  const { clock, link, attempt } = setUp();
  const { ended: reading } = await openSilent(attempt, link, clock);
  const read = assertRejects(() => link.get("k"), UnavailableError);
  clock.advance(REQUEST_TIMEOUT_MS + 200);
  assertStringIncludes(
    (await read).message,
    `Node "n1" at test:1 did not answer within ${REQUEST_TIMEOUT_MS} ms`,
  );
  await reading; // a connection that is silent for so long is given up as well
  await until(() => !link.up, "the link is down");
  link.drain();
  const problem = `it said nothing for ${REQUEST_TIMEOUT_MS} ms`;
  await assertRejects(() => link.get("k"), UnavailableError, `the router stops (${problem})`);
  await link.close();
});

Deno.test("Link keeps a new connection whose welcome is late, though requests expire", async () => {
  const node = await new MemoryNode("n1").start();
  const { clock, link, attempt } = setUp();
  const { ended: reading } = await openSilent(attempt, link, clock);
  const ask = () => assertRejects(() => link.get("k"), UnavailableError);
  const early = ask();
  clock.advance(200);
  const late = ask();
  clock.advance(REQUEST_TIMEOUT_MS - 200);
  await Promise.all([early, reading]);

  const [nearAgain, farAgain] = pipe();
  (await attempt()).accept(nearAgain);
  await turns(5);
  clock.advance(300);
  await late;
  const served = node.links.serve(farAgain);
  await until(() => link.up, "the link is up again");
  await link.close();
  await served;
  await node.stop();
});

Deno.test("Link fails what waits for a node that has been down for too long", async () => {
  const { clock, link, attempt } = setUp();
  const read = assertRejects(() => link.get("k"), UnavailableError, `Node "n1" at test:1 is down`);
  (await attempt()).refuse();
  clock.advance(REQUEST_TIMEOUT_MS + 200);
  await read;
  const started = clock.monotonic();
  await assertRejects(() => link.get("k"), UnavailableError, "is down (Refused)");
  assertEquals(clock.monotonic(), started, "waited");
  await link.close();
});

Deno.test("Link lets a request wait no longer than its node may be down", async () => {
  const { clock, link, attempt } = setUp();
  (await attempt()).refuse();
  clock.advance(REQUEST_TIMEOUT_MS - 100 - clock.monotonic()); // it is down since 0
  let problem = "";
  link.get("k").catch(({ message }) => problem = message);
  clock.advance(100);
  await turns(5);
  assertEquals(problem, "", "too early");
  clock.advance(50);
  await turns(5);
  assertStringIncludes(problem, `Node "n1" at test:1 is down`);
  await link.close();
});

Deno.test("Link stays up when its node refuses a request", async () => {
  const { clock, link, attempt } = setUp();
  const [near, far] = pipe();
  (await attempt()).accept(near);
  const wire = new Wire(far, clock);
  const reading = wire.read(({ type, id }) => {
    if (type === FrameType.hello) wire.beginFrame(FrameType.welcome, id);
    else if (type === FrameType.write) {
      wire.beginFrame(FrameType.refused, id).text("too much waits");
    } else wire.beginFrame(FrameType.missing, id);
    wire.endFrame();
  });
  const refused = assertRejects(() => link.write(put(1)), UnavailableError, `"n1": too much waits`);
  assertEquals(await link.get("k"), null);
  await refused;
  assertEquals(link.up, true);
  await link.close();
  await reading;
});

Deno.test("Link that drains answers what its node still answers, and nothing else", async () => {
  const node = await new MemoryNode("n1").start();
  const { link, attempt } = setUp();
  const breakIt = await open(attempt, node);
  await until(() => link.up, "the link is up");
  const written = link.write(put(1));
  link.drain();
  assertEquals((await written).outcome, Outcome.applied);
  await breakIt();
  await until(() => !link.up, "the link is down");
  await assertRejects(() => link.get("k"), UnavailableError, "the router stops");
  await link.close();
  await node.stop();
});

Deno.test("Link that drains lets go at once of what waits for a node that is down", async () => {
  const { link } = setUp();
  const read = assertRejects(() => link.get("k"), UnavailableError, "the router stops");
  link.drain();
  await read;
  await link.close();
});

Deno.test("Link refuses one request too many at once", async () => {
  const { link } = setUp();
  const waiting = Array.from({ length: WAITING_PER_NODE_MAX }, (_, i) => link.get(`k${i}`));
  const settled = Promise.allSettled(waiting);
  await assertRejects(() => link.get("k"), UnavailableError, "requests waiting already");
  await link.close();
  assert((await settled).every((result) => result.status === "rejected"));
});

Deno.test("Link hears of the health of a node that has as many requests as may wait", async () => {
  const { clock, link, attempt } = setUp();
  const [near, far] = pipe();
  (await attempt()).accept(near);
  const probes: [type: number, id: number][] = [];
  const wire = new Wire(far, clock);
  const reading = wire.read(({ type, id }) => {
    if (type === FrameType.health || type === FrameType.metrics) probes.push([type, id]);
    if (type !== FrameType.hello) return; // not answered
    wire.beginFrame(FrameType.welcome, id);
    wire.endFrame();
  });
  await until(() => link.up, "the link is up");
  const waiting = Array.from({ length: WAITING_PER_NODE_MAX }, (_, i) => link.get(`k${i}`));
  const settled = Promise.allSettled(waiting);
  const asked = [link.health(), link.metrics(), link.health(), link.health()];
  await until(() => probes.length > 0, "the node is asked");
  assertEquals(probes.map(([type]) => type), [FrameType.health, FrameType.metrics]);
  for (const [type, id] of probes) {
    wire.beginFrame(FrameType.json, id).text(JSON.stringify({ type }));
    wire.endFrame();
  }
  const [health, metrics] = probes.map(([type]) => ({ type }));
  assertEquals(await Promise.all(asked), [health, metrics, health, health]);
  const again = assertRejects(() => link.health(), UnavailableError, "within 500 ms");
  clock.advance(PROBE_TIMEOUT_MS);
  await again;
  await link.close();
  await Promise.all([settled, reading]);
});

Deno.test("Link has a probe time out soon after its time, and keeps the idle connection", async () => {
  const { clock, link, attempt } = setUp();
  const [near, far] = pipe();
  (await attempt()).accept(near);
  const wire = new Wire(far, clock);
  const reading = wire.read(({ type, id }) => {
    if (type === FrameType.hello) wire.beginFrame(FrameType.welcome, id);
    else if (type === FrameType.metrics) wire.beginFrame(FrameType.json, id).text("{}");
    else return; // not answered
    wire.endFrame();
  });
  await until(() => link.up, "the link is up");
  assertEquals(await link.metrics(), {});
  clock.advance(2 * REQUEST_TIMEOUT_MS); // nobody asks for anything
  const read = assertRejects(() => link.get("k"), UnavailableError);
  clock.advance(30);
  let problem = "";
  link.health().catch(({ message }) => problem = message);
  clock.advance(PROBE_TIMEOUT_MS - 1);
  await turns(5);
  assertEquals(problem, "", "too early");
  clock.advance(50);
  await turns(5);
  assertStringIncludes(problem, `did not answer within ${PROBE_TIMEOUT_MS} ms`);
  assertEquals(link.up, true);
  await link.close();
  await Promise.all([read, reading]);
});

Deno.test("Link gives up a connection that is silent for long, though only probes ask", async () => {
  const { clock, link, attempt } = setUp();
  const { ended: reading } = await openSilent(attempt, link, clock);
  for (let askedMs = 0; askedMs < REQUEST_TIMEOUT_MS; askedMs += 1000) {
    assertEquals(link.up, true, `after ${askedMs} ms`);
    const probe = assertRejects(() => link.health(), UnavailableError);
    clock.advance(1000);
    await probe;
  }
  const probe = assertRejects(() => link.health(), UnavailableError);
  clock.advance(1000);
  await Promise.all([probe, reading]); // the far end hears that the connection is closed
  await until(() => !link.up, "the link is down");
  await link.close();
});

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

Deno.test("Link refuses requests while a node that still answers reads too few", async () => {
  const { clock, link, attempt } = setUp();
  const [near, far] = pipe();
  const { promise: closed, resolve: close } = Promise.withResolvers<void>();
  let taken = 0;
  (await attempt()).accept({
    read: (bytes) => near.read(bytes),
    write: (bytes) => taken++ === 0 ? near.write(bytes) : closed.then(() => near.write(bytes)),
    close() {
      near.close();
      close();
    },
  });
  const wire = new Wire(far, clock);
  const reply = (type: number, id: number) => {
    wire.beginFrame(type, id);
    wire.endFrame();
  };
  const reading = wire.read(({ id }) => reply(FrameType.welcome, id));
  await until(() => link.up, "the link is up");
  const value = "v".repeat(1_000_000);
  const refusal = / has (\d+) bytes of requests to read already; the write may be sent again /;
  let refused: RegExpExecArray | null = null;
  for (let seq = 1; refused === null; seq++) {
    const failed = assertRejects(() => link.write(put(seq, "k", value)), UnavailableError);
    failed.then(({ message }) => refused ??= refusal.exec(message));
    if (seq % 8 === 0) {
      clock.advance(REQUEST_TIMEOUT_MS / 2);
      reply(FrameType.missing, 0xffff_ffff); // as if to a request that was given up
      await turns(10);
      clock.advance(REQUEST_TIMEOUT_MS / 2);
    }
    await turns(1);
    assert(seq * value.length < 2 * UNSENT_PER_NODE_BYTES_MAX, "refused in time");
  }
  const backlog = Number((refused as string[])[1]);
  assert(backlog < UNSENT_PER_NODE_BYTES_MAX + 2 * value.length, `backlog ${backlog}`);
  clock.advance(REQUEST_TIMEOUT_MS);
  await link.close();
  await reading;
});

Deno.test("Link and node go on when both have more to send than may wait", async () => {
  const node = await new MemoryNode("n1").start();
  const { link, attempt } = setUp();
  const value = "v".repeat(1_000_000);
  await node.node.write(put(1, "large", value));
  let done = 0;
  const count = async (answer: Promise<unknown>) => {
    await answer;
    done++;
  };
  // All of it leaves in one turn, when the link is up.
  const sent = Math.ceil(LINK_BACKLOG_BYTES_MAX / value.length);
  const reads = Array.from({ length: 40 }, () => count(link.get("large")));
  const writes = Array.from(
    { length: sent },
    (_, i) => count(link.write(put(2 + i, `k${i}`, value))),
  );
  const all = Promise.all([...reads, ...writes]);
  const [near, far] = narrowPipe(64 * 1024);
  const served = node.links.serve(far);
  (await attempt()).accept(near);
  await until(() => done === reads.length + writes.length, "all is answered", 20_000);
  await all;
  await link.close();
  await served;
  await node.stop();
});

/** As {@linkcode pipe}, but a write waits until the other end has read all but `bytesMax`. */
function narrowPipe(bytesMax: number): [Duplex, Duplex] {
  const ends = pipe({ pieceBytes: bytesMax });
  const onTheirWay = [0, 0];
  const wake = [() => {}, () => {}];
  const end = (from: 0 | 1, to: 0 | 1): Duplex => ({
    async read(bytes) {
      const count = await ends[from].read(bytes);
      onTheirWay[to] -= count ?? 0;
      wake[to]();
      return count;
    },
    async write(bytes) {
      while (onTheirWay[from] >= bytesMax) {
        await new Promise<void>((resolve) => wake[from] = resolve);
      }
      const count = await ends[from].write(bytes);
      onTheirWay[from] += count;
      return count;
    },
    close() {
      ends[from].close();
      onTheirWay.fill(0); // a write that waits gets to know
      wake.forEach((wake) => wake());
    },
  });
  return [end(0, 1), end(1, 0)];
}

Deno.test("Link gives no request the id 0, which means the link itself", async () => {
  const { clock, link, attempt } = setUp("n1", { firstId: 0xffff_ffff });
  const [near, far] = pipe();
  (await attempt()).accept(near);
  const wire = new Wire(far, clock);
  const ids: number[] = [];
  const reading = wire.read(({ type, id }) => {
    if (type === FrameType.get) ids.push(id);
    wire.beginFrame(type === FrameType.hello ? FrameType.welcome : FrameType.missing, id);
    wire.endFrame();
  });
  assertEquals(await Promise.all([link.get("k"), link.get("k")]), [null, null]);
  assertEquals(ids, [0xffff_ffff, 1]);
  await link.close();
  await reading;
});

Deno.test("Link advises to send a write again, and says nothing of that to a read", async () => {
  const { clock, link } = setUp();
  const failed = [link.get("k"), link.write(put(1))].map((request) =>
    assertRejects(() => request, UnavailableError)
  );
  clock.advance(REQUEST_TIMEOUT_MS + 200);
  const [read, written] = await Promise.all(failed);
  assertEquals(read.message, `Node "n1" at test:1 is down (it was not reached yet)`);
  assertEquals(
    written.message,
    `${read.message}; the write may be sent again with the same client and seq, ` +
      `it is applied once`,
  );
  await link.close();
});

Deno.test("Link to the wrong node is not used, and says why", async () => {
  const node = await new MemoryNode("n2").start();
  const { clock, link, attempt } = setUp("n1");
  await open(attempt, node);
  await attempt(); // it was let go, and the next one is tried
  clock.advance(REQUEST_TIMEOUT_MS + 200);
  await assertRejects(() => link.get("k"), UnavailableError, `this is node "n2", not "n1"`);
  assertEquals(link.up, false);
  await node.stop();
  await link.close();
});

Deno.test("Link drops a connection on which something else than replies arrives", async () => {
  for (const reply of [[FrameType.json, 1], [FrameType.result, 1], [77, 1]]) {
    const { clock, link, attempt } = setUp();
    const [near, far] = pipe();
    (await attempt()).accept(near);
    const wire = new Wire(far, clock);
    const reading = wire.read(({ type, id }) => {
      wire.beginFrame(type === FrameType.hello ? FrameType.welcome : reply[0], id);
      wire.endFrame();
    });
    const read = link.get("k");
    await reading;
    // The request is not lost with it.
    const node = await new MemoryNode("n1").start();
    await open(attempt, node);
    assertEquals(await read, null, `reply of type ${reply[0]}`);
    await link.close();
    await node.stop();
  }
});

Deno.test("Link that has sent a write twice does not trust the refusal of one copy", async () => {
  for (const [copies, kind] of [[1, InsufficientStorageError], [2, UnavailableError]] as const) {
    const { clock, link, attempt } = setUp();
    const written = assertRejects(() => link.write(put(1)), kind, "Disk is full");
    for (let copy = 1; copy <= copies; copy++) {
      const [near, far] = pipe();
      (await attempt()).accept(near);
      const wire = new Wire(far, clock);
      await wire.read(({ type, id }) => {
        // This copy may still be on its way.
        if (type === FrameType.write && copy < copies) return wire.close();
        if (type === FrameType.hello) wire.beginFrame(FrameType.welcome, id);
        else wire.beginFrame(FrameType.full, id).text("Disk is full");
        wire.endFrame();
        if (type === FrameType.write) written.finally(() => wire.close());
      });
    }
    await written;
    await link.close();
  }
});
