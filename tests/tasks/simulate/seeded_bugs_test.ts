import { assert, assertEquals } from "@std/assert";
import { copy } from "@std/fs";
import { fromFileUrl, join } from "@std/path";
import { temporaryDirectory } from "../../process.ts";
import { SEEDED_BUGS, type SeededBug } from "./seeded_bugs.ts";

const CHECKOUT = fromFileUrl(new URL("../../..", import.meta.url));
/** All that a simulation is made of. */
const SOURCES = ["lib", "node", "router", "tasks", "main.ts", "deno.json", "deno.lock"];
/** Copies that run at the same time: one for each core. */
const AT_ONCE = 2;

/** A copy of the source with this bug in it, or with none. */
async function copySource(bug?: SeededBug): Promise<AsyncDisposable & { path: string }> {
  const directory = await temporaryDirectory();
  for (const name of SOURCES) await copy(join(CHECKOUT, name), join(directory.path, name));
  if (bug !== undefined) {
    const path = join(directory.path, bug.file);
    const pieces = (await Deno.readTextFile(path)).split(bug.find);
    assertEquals(
      pieces.length,
      2,
      `"${bug.find}" stands ${pieces.length - 1} times in ${bug.file}`,
    );
    await Deno.writeTextFile(path, pieces.join(bug.replace));
  }
  return directory;
}

/** Simulates the first `seeds` seeds with the source in `path`. */
async function simulate(path: string, seeds: number): Promise<{ code: number; output: string }> {
  const args = ["run", "--no-prompt", "main.ts", "simulate"];
  args.push("--seed", "0", "--runs", `${seeds}`, "--unshrunk");
  const command = new Deno.Command(Deno.execPath(), { args, cwd: path });
  const { code, stdout, stderr } = await command.output();
  const output = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("\n");
  return { code, output };
}

/** Calls `work` for each item, a few at the same time. */
async function forEach<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  const worker = async () => {
    for (const item of left) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

const quick = SEEDED_BUGS.filter((bug) => !bug.isSlow);

Deno.test("simulate finds no bug in a copy of the source without one", async () => {
  await using source = await copySource();
  const { code, output } = await simulate(source.path, 20);
  assertEquals(code, 0, output);
});

Deno.test("simulate finds every seeded bug", async () => {
  const missed: string[] = [];
  await forEach(quick, async (bug) => {
    await using source = await copySource(bug);
    const { code, output } = await simulate(source.path, bug.seeds);
    if (code === 0) missed.push(bug.name);
    else assert(/^seed \d+ breaks a promise: /m.test(output), `${bug.name}: ${output}`);
  });
  assertEquals(missed, []);
});
