/**
 * Stories of clients that mean no good, or do not know better: what they hold back, pile up or send
 * in error costs the servers a bounded amount of memory, and the other clients nothing.
 *
 * @module
 */
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { ByteWriter } from "../../lib/byte_writer.ts";
import { encodeCommand } from "../../lib/command_codec.ts";
import type { ClusterConfig } from "../../lib/config.ts";
import { CommandKind } from "../../lib/key_value.ts";
import { LINKS_MAX } from "../../lib/limits.ts";
import { FrameType, LINK_VERSION } from "../../lib/link_protocol.ts";
import { residentBytes } from "../../tasks/bench/resident_memory.ts";
import { STOP_MS_MAX } from "../../tasks/supervise/supervisor.ts";
import {
  type MainProcess,
  startMain,
  type StartOptions,
  startProgram,
  temporaryDirectory,
  waitFor,
  writeFreeConfig,
} from "../process.ts";
import { put, remove, request } from "./http_client.ts";

const DEADLINE_MS = 10_000;
const MiB = 1024 * 1024;

/** A node and a router, each a process. */
class Servers implements AsyncDisposable {
  #seq = 0;

  private constructor(
    readonly config: ClusterConfig,
    readonly node: MainProcess,
    readonly router: MainProcess,
    readonly resources: AsyncDisposableStack,
  ) {}

  static async start(options: StartOptions = {}): Promise<Servers> {
    await using resources = new AsyncDisposableStack();
    const directory = resources.use(await temporaryDirectory());
    const { file, config } = await writeFreeConfig(directory.path, 1);
    const node = resources.use(startMain(["node", "--id", "n1", "--config", file], options));
    const router = resources.use(startMain(["router", "--config", file], options));
    await Promise.all([node.line(/^listening/), router.line(/^listening/)]);
    const servers = new Servers(config, node, router, resources.move());
    await waitFor("the router has its link", () => servers.isWritten(servers.routerPort));
    return servers;
  }

  get nodePort(): number {
    return this.config.nodes[0].port;
  }

  get linkPort(): number {
    return this.config.nodes[0].linkPort;
  }

  get routerPort(): number {
    return this.config.router.port;
  }

