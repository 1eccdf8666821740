import { setImmediate } from "node:timers";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { encodeCommand } from "../../lib/command_codec.ts";
import { CommandKind, Outcome } from "../../lib/key_value.ts";
import {
  ANSWER_WAIT_MS,
  DRAIN_MS,
  HELLO_TIMEOUT_MS,
  LINK_BACKLOG_BYTES_MAX,
  LINK_FRAME_BYTES_MAX,
  LINKS_MAX,
  REQUEST_TIMEOUT_MS,
} from "../../lib/limits.ts";
import { encodeHello, FrameType } from "../../lib/link_protocol.ts";
import { type Duplex, Wire } from "../../lib/wire.ts";
import { LinkServer } from "../../node/link_server.ts";
import type { Node } from "../../node/node.ts";
import { Link } from "../../router/link.ts";
import { ManualClock } from "../manual_clock.ts";
import { MemoryNode } from "../memory_cluster.ts";
import { pipe } from "../../tasks/simulate/pipe.ts";
import { until } from "../until.ts";

/** The far end of a link to a node: what it was told, and when it was ended. */
class Peer {
  /** Types of the frames that came, with their text. */
  readonly heard: string[] = [];
  isEnded = false;
  readonly wire: Wire;
  readonly #duplex: Duplex;

  constructor(duplex: Duplex, clock: ManualClock) {
    this.#duplex = duplex;
    this.wire = new Wire(duplex, clock);
    this.wire.read((frame) => {
      this.heard.push(`${frame.type} ${frame.text()}`);
    }).then(() => this.isEnded = true);
  }

  get isWelcome(): boolean {
    return this.heard[0] === `${FrameType.welcome} `;
  }

  sayHello(): void {
    encodeHello(this.wire.beginFrame(FrameType.hello, 0), "n1");
    this.wire.endFrame();
  }

  async send(bytes: number[]): Promise<void> {
    await this.#duplex.write(Uint8Array.from(bytes));
  }
}

async function setUp() {
  const clock = new ManualClock();
  const memory = await new MemoryNode("n1", clock).start();
  const server = new LinkServer(memory.node, "n1", clock);
  const served: Promise<void>[] = [];
  const serve = (duplex: Duplex) => {
    served.push(server.serve(duplex));
  };
  const open = () => {
    const [near, far] = pipe();
    serve(far);
    return new Peer(near, clock);
  };
  return {
    clock,
    node: memory.node,
    server,
    serve,
    open,
    openWelcome: async () => {
      const peer = open();
      peer.sayHello();
      await until(() => peer.isWelcome, "the link is welcome");
      return peer;
    },
    async [Symbol.asyncDispose]() {
      await server.drain();
      await Promise.all(served);
      assertEquals(clock.pending, 0, "timers left");
    },
  };
}

Deno.test("LinkServer ends a link that does not say its hello in time", async () => {
  await using nodes = await setUp();
  const router = await nodes.openWelcome();
  const silent = nodes.open();
  nodes.clock.advance(HELLO_TIMEOUT_MS - 1);
  await nodes.openWelcome(); // takes turns in which the end would be heard of
  assertEquals(silent.isEnded, false);
  nodes.clock.advance(1);
  await until(() => silent.isEnded, "the silent link is ended");
  assertEquals(router.isEnded, false);
});

Deno.test("LinkServer lets routers in, however many links say nothing", async () => {
  await using nodes = await setUp();
  const first = await nodes.openWelcome();
  const silent = Array.from({ length: 10 * LINKS_MAX }, nodes.open);
  const second = await nodes.openWelcome();
  await until(() => open(silent) <= LINKS_MAX - 2, "old silent links are ended");
  assertEquals(open(silent), LINKS_MAX - 2);
  assert(silent.slice(-10).every(({ isEnded }) => !isEnded), "the oldest go first");
  assertEquals([first.isEnded, second.isEnded], [false, false]);
});

function open(peers: Peer[]): number {
  return peers.filter(({ isEnded }) => !isEnded).length;
}

Deno.test("LinkServer refuses one link too many when all are routers, which go on", async () => {
  await using nodes = await setUp();
  const routers: Peer[] = [];
  for (let i = 0; i < LINKS_MAX; i++) routers.push(await nodes.openWelcome());
  const extra = nodes.open();
  await until(() => extra.isEnded, "the one too many is ended");
  assertEquals(open(routers), LINKS_MAX);
  routers[0].wire.close();
  await until(() => routers[0].isEnded, "a router leaves");
  assert((await nodes.openWelcome()).isWelcome);
});

Deno.test("LinkServer ends the most silent link for a new one, if silent for long", async () => {
  await using nodes = await setUp();
  const { clock } = nodes;
  const routers: Peer[] = [];
  for (let i = 0; i < LINKS_MAX; i++) routers.push(await nodes.openWelcome());
  const ask = async (peer: Peer) => {
    peer.wire.beginFrame(FrameType.health, 1);
    peer.wire.endFrame();
    await until(() => peer.heard.length === 2, "the node answers");
  };
  const silent = routers[7];
  for (const router of routers) {
    clock.advance(1);
    if (router !== silent) await ask(router);
  }
  clock.advance(REQUEST_TIMEOUT_MS - LINKS_MAX);
  assertEquals(await isLetIn(nodes.open()), false, "all may still wait for an answer");
  clock.advance(1);
  const next = nodes.open();
  assert(await isLetIn(next));
  await until(() => silent.isEnded, "the silent one is ended");
  assertEquals(open(routers), LINKS_MAX - 1);
});

