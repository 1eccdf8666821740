/**
 * Stories of what is promised when processes die or data is damaged, with real processes: nothing
 * that was acknowledged is lost or applied twice, and a node's fault is felt by its keys alone.
 *
 * @module
 */

import { assertEquals, assertGreater, assertLess, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { formatAddress } from "../../lib/address.ts";
import type { ClusterConfig, NodeConfig } from "../../lib/config.ts";
import { salvageCommand } from "../../tasks/advised_commands.ts";
import {
  freePorts,
  type MainProcess,
  runInShell,
  startMain,
  temporaryDirectory,
  waitFor,
  writeFreeConfig,
} from "../process.ts";
import { type Answer, get, put, request } from "./http_client.ts";
import { RecordedLoad } from "./recorded_load.ts";

/** Writes that are acknowledged between one fault and the next. */
const PROGRESS = 200;
const LARGE_VALUE_BYTES = 50_000;
/** Far below the time that a request may wait for a node (5 s), far above that of an answer. */
const AT_ONCE_MS = 2500;

/** A cluster whose processes the story itself starts and ends: nobody else starts them again. */
class Cluster implements AsyncDisposable {
  readonly config: ClusterConfig;
  readonly file: string;
  readonly #resources: AsyncDisposableStack;
  /** By `n1`, `n2`, … or `router`; the latest one that was started. */
  readonly #processes = new Map<string, MainProcess>();

  private constructor(file: string, config: ClusterConfig, resources: AsyncDisposableStack) {
    this.file = file;
    this.config = config;
    this.#resources = resources;
  }

  /** Nothing runs yet. */
  static async prepare(nodeCount: number): Promise<Cluster> {
    await using resources = new AsyncDisposableStack();
    const directory = resources.use(await temporaryDirectory()).path;
    const { file, config } = await writeFreeConfig(directory, nodeCount);
    return new Cluster(file, config, resources.move());
  }

  /** All nodes and the router run. */
  static async start(nodeCount: number): Promise<Cluster> {
    const cluster = await Cluster.prepare(nodeCount);
    await using resources = new AsyncDisposableStack();
    resources.use(cluster);
    await Promise.all([...cluster.nodeIds, "router"].map((name) => cluster.start(name)));
    resources.move();
    return cluster;
  }

  get nodeIds(): string[] {
    return this.config.nodes.map(({ id }) => id);
  }

  node(id: string): NodeConfig {
    return this.config.nodes.find((node) => node.id === id)!;
  }

  /** Where a node or the router serves. */
  url(name: string): string {
    const { host, port } = name === "router" ? this.config.router : this.node(name);
    return `http://${formatAddress(host, port)}`;
  }

  process(name: string): MainProcess {
    return this.#processes.get(name)!;
  }

  /** Starts a process. It need not serve. */
  launch(name: string, file = this.file): MainProcess {
    const subcommand = name === "router" ? ["router"] : ["node", "--id", name];
    const process = this.#resources.use(startMain([...subcommand, "--config", file]));
    this.#processes.set(name, process);
    return process;
  }

  /** Starts a process and waits until it serves. */
  async start(name: string, file = this.file): Promise<void> {
    await this.launch(name, file).line(/^listening/);
  }

  /** Ends a process at once, in the middle of whatever it does. */
  async crash(name: string): Promise<void> {
    const process = this.process(name);
    process.kill("SIGKILL");
    assertEquals((await process.exit()).signal, "SIGKILL", `${name} ended before it was killed`);
  }

  /** Asks a process to end, and waits until it has. */
  async stop(name: string): Promise<void> {
    const process = this.process(name);
    process.kill("SIGTERM");
    assertEquals(await process.exit(), { code: 0, signal: null }, `How ${name} ended`);
  }

  /**
   * Ends all nodes at once; what they leave on disk must be whole. Then they start from that, and
   * the store must hold what `load` knows of.
   */
  async assertIntactOnDisk(load: RecordedLoad, url: string): Promise<void> {
    await Promise.all(this.nodeIds.map((id) => this.crash(id)));
    for (const { data } of this.config.nodes) await assertWhole(data);
    await Promise.all(this.nodeIds.map((id) => this.start(id)));
    await waitFor("the store is up again", async () => (await request(url, "/health")).ok);
    assertEquals(await load.problems(url), []);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}

/** Checks that `main.ts check` finds no damage. */
async function assertWhole(data: string): Promise<void> {
  await using check = startMain(["check", data]);
  const { code } = await check.exit();
  assertEquals(code, 0, `Damage in "${data}":\n${check.stdout.join("\n")}`);
}

let seq = 0;

/** Puts with the next sequence number. */
function putNext(url: string, key: string, value: string): Promise<Answer> {
  return put(url, { client: "test", seq: ++seq, key, value });
}

const KEYS = Array.from({ length: 24 }, (_, i) => `key-${i}`);

/** Writes all {@linkcode KEYS} through the router. Returns those of each node, by its id. */
async function writeKeys(cluster: Cluster): Promise<Map<string, string[]>> {
  for (const key of KEYS) {
    assertEquals((await putNext(cluster.url("router"), key, key)).status, 200);
  }
  const keys = new Map<string, string[]>();
  for (const id of cluster.nodeIds) {
    const found = await Promise.all(KEYS.map((key) => get(cluster.url(id), key)));
    keys.set(id, KEYS.filter((_, i) => found[i].ok));
    assertGreater(keys.get(id)!.length, 0, `Keys of ${id}`);
  }
  assertEquals([...keys.values()].flat().sort(), KEYS.toSorted(), "Keys on all nodes together");
  return keys;
}

/** Reads and writes `keys`; each holds its own name. */
async function assertServed(url: string, keys: string[]): Promise<void> {
  for (const key of keys) {
    assertEquals((await get(url, key)).body, { value: key });
    assertEquals((await putNext(url, key, key)).body.prevValue, key);
  }
}

Deno.test("nodes killed under load keep every acknowledged write, once", async () => {
  await using cluster = await Cluster.start(2);
  const url = cluster.url("router");
  await using load = new RecordedLoad(url);
  for (const id of ["n1", "n2", "n1", "n2"]) {
    await load.progress(PROGRESS);
    await cluster.crash(id);
    await cluster.start(id);
  }
  await load.progress(PROGRESS);
  await load.stop();
  await cluster.assertIntactOnDisk(load, url);
  assertEquals(cluster.process("router").stderr, []);
});

Deno.test("a node killed under load without a router keeps every write, once", async () => {
  await using cluster = await Cluster.prepare(1);
  await cluster.start("n1");
  const url = cluster.url("n1");
  await using load = new RecordedLoad(url);
  for (let kills = 1; kills <= 4; kills++) {
    await load.progress(PROGRESS);
    await cluster.crash("n1");
    await cluster.start("n1");
  }
  await load.progress(PROGRESS);
  await load.stop();
  assertEquals(load.retryReasons, ["broken connection"]);
  await cluster.assertIntactOnDisk(load, url);
});

Deno.test("a router killed under load loses nothing, and clients go on with another", async () => {
  await using cluster = await Cluster.start(2);
  const url = cluster.url("router");
  await using load = new RecordedLoad(url);
  for (let kills = 1; kills <= 3; kills++) {
    await load.progress(PROGRESS);
    await cluster.crash("router");
    await cluster.start("router");
  }
  await load.progress(PROGRESS);
  await load.stop();
  await cluster.assertIntactOnDisk(load, url);
  for (const id of cluster.nodeIds) assertEquals(cluster.process(id).stderr, []);
});

Deno.test("a node that is killed and restarts fast costs a pause and no error", async () => {
  await using directory = await temporaryDirectory();
  const { file, config } = await writeFreeConfig(directory.path, 2);
  await using process = startMain(["cluster", "--config", file]);
  await process.line(/^stop/);
  const url = `http://${formatAddress(config.router.host, config.router.port)}`;
  await using load = new RecordedLoad(url, { retries: false });
  for (const id of ["n1", "n2"]) {
    await load.progress(PROGRESS);
    const [, pid] = await process.line(new RegExp(`^${id} +\\S+ +\\S+ +(\\d+) `));
    Deno.kill(Number(pid), "SIGKILL");
    await process.line(new RegExp(`^${id} +\\| listening`));
  }
  await load.progress(PROGRESS);
  await load.stop();
  assertEquals(load.unanswered, 0);
  assertEquals(await load.problems(url), []);
});

Deno.test("a node that is down is named to those who ask for its keys; others serve", async () => {
  await using cluster = await Cluster.start(3);
  const url = cluster.url("router");
  const keys = await writeKeys(cluster);
  const [key] = keys.get("n2")!;
  const others = [...keys.get("n1")!, ...keys.get("n3")!];
  const { host, port } = cluster.node("n2");
  const refusal = new RegExp(`^Node "n2" at ${formatAddress(host, port)} is down `);
  const assertRefused = (answers: Answer[]) => {
    for (const { status, retryAfter, body } of answers) {
      assertEquals(status, 503);
      assertMatch(body.error, refusal);
      assertEquals(retryAfter, "1");
    }
  };
  await cluster.crash("n2");

  let refused: Answer[] | undefined;
  const waiting = Promise.all([get(url, key), putNext(url, key, "while down")])
    .then((answers) => refused = answers);
  await waitFor("what waits for the node is refused", async () => {
    await assertServed(url, others);
    return refused !== undefined;
  });
  assertRefused(await waiting);

  const startMs = performance.now();
  assertRefused(await Promise.all(keys.get("n2")!.map((key) => get(url, key))));
  assertLess(performance.now() - startMs, AT_ONCE_MS);
  await assertSeenAsDown(url, cluster.config, "n2");

  await cluster.start("n2");
  await waitFor("the node is up again", async () => (await request(url, "/health")).ok);
  // Each key as it was before: what was refused while the node was dead was not applied.
  await assertServed(url, [...keys.values()].flat());
});

/** Checks that the router knows which one of its nodes is down. */
async function assertSeenAsDown(url: string, config: ClusterConfig, id: string): Promise<void> {
  const seen = config.nodes.map((node) => ({
    id: node.id,
    addr: formatAddress(node.host, node.port),
    up: node.id !== id,
  }));
  const health = await request(url, "/health");
  assertEquals(health.status, 503);
  assertEquals(health.body, {
    status: "degraded",
    nodes: seen.map((node, i) => ({
      ...node,
      lastIndex: node.up ? health.body.nodes[i].lastIndex : null,
    })),
  });
  const metrics = await request(url, "/metrics");
  assertEquals(metrics.status, 200);
  assertEquals(
    metrics.body,
    seen.map((node, i) => node.up ? { ...node, metrics: metrics.body[i].metrics } : node),
  );
  for (const [i, node] of seen.entries()) {
    if (!node.up) continue;
    assertGreater(health.body.nodes[i].lastIndex, 0);
    assertGreater(metrics.body[i].metrics.put_total, 0);
  }
}

Deno.test("a node stopped under load answers all that it accepted, and keeps it", async () => {
  await using cluster = await Cluster.prepare(3);
  // One after the other and each for itself: three stops at different moments of a batch.
  for (const id of cluster.nodeIds) {
    await cluster.start(id);
    const url = cluster.url(id);
    // Large values take a while to become durable, so there is always something to finish.
    const options = { clients: 16, valueBytes: LARGE_VALUE_BYTES, retries: false };
    await using load = new RecordedLoad(url, options);
    await load.progress(PROGRESS);
    await cluster.stop(id);
    await load.ended();
    assertEquals(cluster.process(id).stderr, []);
    await assertWhole(cluster.node(id).data);
    await cluster.start(id);
    // What got no answer must not be there: then it was not accepted.
    assertEquals(await load.problems(url), []);
  }
});

Deno.test("a node stopped and started under load costs a pause and no error", async () => {
  await using cluster = await Cluster.start(2);
  const url = cluster.url("router");
  await using load = new RecordedLoad(url, { retries: false });
  for (const id of ["n1", "n2"]) {
    await load.progress(PROGRESS);
    await cluster.stop(id);
    await cluster.start(id);
  }
  await load.progress(PROGRESS);
  await load.stop();
  assertEquals(load.unanswered, 0);
  await cluster.assertIntactOnDisk(load, url);
});

Deno.test("a router stopped under load loses nothing, and clients go on with another", async () => {
  await using cluster = await Cluster.start(2);
  const url = cluster.url("router");
  await using load = new RecordedLoad(url);
  for (let stops = 1; stops <= 2; stops++) {
    await load.progress(PROGRESS);
    await cluster.stop("router");
    assertEquals(cluster.process("router").stderr, []);
    await cluster.start("router");
  }
  await load.progress(PROGRESS);
  await load.stop();
  // Every request that the router had accepted was answered as if it did not stop.
  assertEquals([...load.retryReasons], ["broken connection"]);
  await cluster.assertIntactOnDisk(load, url);
});

Deno.test("a second node on the same data is refused, and the first does not notice", async () => {
  await using cluster = await Cluster.prepare(1);
  await cluster.start("n1");
  const first = cluster.process("n1");
  await using load = new RecordedLoad(cluster.url("n1"), { clients: 2, retries: false });
  await load.progress(20);
  const [port, linkPort] = freePorts(2);
  const node = cluster.node("n1");
  const file = join(cluster.file, "..", "second.json");
  const nodes = [{ ...node, port, linkPort }];
  await Deno.writeTextFile(file, JSON.stringify({ ...cluster.config, nodes }));
  await using second = startMain(["node", "--id", "n1", "--config", file]);
  const [line] = await second.line(/.+/);
  assertEquals(line, `sixpaths node n1: Cannot use "${node.data}": another process has locked it`);
  assertEquals(await second.exit(), { code: 1, signal: null });
  assertEquals([...second.stdout, ...second.stderr], [line], "All that the second node says");
  await load.progress(20);
  await load.stop();
  assertEquals(load.unanswered, 0);
  assertEquals(first.stderr, []);
  await cluster.assertIntactOnDisk(load, cluster.url("n1"));
});

Deno.test("a node with a flipped bit in its log does not start, and changes nothing", async () => {
  await using cluster = await Cluster.start(2);
  const url = cluster.url("router");
  const keys = await writeKeys(cluster);
  const { data } = cluster.node("n1");
  await cluster.stop("n1");
  const { path, offset } = await lastByteOfLog(data);
  await flipBit(path, offset);
  const before = await stateOf(data);

  const process = cluster.launch("n1");
  const [line] = await process.line(/.+/);
  const [said, advised] = line.split("; nothing was changed; to look at it: ");
  const damaged = /^sixpaths node n1: (Damage in "(.*)" at byte (\d+): .*)$/;
  assertMatch(said, damaged);
  const [, damage, damagedPath, damagedOffset] = said.match(damaged)!;
  assertEquals(damagedPath, path);
  assertLess(Math.abs(offset - Number(damagedOffset)), 512, "Distance from the flipped bit");
  assertEquals(await process.exit(), { code: 3, signal: null });
  assertEquals([...process.stdout, ...process.stderr], [line], "All that the node says");
  const check = await runInShell(advised);
  assertEquals([check.code, check.stdout.at(-2)], [1, `damage    ${damage}`]);
  assertEquals(check.stdout.at(-1), `salvage   ${salvageCommand(data)}`);
  assertEquals(await stateOf(data), before);
  await assertServed(url, keys.get("n2")!);

  await flipBit(path, offset);
  await cluster.start("n1");
  await waitFor("the node is up again", async () => (await request(url, "/health")).ok);
  await assertServed(url, KEYS);
});

/** The last byte that a node's only segment holds before the zeros: of an acknowledged write. */
async function lastByteOfLog(data: string): Promise<{ path: string; offset: number }> {
  const path = join(data, "0000000000000001.log");
  const bytes = await Deno.readFile(path);
  return { path, offset: bytes.findLastIndex((byte) => byte !== 0) };
}

async function flipBit(path: string, offset: number): Promise<void> {
  const bytes = await Deno.readFile(path);
  bytes[offset] ^= 1;
  await Deno.writeFile(path, bytes);
}

/** What a directory holds: per file its name, its digest and when it was written last. */
async function stateOf(directory: string): Promise<string[]> {
  const entries = await Array.fromAsync(Deno.readDir(directory));
  const files = entries.map(async ({ name }) => {
    const path = join(directory, name);
    const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
    const { mtime } = await Deno.stat(path);
    return `${name} ${new Uint8Array(digest).toHex()} ${mtime!.getTime()}`;
  });
  return (await Promise.all(files)).sort();
}

Deno.test("a router does not use a node under the wrong name, and says why", async () => {
  await using cluster = await Cluster.prepare(3);
  const { router, nodes: [n1, n2, n3] } = cluster.config;
  const file = join(cluster.file, "..", "wrong.json");
  const nodes = [{ ...n1, linkPort: n2.linkPort }, { ...n2, linkPort: n1.linkPort }, n3];
  await Deno.writeTextFile(file, JSON.stringify({ router, nodes }));
  await Promise.all(cluster.nodeIds.map((id) => cluster.start(id)));
  await cluster.start("router", file);

  const url = cluster.url("router");
  const answers = await Promise.all(KEYS.map((key) => putNext(url, key, key)));
  const refusals = answers.filter(({ status }) => status === 503).map(({ body }) => body.error);
  const reasons = refusals.map((error) => error.replace(/;.*$/, ""));
  assertEquals([...new Set(reasons)].sort(), [
    `Node "n1" at ${formatAddress(n1.host, n1.port)} is down (this is node "n2", not "n1")`,
    `Node "n2" at ${formatAddress(n2.host, n2.port)} is down (this is node "n1", not "n2")`,
  ]);
  const served = answers.filter(({ status }) => status === 200).length;
  assertEquals(served + refusals.length, KEYS.length);
  const health = await request(url, "/health");
  assertEquals(health.status, 503);
  assertEquals(
    // deno-lint-ignore no-explicit-any
    health.body.nodes.map(({ id, up, lastIndex }: any) => [id, up, lastIndex]),
    [["n1", false, null], ["n2", false, null], ["n3", true, served]],
  );
  for (const id of ["n1", "n2"]) {
    const { body } = await request(cluster.url(id), "/health");
    assertEquals(body.lastIndex, 0, `Writes that ${id} took`);
  }
});