  /**
   * Whether a write on a connection of its own is answered as it should be, within its deadline.
   */
  async isWritten(port: number, value = "v"): Promise<boolean> {
    const body = JSON.stringify({ client: "c", seq: ++this.#seq, key: `k${this.#seq}`, value });
    const response = await this.#ask(port, "/put", { method: "POST", body });
    return response !== null && response.success === true;
  }

  // deno-lint-ignore no-explicit-any
  async #ask(port: number, target: string, init: RequestInit): Promise<any> {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const headers = { connection: "close" };
    const url = `http://127.0.0.1:${port}${target}`;
    return await fetch(url, { ...init, headers, signal })
      .then((response) => response.json(), () => null);
  }

  /** Other clients, whom nothing of all this may concern. */
  async assertServed(): Promise<void> {
    for (let i = 0; i < 20; i++) {
      assert(await this.isWritten(this.nodePort), `Write ${i} to the node`);
      assert(await this.isWritten(this.routerPort), `Write ${i} to the router`);
    }
  }

  /** @throws {Error} A server holds more memory, unless nobody can tell. */
  async assertMemoryBelow(bytes: number): Promise<void> {
    for (const [name, { pid }] of Object.entries({ node: this.node, router: this.router })) {
      const held = await residentBytes(pid);
      if (held !== undefined) assertLess(held, bytes, `Bytes that the ${name} holds`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.resources.disposeAsync();
  }
}

/** Connections that another process holds: this one may not have so many files open. */
async function holdConnections(port: number, count: number, text = ""): Promise<MainProcess> {
  const process = startProgram(
    "tests/scenario/idle_connections.ts",
    [`${port}`, `${count}`, btoa(text)],
    { stdin: "piped" },
  );
  await process.line(/^holding/, 60_000);
  return process;
}

/** 10,000, or as many as a process may open files, and some of its own. */
async function manyConnections(): Promise<number> {
  const { stdout } = await new Deno.Command("sh", { args: ["-c", "ulimit -Hn"] }).output();
  const text = new TextDecoder().decode(stdout).trim();
  const count = Math.min(10_000, text === "unlimited" ? Infinity : Number(text) - 500);
  assertGreater(count, 500, `This machine allows ${text} open files`);
  return count;
}

Deno.test("10,000 idle connections cost little memory, and others are served", async () => {
  await using servers = await Servers.start();
  const count = await manyConnections();
  await using held = await holdConnections(servers.nodePort, count);
  assertEquals(held.stdout, [`holding ${count}`]);
  await using _links = await holdConnections(servers.linkPort, 2000);
  await servers.assertServed();
  await servers.assertMemoryBelow(400 * MiB);
});

Deno.test("bodies that never end reserve no memory for what they announce", async () => {
  await using servers = await Servers.start();
  const text = `POST /put HTTP/1.1\r\nHost: h\r\nContent-Length: ${MiB}\r\n\r\n{"client":`;
  for (const port of [servers.nodePort, servers.routerPort]) {
    // 1,000 MiB are announced.
    await using _held = await holdConnections(port, 1000, text);
    await servers.assertServed();
    await servers.assertMemoryBelow(450 * MiB);
  }
});

/** What no router and no client sends. */
const GARBAGE = [
  "\0\x01\x02\x03".repeat(10_000),
  "a line without an end".repeat(3000),
  `GET /get?key=k HTTP/1.1\r\n${"X-Padding: a head without an end\r\n".repeat(1500)}`,
  "\x10\0\0\0\0\0\0\0\x01sixpaths\x63n1 and this is another version",
  "\xff\xff\xff\xff\0\0\0\0\x01 and this is a frame of 4 GiB".repeat(1000),
];

Deno.test("garbage on every port costs little memory, and nobody else anything", async () => {
  await using servers = await Servers.start();
  for (const text of GARBAGE) {
    for (const port of [servers.nodePort, servers.routerPort, servers.linkPort]) {
      await using _held = await holdConnections(port, 200, text);
      assert(await servers.isWritten(servers.routerPort), JSON.stringify(text.slice(0, 40)));
    }
  }
  await servers.assertServed();
  await servers.assertMemoryBelow(450 * MiB);
  assertEquals([servers.node.stderr, servers.router.stderr], [[], []]);
});

Deno.test("clients that do not take their answers do not hold up others", async () => {
  await using servers = await Servers.start();
  assert(await servers.isWritten(servers.nodePort, "v".repeat(1_000_000)));
  const request = "GET /get?key=k2 HTTP/1.1\r\nHost: h\r\n\r\n";
  for (const port of [servers.nodePort, servers.routerPort]) {
    // 20 requests on each of 50 connections: 1,000 MB of answers.
    await using _held = await holdConnections(port, 50, request.repeat(20));
    await servers.assertServed();
    await servers.assertMemoryBelow(600 * MiB);
  }
});

Deno.test("a node stops in time although a client and a router take nothing", async () => {
  await using servers = await Servers.start();
  const { nodePort, linkPort } = servers;
  assert(await servers.isWritten(nodePort, "v".repeat(1_000_000)));
  const unfinished = "POST /put HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n{";
  await using _client = await holdConnections(nodePort, 1, unfinished);
  const reads = frame(FrameType.get, "k2").repeat(40); // 40 MB of answers
  await using _router = await holdConnections(
    linkPort,
    1,
    HELLO + reads,
  );
  const takesReads = async () => {
    const metrics = await fetch(`http://127.0.0.1:${nodePort}/metrics`);
    return (await metrics.json()).get_total > 8;
  };
  await waitFor("the node has read as many as its link holds", takesReads);
  servers.node.kill("SIGTERM");
  assertEquals((await servers.node.exit(STOP_MS_MAX)).code, 0);
});

Deno.test("routers that take no answers to their writes do not hold up the writes of others", async () => {
  await using servers = await Servers.start();
  const { nodePort, linkPort } = servers;
  const url = `http://127.0.0.1:${nodePort}`;
  const write = { client: "large", seq: 2, key: "k" };
  await put(url, { ...write, seq: 1, value: "v".repeat(1_000_000) });
  await remove(url, write);
  const again = new ByteWriter();
  encodeCommand(again, { ...write, kind: CommandKind.delete, value: "" });
  const retries = frame(FrameType.write, String.fromCharCode(...again.written())).repeat(40);
  await using _routers = await holdConnections(linkPort, 8, HELLO + retries); // 320 MB of answers
  await servers.assertServed();
  assertEquals((await request(url, "/metrics")).body.dedup_hits, 8 * 40);
  servers.node.kill("SIGTERM");
  assertEquals((await servers.node.exit(STOP_MS_MAX)).code, 0);
});

/** A frame on a link, as text of bytes; its id is 1. */
function frame(type: number, payload: string): string {
  const length = payload.length + 5;
  return String.fromCharCode(length, 0, 0, 0, 1, 0, 0, 0, type) + payload;
}

const HELLO = frame(FrameType.hello, `sixpaths${String.fromCharCode(LINK_VERSION)}n1`);

/** Allows a process that many open files; Deno itself raises what may be raised. */
function withOpenFiles(count: number): StartOptions {
  return { within: ["sh", "-c", `ulimit -n ${count}; exec "$0" "$@"`] };
}

Deno.test("a node and a router that run out of open files say so, and serve again", async () => {
  await using servers = await Servers.start(withOpenFiles(LINKS_MAX));
  for (
    const [process, port] of [
      [servers.node, servers.nodePort],
      [servers.router, servers.routerPort],
      [servers.node, servers.linkPort],
    ] as const
  ) {
    const said = new RegExp(
      `^cannot accept connections on 127.0.0.1:${port}, trying again: .*files`,
    );
    const held = await holdConnections(port, 100);
    await process.line(said);
    await held[Symbol.asyncDispose]();
    await waitFor("the node serves", () => servers.isWritten(servers.nodePort));
    await waitFor("the router serves", () => servers.isWritten(servers.routerPort));
    assertEquals(process.stderr.filter((line) => said.test(line)).length, 1, "It says so once");
  }
});
