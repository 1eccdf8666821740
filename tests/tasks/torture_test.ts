import { assertEquals, assertGreaterOrEqual } from "@std/assert";
import { startMain, startTask } from "../process.ts";

/** How long a short torture may take, in milliseconds. */
const DEADLINE_MS = 60_000;

/** The rows of the report, by name. */
function rowsOf(lines: readonly string[]): Map<string, string> {
  return new Map(lines.map((line) => [line.slice(0, 26).trim(), line.slice(26)]));
}

Deno.test("deno task torture kills a cluster 12 times, and no answer is wrong", async () => {
  const args = ["torture", "--minutes", "0.15", "--nodes", "3", "--keys", "1000", "--seed", "1"];
  await using process = startTask(args);
  const { code } = await process.exit(DEADLINE_MS);
  const output = process.stdout.join("\n");
  assertEquals(process.stdout[0], "seed 1: torture --minutes 0.15 --seed 1 --nodes 3 --keys 1000");
  const rows = rowsOf(process.stdout);
  assertGreaterOrEqual(parseInt(rows.get("kills") ?? ""), 10, output);
  assertGreaterOrEqual(parseInt(rows.get("pauses") ?? ""), 1, output);
  assertGreaterOrEqual(parseInt(rows.get("operations")?.replace(",", "") ?? ""), 1000, output);
  for (const name of ["lost", "doubled", "other wrong answers", "errors on healthy shards"]) {
    assertEquals(rows.get(name), "0", output);
  }
  assertEquals(rows.get("keys from before"), "3,000 of 3,000 are there", output);
  assertEquals(code, 0, output);
});

const MISUSE = [
  [
    "--minutes",
    "soon",
    'Flag "--minutes" has the value "soon", expected a number from 0.01 to 10000',
  ],
  ["--seed", "-1", 'Flag "--seed" has the value "-1", expected an integer from 0 to 4294967295'],
  ["--nodes", "0", 'Flag "--nodes" has the value "0", expected an integer from 1 to 64'],
];

for (const [flag, value, message] of MISUSE) {
  Deno.test(`main.ts torture ${flag} ${value} is one clear line and exit code 2`, async () => {
    await using process = startMain(["torture", flag, value]);
    assertEquals((await process.exit()).code, 2);
    assertEquals([...process.stdout, ...process.stderr], [`sixpaths torture: ${message}`]);
  });
}