/** Whether a peer that says its hello is welcome. */
async function isLetIn(peer: Peer): Promise<boolean> {
  peer.sayHello();
  await until(() => peer.isWelcome || peer.isEnded, "the peer is welcome or refused");
  return peer.isWelcome;
}

Deno.test("LinkServer that has drained ends a link that comes too late at once", async () => {
  await using nodes = await setUp();
  await nodes.server.drain();
  const late = nodes.open();
  await until(() => late.isEnded, "the late link is ended");
});

Deno.test("LinkServer ends a link that sends a write that is none, and logs nothing", async () => {
  await using nodes = await setUp();
  const command = { kind: CommandKind.put, client: "c", seq: 1, key: "k", value: "v" };
  const wrong: [seq: number, key: number, more: string, told: RegExp][] = [
    [0, 0x6b, "", /^134 Command is malformed: kind 1, client 1 bytes, key 1 bytes, .* seq 0,/],
    [1, 0x6b, "x", /^134 Command has 23 bytes, expected 24$/],
    [1, 0xff, "", /^134 Command is malformed: client, key or value is not UTF-8$/],
  ];
  for (const [seq, key, more, told] of wrong) {
    const peer = await nodes.openWelcome();
    const writer = peer.wire.beginFrame(FrameType.write, 1);
    encodeCommand(writer, { ...command, seq });
    writer.buffer[writer.length - 2] = key;
    writer.text(more);
    peer.wire.endFrame();
    await until(() => peer.isEnded, "the link is ended");
    assertMatch(peer.heard[1], told);
  }
  assertEquals(nodes.node.lastIndex, 0);
});

Deno.test("LinkServer gives a slow router all of its large answers, each once", async () => {
  await using nodes = await setUp();
  const { clock, node } = nodes;
  const [near, far] = pipe({ pieceBytes: 256 * 1024 });
  nodes.serve(slow(far));
  const link = new Link({
    nodeId: "n1",
    address: "memory:n1",
    connect: () => Promise.resolve(near),
    clock,
    random: () => 0.5,
  });
  const keys = Array.from({ length: 60 }, (_, i) => `k${i}`);
  for (const [i, key] of keys.entries()) {
    await node.write({ kind: CommandKind.put, client: "p", seq: i + 1, key, value: PREV_VALUE });
  }
  const removed = await Promise.all(
    keys.map((key) =>
      link.write({ kind: CommandKind.delete, client: `c of ${key}`, seq: 1, key, value: "" })
    ),
  );
  for (const { outcome, prevValue } of removed) {
    assertEquals(outcome, Outcome.applied);
    assert(prevValue === PREV_VALUE);
  }
  assert(link.up, "it is the first connection still");
  await link.close();
});

/** An end whose writes take a turn of the event loop each. */
function slow(duplex: Duplex): Duplex {
  return {
    read: (bytes) => duplex.read(bytes),
    async write(bytes) {
      await new Promise<void>((resolve) => setImmediate(resolve));
      return await duplex.write(bytes);
    },
    close: () => duplex.close(),
  };
}

const PREV_VALUE = "v".repeat(1_000_000);
const REMOVE = { kind: CommandKind.delete, client: "c", seq: 2, key: "k", value: "" };

/** Has `node` remember an answer of 1 MB, which every copy of `REMOVE` gets. */
async function removeLargeValue(node: Node): Promise<void> {
  await node.write({ kind: CommandKind.put, client: "c", seq: 1, key: "k", value: PREV_VALUE });
  await node.write(REMOVE);
}

/** Sends `count` copies of `REMOVE`. */
function askForLargeAnswers(asker: Wire, count: number): void {
  for (let id = 1; id <= count; id++) {
    encodeCommand(asker.beginFrame(FrameType.write, id), REMOVE);
    asker.endFrame();
  }
}

const OVERFLOW_REASON = `${FrameType.refused} more than ${LINK_BACKLOG_BYTES_MAX} bytes of ` +
  "replies were not read";

/** A link whose peer takes nothing, with answers of 1 MB that it is waited for to take. */
async function fullLink(nodes: Awaited<ReturnType<typeof setUp>>) {
  const held = new HeldDuplex();
  nodes.serve(held);
  const peer = new Peer(held.far, nodes.clock);
  peer.sayHello();
  askForLargeAnswers(peer.wire, 40);
  await turns(50);
  const answers = nodes.node.metrics().dedup_hits;
  assert(answers > 0 && answers < 40, `${answers} answers before the node waits`);
  return { held, peer, answers };
}

