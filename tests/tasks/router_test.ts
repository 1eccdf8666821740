import { assertEquals } from "@std/assert";
import { startMain, temporaryDirectory, writeFreeConfig } from "../process.ts";

/** What it takes to start a router, and a directory that goes away. */
async function prepareRouter() {
  const directory = await temporaryDirectory();
  const { file, config } = await writeFreeConfig(directory.path, 2);
  return { ...directory, port: config.router.port, args: ["router", "--config", file] };
}

Deno.test("router prints one line when it serves, though no node is up", async () => {
  await using prepared = await prepareRouter();
  await using process = startMain(prepared.args);
  await process.line(/^listening/);
  process.kill("SIGTERM");
  assertEquals(await process.exit(), { code: 0, signal: null });
  assertEquals(process.stdout, [
    `listening id=router http=127.0.0.1:${prepared.port} nodes=2 pid=${process.pid}`,
  ]);
});

Deno.test("router --supervised stops when its input ends", async () => {
  await using prepared = await prepareRouter();
  await using process = startMain([...prepared.args, "--supervised"], { stdin: "piped" });
  await process.line(/^listening/);
  await process.closeInput();
  assertEquals(await process.exit(), { code: 0, signal: null });
});

Deno.test("router names its address when that is not of this machine", async () => {
  await using prepared = await prepareRouter();
  const file = prepared.args.at(-1)!;
  const config = JSON.parse(await Deno.readTextFile(file));
  await Deno.writeTextFile(
    file,
    JSON.stringify({ ...config, router: { host: "203.0.113.1", port: 8080 } }),
  );
  await using process = startMain(prepared.args, { permissions: ["--allow-read", "--allow-net"] });
  assertEquals((await process.exit()).code, 1);
  assertEquals(process.stderr, [
    "sixpaths router: Cannot listen on 203.0.113.1:8080: it is not an address of this machine",
  ]);
});

Deno.test("router names its address when the port the port is in use", async () => {
  await using prepared = await prepareRouter();
  using _listener = Deno.listen({ hostname: "127.0.0.1", port: prepared.port });
  await using process = startMain(prepared.args);
  assertEquals((await process.exit()).code, 1);
  assertEquals(process.stderr, [
    `sixpaths router: Cannot listen on 127.0.0.1:${prepared.port}: the port is in use`,
  ]);
});
