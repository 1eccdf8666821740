/**
 * Stories of the supervisor with real processes: what it starts, what it starts again, and that it
 * leaves nothing behind.
 *
 * @module
 */

import { assert, assertEquals, assertLess, assertMatch } from "@std/assert";
import { exists } from "@std/fs";
import { join } from "@std/path";
import type { ClusterConfig } from "../../lib/config.ts";
import {
  isAlive,
  MainProcess,
  startMain,
  startTask,
  temporaryDirectory,
  waitFor,
  writeFreeConfig,
} from "../process.ts";
import { put, request } from "./http_client.ts";

/** A cluster of two nodes that is up. */
interface Cluster extends AsyncDisposable {
  readonly process: MainProcess;
  readonly config: ClusterConfig;
  readonly file: string;
  readonly directory: string;
}

async function startCluster(): Promise<Cluster> {
  await using resources = new AsyncDisposableStack();
  const directory = resources.use(await temporaryDirectory()).path;
  const { file, config } = await writeFreeConfig(directory, 2);
  const process = resources.use(startMain(["cluster", "--config", file]));
  await process.line(/^stop/);
  const owned = resources.move();
  return { process, config, file, directory, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** The ids of the processes of both nodes, from the table. */
async function nodePids(process: MainProcess): Promise<number[]> {
  const pids = [];
  for (const id of ["n1", "n2"]) {
    const [, pid] = await process.line(new RegExp(`^${id} +\\S+ +\\S+ +(\\d+) `));
    pids.push(Number(pid));
  }
  return pids;
}

function isPortFree(port: number): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse) return false;
    throw error;
  }
}

/** Waits until neither node nor router of a cluster is left. */
async function untilGone(pids: number[], config: ClusterConfig): Promise<void> {
  await waitFor("the nodes are gone", () => !pids.some(isAlive));
  await waitFor("the router is gone", () => isPortFree(config.router.port));
}

/** The status of a write to a port. */
async function putStatus(port: number, seq: number): Promise<number> {
  const write = { client: "test", seq, key: "k", value: "v" };
  return (await put(`http://127.0.0.1:${port}`, write)).status;
}

/** The status of a look at the health. */
async function healthStatus(port: number): Promise<number> {
  return (await request(`http://127.0.0.1:${port}`, "/health")).status;
}

Deno.test("cluster invites to a request that works", async () => {
  await using cluster = await startCluster();
  const [, url, body] = await cluster.process.line(/^try it +curl (\S+) -d '(.*)'$/);
  const response = await fetch(url, { method: "POST", body });
  assertEquals(await response.json(), { success: true, prevValue: "", logIndex: 1 });
});

Deno.test("cluster prints in black and white where there is no terminal", async () => {
  await using cluster = await startCluster();
  assertEquals(cluster.process.stdout.filter((line) => line.includes("\x1b")), []);
});

Deno.test("cluster starts a node again that was killed", async () => {
  await using cluster = await startCluster();
  const [pid] = await nodePids(cluster.process);
  Deno.kill(pid, "SIGKILL");
  await cluster.process.line(/^cluster \| n1 was ended by SIGKILL; it starts again in 10 ms$/);
  await cluster.process.line(/^n1 +\| listening id=n1 /);
  await waitFor(
    "the cluster is whole",
    async () => await healthStatus(cluster.config.router.port) === 200,
  );
});

Deno.test("cluster keeps to the config that it was started with", async () => {
  await using cluster = await startCluster();
  const { port } = cluster.config.router;
  assertEquals(await putStatus(port, 1), 200);
  const nodes = cluster.config.nodes.toReversed(); // so each key would be looked for elsewhere
  await Deno.writeTextFile(cluster.file, JSON.stringify({ ...cluster.config, nodes }));
  const [, pid] = await cluster.process.line(/^router +\S+ \(pid (\d+)\)$/);
  Deno.kill(Number(pid), "SIGKILL");
  await cluster.process.line(/^router +\| listening id=router /);
  const { body } = await request(`http://127.0.0.1:${port}`, "/get?key=k");
  assertEquals(body, { value: "v" });
});

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  Deno.test(`cluster stops all processes within 5 s at ${signal}`, async () => {
    await using cluster = await startCluster();
    const pids = await nodePids(cluster.process);
    const startMs = performance.now();
    cluster.process.kill(signal);
    assertEquals(await cluster.process.exit(), { code: 0, signal: null });
    assertLess(performance.now() - startMs, 5000);
    await untilGone(pids, cluster.config);
  });
}

Deno.test("cluster stops in peace when Ctrl-C reaches its processes as well", async () => {
  await using cluster = await startCluster();
  const pids = await nodePids(cluster.process);
  for (const pid of [cluster.process.pid, ...pids]) Deno.kill(pid, "SIGINT");
  assertEquals(await cluster.process.exit(), { code: 0, signal: null });
  assertEquals(cluster.process.stdout.slice(-2), [
    "cluster | Stopping all processes",
    "cluster | Stopped",
  ]);
});

Deno.test("cluster leaves no process behind when it is killed", async () => {
  await using cluster = await startCluster();
  const pids = await nodePids(cluster.process);
  cluster.process.kill("SIGKILL");
  await untilGone(pids, cluster.config);
});

Deno.test("deno task cluster leaves no process behind when the task is killed", async () => {
  await using directory = await temporaryDirectory();
  const { file, config } = await writeFreeConfig(directory.path, 2);
  await using task = startTask(["cluster", "--config", file]);
  const pids = await nodePids(task);
  task.kill("SIGKILL");
  await untilGone(pids, config);
});