Deno.test("LinkServer waits for many peers that take no answers little longer than for one", async () => {
  await using nodes = await setUp();
  const { node, clock } = nodes;
  await removeLargeValue(node);
  const peers = Array.from({ length: 8 }, () => new HeldDuplex());
  for (const peer of peers) {
    nodes.serve(peer);
    const asker = new Wire(peer.far, clock);
    encodeHello(asker.beginFrame(FrameType.hello, 0), "n1");
    asker.endFrame();
    askForLargeAnswers(asker, 40);
  }
  let isIdle = false;
  await turns(50);
  node.idle().then(() => isIdle = true);
  const start = clock.monotonic();
  for (const waitMs of [ANSWER_WAIT_MS, ...new Array(7).fill(ANSWER_WAIT_MS / 10)]) {
    assertEquals(isIdle, false);
    clock.advance(waitMs);
    await turns(50);
  }
  assertEquals([isIdle, clock.monotonic() - start], [true, 1.7 * ANSWER_WAIT_MS]);
  assertEquals(node.metrics().dedup_hits, 8 * 40);
  const before = clock.monotonic();
  const drained = nodes.server.drain();
  clock.advance(DRAIN_MS);
  await drained;
  assertEquals(clock.monotonic() - before, DRAIN_MS);
  assert(peers.every(({ isClosed }) => isClosed));
});

Deno.test("LinkServer sends what waits on a link that has too much, and nothing more", async () => {
  await using nodes = await setUp();
  const { clock, node } = nodes;
  await removeLargeValue(node);
  const { held, peer, answers } = await fullLink(nodes);
  clock.advance(ANSWER_WAIT_MS);
  await until(() => node.metrics().dedup_hits === 40, "the other writes are answered");
  peer.wire.beginFrame(FrameType.health, 1);
  peer.wire.endFrame();
  askForLargeAnswers(peer.wire, 40);
  await turns(20);
  clock.advance(DRAIN_MS - 1);
  held.release();
  await until(() => peer.heard.at(-1) === OVERFLOW_REASON, "all that waited is sent");
  assertEquals(peer.heard.length, 1 + answers + 1);
  await turns(20);
  assertEquals([peer.heard.length, peer.isEnded], [1 + answers + 1, false]);
  clock.advance(1);
  await until(() => peer.isEnded, "the link is closed");
  assertEquals(peer.heard.length, 1 + answers + 1);
  assert((await nodes.openWelcome()).isWelcome);
});

Deno.test("LinkServer closes a link whose peer takes no answers in time, once and for all", async () => {
  await using nodes = await setUp();
  const { clock, node } = nodes;
  await removeLargeValue(node);
  const { held, peer } = await fullLink(nodes);
  clock.advance(ANSWER_WAIT_MS);
  await until(() => node.metrics().dedup_hits === 40, "the other writes are answered");
  await turns(20);
  clock.advance(DRAIN_MS - 1);
  askForLargeAnswers(peer.wire, 40);
  await turns(20);
  assertEquals(held.isClosed, false);
  clock.advance(1);
  assertEquals(held.isClosed, true);
});

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** The near end of a connection that passes on nothing that is written to it until its release. */
class HeldDuplex implements Duplex {
  isClosed = false;
  readonly far: Duplex;
  readonly #near: Duplex;
  readonly #released = Promise.withResolvers<void>();

  constructor() {
    [this.#near, this.far] = pipe();
  }

  release(): void {
    this.#released.resolve();
  }

  read(bytes: Uint8Array): Promise<number | null> {
    return this.#near.read(bytes);
  }

  async write(bytes: Uint8Array): Promise<number> {
    await this.#released.promise;
    return await this.#near.write(bytes);
  }

  close(): void {
    this.isClosed = true;
    this.#released.resolve(); // a write that waits finds the pipe closed
    this.#near.close();
  }
}

/** Bytes that no router sends first, and what they are told. */
const WRONG_STARTS: Record<string, [bytes: number[], told: RegExp]> = {
  "a frame of 4 GiB": [
    [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1],
    new RegExp(`^134 Frame has 4294967295 bytes, expected 5 to ${LINK_FRAME_BYTES_MAX}$`),
  ],
  "a request of HTTP": [
    [...new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n")],
    /^134 Frame has 542393671 bytes, expected/,
  ],
  "another version": [
    [16, 0, 0, 0, 0, 0, 0, 0, 1, ...new TextEncoder().encode("sixpaths"), 99, 110, 49],
    /^134 link version is 99, expected \d+$/,
  ],
  "another protocol": [
    [10, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5],
    /^134 this is a link port of sixpaths, which speaks no other protocol$/,
  ],
  "a request before its hello": [
    [6, 0, 0, 0, 1, 0, 0, 0, 2, 107],
    /^134 Frame type is 2, expected 1/,
  ],
};

for (const [name, [bytes, told]] of Object.entries(WRONG_STARTS)) {
  Deno.test(`LinkServer ends a link that begins with ${name}, and says why`, async () => {
    await using nodes = await setUp();
    const router = await nodes.openWelcome();
    const stranger = nodes.open();
    await stranger.send(bytes);
    await until(() => stranger.isEnded, "the stranger's link is ended");
    assertEquals(stranger.heard.length, 1);
    assertMatch(stranger.heard[0], told);
    assertEquals(router.isEnded, false);
  });
}
