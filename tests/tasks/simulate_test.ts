import { assert, assertEquals, assertMatch } from "@std/assert";
import { FAULT_KINDS } from "../../tasks/simulate/world.ts";
import { startMain } from "../process.ts";

/** Seeds in each of two processes, and how long they may take: generous, as a machine is shared. */
const RUNS = 1000;
const DEADLINE_MS = 240_000;

const KEPT = "every promise was kept";

async function simulate(...args: string[]) {
  await using process = startMain(["simulate", ...args], { permissions: [] });
  const { code } = await process.exit(DEADLINE_MS);
  return { code, stdout: process.stdout, stderr: process.stderr };
}

Deno.test("simulate keeps every promise over 2,000 seeds", async () => {
  const seeds = [0, RUNS];
  const ends = await Promise.all(
    seeds.map((seed) => simulate("--seed", `${seed}`, "--runs", `${RUNS}`)),
  );
  for (const { code, stdout, stderr } of ends) {
    assertEquals([code, stderr], [0, []], stdout.join("\n"));
    assertEquals(stdout.at(-1), KEPT);
    const faults = stdout.flatMap((line) => line.match(/^ +\d+ {2}(\S.*)$/)?.slice(1) ?? []);
    assertEquals(faults.toSorted(), FAULT_KINDS.toSorted(), "Kinds of faults that struck");
  }
});

Deno.test("simulate prints the seeds first, and what it did", async () => {
  const { code, stdout, stderr } = await simulate("--seed", "7", "--runs", "3");
  assertEquals([code, stderr, stdout[0]], [0, [], "seeds 7 to 9"]);
  assertMatch(stdout[1], /^runs +3 in [\d.]+ s, [\d.]+ a second$/);
  assertMatch(stdout[2], /^simulated time +[\d.]+ s$/);
  assertMatch(stdout[3], /^operations +\d+$/);
});

Deno.test("simulate draws a seed when it gets none, and prints it", async () => {
  const { stdout: [first] } = await simulate("--runs", "1");
  const { stdout: [second] } = await simulate("--runs", "1");
  assertMatch(first, /^seeds \d+ to \d+$/);
  assert(first !== second, `${first} twice`);
});

Deno.test("simulate refuses a seed or a number of runs that is none", async () => {
  for (const [flag, value, min] of [["--seed", "-1", 0], ["--runs", "0", 1], ["--runs", "x", 1]]) {
    assertEquals(await simulate(`${flag}=${value}`), {
      code: 2,
      stdout: [],
      stderr: [
        `sixpaths simulate: Flag "${flag}" has the value "${value}", ` +
        `expected an integer from ${min} to ${Number.MAX_SAFE_INTEGER}`,
      ],
    });
  }
});

Deno.test("simulate refuses seeds that are too large to be told apart", async () => {
  const seed = Number.MAX_SAFE_INTEGER;
  assertEquals(await simulate("--seed", `${seed}`, "--runs", "2"), {
    code: 2,
    stdout: [],
    stderr: [
      `sixpaths simulate: Flag "--runs" has the value "2", expected at most 1 from seed ${seed} on`,
    ],
  });
  assertEquals((await simulate("--seed", `${seed}`, "--runs", "1")).stdout.at(-1), KEPT);
});

Deno.test("simulate says what it did when it is stopped", async () => {
  await using process = startMain(["simulate", "--runs", "1000000"], { permissions: [] });
  await process.line(/^seeds/);
  process.kill("SIGINT");
  assertEquals((await process.exit()).code, 1);
  assertMatch(process.stdout[1], /^runs +\d+ in /);
  assertMatch(process.stderr[0], /^sixpaths simulate: Stopped before seed \d+; every promise was/);
});
