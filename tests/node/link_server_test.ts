import { assert, assertEquals, assertMatch } from "@std/assert";
import { encodeCommand } from "../../lib/command_codec.ts";
import { CommandKind } from "../../lib/key_value.ts";
import { HELLO_TIMEOUT_MS, LINK_FRAME_BYTES_MAX, LINKS_MAX } from "../../lib/limits.ts";
import { decodeText, encodeHello, FrameType } from "../../lib/link_protocol.ts";
import { type Duplex, Wire } from "../../lib/wire.ts";
import { LinkServer } from "../../node/link_server.ts";
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
    this.wire.read((type, _id, bytes, start, end) => {
      this.heard.push(`${type} ${decodeText(bytes, start, end)}`);
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

Deno.test("LinkServer ends a link whose peer takes no answers, and forgets them", async () => {
  await using nodes = await setUp();
  const { node } = nodes;
  const prevValue = "v".repeat(1_000_000);
  const remove = { kind: CommandKind.delete, client: "c", seq: 2, key: "k", value: "" };
  await node.write({ kind: CommandKind.put, client: "c", seq: 1, key: "k", value: prevValue });
  await node.write(remove);
  const stuck = new StuckDuplex();
  nodes.serve(stuck);
  const asker = new Wire(stuck.peer, nodes.clock);
  encodeHello(asker.beginFrame(FrameType.hello, 0), "n1");
  asker.endFrame();
  // Each is a small frame, and its answer is 1 MB: the value that the first of them removed.
  for (let id = 1; id <= 300; id++) {
    encodeCommand(asker.beginFrame(FrameType.write, id), remove);
    asker.endFrame();
  }
  await until(() => stuck.isClosed, "the link is ended");
  await node.idle();
  assertEquals(node.get("k"), null);
  assert((await nodes.openWelcome()).isWelcome);
  asker.close();
});

/** The end of a connection whose other end, `peer`, sends and does not read. */
class StuckDuplex implements Duplex {
  isClosed = false;
  readonly peer: Duplex;
  readonly #near: Duplex;
  readonly #never = Promise.withResolvers<number>();

  constructor() {
    [this.#near, this.peer] = pipe();
  }

  read(bytes: Uint8Array): Promise<number | null> {
    return this.#near.read(bytes);
  }

  write(): Promise<number> {
    return this.#never.promise;
  }

  close(): void {
    this.isClosed = true;
    this.#never.reject(new Deno.errors.BrokenPipe("Closed"));
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