Deno.test("cluster names a port in use and who wanted it, and starts nothing", async () => {
  await using directory = await temporaryDirectory();
  const { file, config } = await writeFreeConfig(directory.path, 2);
  const { linkPort } = config.nodes[1];
  using _listener = Deno.listen({ hostname: "127.0.0.1", port: linkPort });
  await using process = startMain(["cluster", "--config", file]);
  assertEquals((await process.exit()).code, 1);
  assertEquals([process.stdout, process.stderr], [[], [
    `sixpaths cluster: Cannot listen: 127.0.0.1:${linkPort} (links of n2) is in use`,
  ]]);
  assertEquals(await exists(config.nodes[0].data), false);
});

Deno.test("cluster without the permission to run anything is one clear line", async () => {
  await using process = startMain(["cluster"], { permissions: ["--allow-read", "--allow-net"] });
  assertEquals((await process.exit()).code, 1);
  assertEquals([process.stdout, process.stderr], [[], [
    `sixpaths cluster: Cannot start "${Deno.execPath()}": Deno may not, ` +
    `expected the flags of "deno task cluster"`,
  ]]);
});

Deno.test("cluster leaves a node with damaged data down, and serves with the others", async () => {
  await using directory = await temporaryDirectory();
  const { file, config } = await writeFreeConfig(directory.path, 2);
  await damageFirstNode(file, config);
  await using process = startMain(["cluster", "--config", file]);
  await process.line(/^cluster \| n1 refuses to start on damaged data .* check .*n1$/);
  await process.line(/^n1 +\S+ +\S+ +- +- +refuses to start on damaged data/);
  await process.line(/^stop/);
  assertEquals(await putStatus(config.nodes[1].port, 1), 200);
  assertEquals(await healthStatus(config.router.port), 503);
  process.kill("SIGINT");
  await process.exit();
  assertEquals(process.stdout.filter((line) => line.includes("starts again")), []);
});

/** Leaves the first node with a log of three batches, the first of which has a flipped bit. */
async function damageFirstNode(file: string, { nodes: [node] }: ClusterConfig): Promise<void> {
  await using process = startMain(["node", "--id", node.id, "--config", file]);
  await process.line(/^listening/);
  for (const seq of [1, 2, 3]) assertEquals(await putStatus(node.port, seq), 200);
  process.kill("SIGTERM");
  assertEquals((await process.exit()).code, 0);
  const entries = await Array.fromAsync(Deno.readDir(node.data));
  const log = join(node.data, entries.find(({ name }) => name.endsWith(".log"))!.name);
  const bytes = await Deno.readFile(log);
  const offset = bytes.findIndex((byte, i) => i >= 512 && byte !== 0);
  bytes[offset] ^= 1;
  await Deno.writeFile(log, bytes);
}

Deno.test("cluster refuses a config in which nodes changed places, until it is mended", async () => {
  await using directory = await temporaryDirectory();
  const { file, config } = await writeFreeConfig(directory.path, 2);
  const { router, nodes } = config;
  await inCluster(file, async () => assertEquals(await putStatus(router.port, 1), 200));
  await Deno.writeTextFile(file, JSON.stringify({ router, nodes: nodes.toReversed() }));
  const wrong = nodes.map(({ id, data }, i) =>
    `Cannot use "${data}": it holds shard ${i + 1} of 2, and by the config node "${id}" is shard ` +
    `${2 - i} of 2; put the number and order of the nodes back as they were`
  );
  await using cluster = startMain(["cluster", "--config", file]);
  assertEquals((await cluster.exit()).code, 2);
  assertEquals(cluster.stderr, [`sixpaths cluster: ${wrong.toReversed().join("; ")}`]);
  await using node = startMain(["node", "--id", "n1", "--config", file]);
  assertEquals((await node.exit()).code, 2);
  assertEquals(node.stderr, [`sixpaths node n1: ${wrong[0]}; nothing was changed`]);
  await Deno.writeTextFile(file, JSON.stringify(config));
  await inCluster(file, async () => {
    const { body } = await request(`http://127.0.0.1:${router.port}`, "/get?key=k");
    assertEquals(body, { value: "v" });
  });
});

/** Runs a cluster until `story` is told. */
async function inCluster(file: string, story: () => Promise<void>) {
  await using process = startMain(["cluster", "--config", file]);
  await process.line(/^stop/);
  await story();
  process.kill("SIGINT");
  await process.exit();
}

Deno.test("cluster starts no node on nothing whose data has gone away", async () => {
  await using cluster = await startCluster();
  const { process, config: { router, nodes } } = cluster;
  const [pid] = await nodePids(process);
  await Deno.rename(nodes[0].data, `${nodes[0].data}-elsewhere`);
  Deno.kill(pid, "SIGKILL");
  await process.line(/^n1 +\| sixpaths node n1: Damage in .*NODE".*: it is missing, though this/);
  await process.line(/^cluster \| n1 refuses to start on damaged data \(code 3\) and stays down/);
  assert(!await exists(nodes[0].data), "nothing is in its place");
  assertEquals(await putStatus(nodes[1].port, 1), 200);
  assertEquals(await healthStatus(router.port), 503);
});

Deno.test("clean refuses to remove anything while a node runs", async () => {
  await using cluster = await startCluster();
  const { file, config } = cluster;
  await using clean = startMain(["clean", "--config", file]);
  assertEquals((await clean.exit()).code, 1);
  assertMatch(clean.stderr.join("\n"), /^sixpaths clean: Cannot remove .* the node is running;/);
  assert(await exists(config.nodes[0].data));
});
