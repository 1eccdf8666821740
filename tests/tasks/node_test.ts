import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { formatAddress } from "../../lib/address.ts";
import { segmentName } from "../../node/log/log_format.ts";
import { startMain, temporaryDirectory, writeFreeConfig } from "../process.ts";

/** What it takes to start a node, and a directory that goes away. */
async function prepareNode() {
  const directory = await temporaryDirectory();
  const { file, config } = await writeFreeConfig(directory.path, 1);
  return { ...directory, node: config.nodes[0], args: ["node", "--id", "n1", "--config", file] };
}

Deno.test("node prints one line when it serves", async () => {
  await using prepared = await prepareNode();
  const { node, args } = prepared;
  await using process = startMain(args);
  await process.line(/^listening/);
  process.kill("SIGTERM");
  await process.exit();
  const [http, link] = [node.port, node.linkPort].map((port) => formatAddress(node.host, port));
  const facts = `keys=0 log_bytes=\\d+ ms=\\d+ pid=${process.pid}`;
  assertEquals(process.stdout.length, 1);
  assertMatch(
    process.stdout[0],
    new RegExp(`^listening id=n1 http=${http} link=${link} data=${node.data} ${facts}$`),
  );
});

for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
  Deno.test(`node stops with exit code 0 at ${signal}`, async () => {
    await using prepared = await prepareNode();
    await using process = startMain(prepared.args);
    await process.line(/^listening/);
    process.kill(signal);
    assertEquals(await process.exit(), { code: 0, signal: null });
    assertEquals(process.stderr, []);
  });
}

Deno.test("node does not mind a second signal", async () => {
  await using prepared = await prepareNode();
  await using process = startMain(prepared.args);
  await process.line(/^listening/);
  process.kill("SIGTERM");
  process.kill("SIGINT");
  assertEquals(await process.exit(), { code: 0, signal: null });
});

Deno.test("node --supervised stops when its input ends", async () => {
  await using prepared = await prepareNode();
  await using process = startMain([...prepared.args, "--supervised"], { stdin: "piped" });
  await process.line(/^listening/);
  await process.closeInput();
  assertEquals(await process.exit(), { code: 0, signal: null });
});

Deno.test("node ends with code 3 when a file of its log cannot be read", async () => {
  await using prepared = await prepareNode();
  const file = join(prepared.node.data, segmentName(1));
  await Deno.mkdir(file, { recursive: true }); // a directory cannot be read either
  await using process = startMain(prepared.args);
  assertEquals((await process.exit()).code, 3);
  assertStringIncludes(process.stderr.join(), `Damage in "${file}" at byte 0: cannot be read: `);
});

Deno.test("node refuses a directory that another process has", async () => {
  await using prepared = await prepareNode();
  await using first = startMain(prepared.args);
  await first.line(/^listening/);
  await using second = startMain(prepared.args);
  assertEquals((await second.exit()).code, 1);
  assertEquals(second.stderr, [
    `sixpaths node n1: Cannot use "${prepared.node.data}": another process has locked it`,
  ]);
});

Deno.test("node says so when its data is a file", async () => {
  await using prepared = await prepareNode();
  const { data } = prepared.node;
  await Deno.writeTextFile(data, "");
  await using process = startMain(prepared.args);
  assertEquals((await process.exit()).code, 1);
  assertEquals(process.stderr, [
    `sixpaths node n1: Cannot use "${data}": it is, or leads through, a file`,
  ]);
});

Deno.test("node --supervised does not advise flags, and is not to be tried again", async () => {
  await using prepared = await prepareNode();
  const args = [...prepared.args, "--supervised"];
  await using process = startMain(args, { permissions: ["--allow-read"], stdin: "piped" });
  assertEquals((await process.exit()).code, 2);
  assertEquals(process.stderr, [
    `sixpaths node n1: Requires write access to "${prepared.node.data}", ` +
    "which the supervisor cannot give",
  ]);
});

Deno.test("node says which addresses it wanted when a port is in use", async () => {
  await using prepared = await prepareNode();
  const { host, port, linkPort } = prepared.node;
  using _listener = Deno.listen({ hostname: host, port });
  await using process = startMain(prepared.args);
  assertEquals((await process.exit()).code, 1);
  assertEquals(process.stderr, [
    `sixpaths node n1: Cannot listen on ${host}:${port} and ${host}:${linkPort}: ` +
    "one of the ports is in use",
  ]);
});
