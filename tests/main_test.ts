import { assertEquals, assertMatch } from "@std/assert";
import { join } from "@std/path";
import { startMain, temporaryDirectory } from "./process.ts";

/** Runs `main.ts` to its end. */
async function run(...args: string[]) {
  await using process = startMain(args);
  const { code } = await process.exit();
  return { code, stdout: process.stdout.join("\n"), stderr: process.stderr.join("\n") };
}

const NAMES = "cluster, node, router, clean, check, dump, salvage, simulate, torture, bench, help";
const NODES = "n1, n2, n3, n4, n5, n6";

const MISUSE: [args: string[], message: string][] = [
  [[], `sixpaths: Missing subcommand, expected one of ${NAMES}`],
  [["start"], `sixpaths: Unknown subcommand "start", expected one of ${NAMES}`],
  [["--version"], `sixpaths: Unknown subcommand "--version", expected one of ${NAMES}`],
  [["help", "start"], `sixpaths help: Unknown subcommand "start", expected one of ${NAMES}`],
  [
    ["help", "node", "x"],
    `sixpaths help: Unexpected argument "x", expected one subcommand at most`,
  ],
  [["node"], `sixpaths node: Missing flag "--id", expected one of ${NODES}`],
  [["node", "--id"], `sixpaths node: Flag "--id" has no value, expected one`],
  [["node", "--id", "n7"], `sixpaths node: Unknown node "n7", expected one of ${NODES}`],
  [["node", "--id", "n1", "x"], `sixpaths node: Unexpected argument "x", expected flags only`],
  [["node", "--id", "n1", "--id", "n2"], `sixpaths node: Repeated flag "--id", expected it once`],
  [
    ["node", "--id", "n1", "--port", "8090"],
    `sixpaths node: Unknown flag "--port", expected --id, --config, --memory-max, ` +
    "--must-exist, --supervised",
  ],
  [
    ["router", "--id", "n1"],
    `sixpaths router: Unknown flag "--id", expected --config, --supervised`,
  ],
  [
    ["cluster", "--supervised=yes"],
    `sixpaths cluster: Flag "--supervised" has the value "yes", expected none`,
  ],
  [["clean", "data"], `sixpaths clean: Unexpected argument "data", expected flags only`],
  [
    ["clean", "--config", "no/such.json"],
    `sixpaths clean: Cannot read config "no/such.json": No such file or directory`,
  ],
];

for (const [args, message] of MISUSE) {
  Deno.test(`${["main.ts", ...args].join(" ")} is one clear line and exit code 2`, async () => {
    assertEquals(await run(...args), { code: 2, stdout: "", stderr: message });
  });
}

Deno.test("main.ts help prints every subcommand with what it does", async () => {
  const { code, stdout, stderr } = await run("help");
  assertEquals([code, stderr], [0, ""]);
  for (const name of NAMES.split(", ")) assertMatch(stdout, new RegExp(`^  ${name} +[A-Z]`, "m"));
});

Deno.test("main.ts --help prints what help prints", async () => {
  assertEquals(await run("--help"), await run("help"));
});

for (const name of NAMES.split(", ")) {
  Deno.test(`main.ts ${name} --help explains the subcommand`, async () => {
    const { code, stdout, stderr } = await run(name, "--help");
    assertEquals([code, stderr], [0, ""]);
    assertMatch(stdout, new RegExp(`^Usage: main.ts ${name}\\b`));
  });
}

Deno.test("main.ts help NAME prints what NAME --help prints", async () => {
  assertEquals(await run("help", "node"), await run("node", "--help"));
});

Deno.test("main.ts tells all that is wrong with a config, a line each", async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, "cluster.json");
  await Deno.writeTextFile(file, `{ "router": { "port": 0 }, "nodes": [], "shards": 6 }`);
  const { code, stdout, stderr } = await run("cluster", "--config", file);
  const start = `sixpaths cluster: Cannot use config "${file}": `;
  assertEquals([code, stdout], [2, ""]);
  assertEquals(stderr.split("\n"), [
    `${start}shards is an unknown field, expected router and nodes only`,
    `${start}router.port is 0, expected an integer from 1 to 65535`,
    `${start}nodes is [], expected a list of at least one node`,
  ]);
});

for (const args of [["--help"], ["help"], ["check", "--help"]]) {
  Deno.test(`main.ts ${args.join(" ")} says so in a line when it cannot print`, async () => {
    const within = ["sh", "-c", '"$0" "$@" > /dev/full'];
    await using process = startMain(args, { within });
    assertEquals((await process.exit()).code, 1);
    const who = args[0].startsWith("-") ? "sixpaths" : `sixpaths ${args[0]}`;
    assertEquals(process.stderr, [`${who}: No space left on device (os error 28)`]);
  });
}
