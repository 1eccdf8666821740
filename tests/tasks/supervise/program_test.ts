import { assertEquals, assertThrows } from "@std/assert";
import { join } from "@std/path";
import type { ClusterConfig } from "../../../lib/config.ts";
import { checkCommand } from "../../../tasks/advised_commands.ts";
import { MAIN, THREAD_SOURCES } from "../../../tasks/source.ts";
import { Failure } from "../../../tasks/subcommand.ts";
import { programsOf, spawnProcess } from "../../../tasks/supervise/program.ts";
import { makeLink, temporaryDirectory } from "../../process.ts";

const CONFIG: ClusterConfig = {
  router: { host: "127.0.0.1", port: 8080 },
  nodes: [
    { id: "n1", host: "127.0.0.1", port: 8090, linkPort: 8190, data: "data/n1" },
    { id: "n2", host: "::1", port: 8091, linkPort: 8191, data: "my data/n2" },
  ],
};

Deno.test("programsOf() lets a node touch its own directory, ports and source only", () => {
  const [node] = programsOf(CONFIG);
  assertEquals(node.args, [
    "run",
    "--no-prompt",
    `--allow-read=data/n1,${THREAD_SOURCES}`,
    "--allow-write=data/n1",
    "--allow-net=127.0.0.1:8090,127.0.0.1:8190",
    MAIN,
    "node",
    "--id",
    "n1",
    "--supervised",
    "--config",
    JSON.stringify(CONFIG),
  ]);
});

Deno.test("programsOf() lets a node touch the directory that a link leads to", async () => {
  await using directory = await temporaryDirectory();
  const [link, real] = ["link", "real"].map((name) => join(directory.path, name));
  await Deno.mkdir(real);
  await makeLink(link, real);
  const data = join(link, "n1");
  const [{ args }] = programsOf({ ...CONFIG, nodes: [{ ...CONFIG.nodes[0], data }] });
  const paths = `${data},${join(Deno.realPathSync(real), "n1")}`;
  assertEquals(args.slice(2, 4), [
    `--allow-read=${paths},${THREAD_SOURCES}`,
    `--allow-write=${paths}`,
  ]);
});

Deno.test("programsOf() lets the router use its own port and the links of the nodes only", () => {
  assertEquals(programsOf(CONFIG).at(-1)!.args, [
    "run",
    "--no-prompt",
    "--allow-net=127.0.0.1:8080,127.0.0.1:8190,[::1]:8191",
    MAIN,
    "router",
    "--supervised",
    "--config",
    JSON.stringify(CONFIG),
  ]);
});

Deno.test("programsOf() hands the bound on memory on to the nodes", () => {
  const programs = programsOf(CONFIG, { memoryBytes: 400_000_000 });
  const flags = programs.map(({ args }) => args.join(" ").includes(" --memory-max 400000000 "));
  assertEquals(flags, [true, true, false]);
});

Deno.test("programsOf() has several nodes wait for their turn, and the router never", () => {
  const waiting = (config: ClusterConfig) =>
    programsOf(config).map(({ isBatch = false }) => isBatch);
  assertEquals(waiting(CONFIG), [true, true, false]);
  assertEquals(waiting({ ...CONFIG, nodes: CONFIG.nodes.slice(0, 1) }), [false, false]);
});

Deno.test("programsOf() refuses a path that would part a list of permissions", () => {
  const node = { ...CONFIG.nodes[0], data: "a,b" };
  const failure = assertThrows(() => programsOf({ ...CONFIG, nodes: [node] }), Failure);
  assertEquals(
    failure.message,
    `Cannot give a process the permission to read "a,b": expected a path without a comma`,
  );
});

Deno.test("programsOf() advises how to look at the data of a node that is damaged", () => {
  const advice = programsOf(CONFIG)[1].damageAdvice;
  assertEquals(advice, `its keys answer 503; to look at it: ${checkCommand("my data/n2")}`);
});

Deno.test("spawnProcess() tunes malloc, and has processes print without colour", async () => {
  const script = `const { GLIBC_TUNABLES, NO_COLOR } = Deno.env.toObject();
    console.log(GLIBC_TUNABLES, NO_COLOR);`;
  const lines: string[] = [];
  const child = spawnProcess(
    { name: "script", args: ["eval", "--quiet", script] },
    (line) => lines.push(line),
  );
  assertEquals((await child.exit).code, 0);
  assertEquals(lines, ["glibc.malloc.hugetlb=1:glibc.malloc.tcache_count=2000 1"]);
});
