import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { segmentName, snapshotName } from "../../node/log/log_format.ts";
import { salvageCommand } from "../../tasks/advised_commands.ts";
import { startMain, temporaryDirectory } from "../process.ts";
import { writtenDirectory } from "./written_directory.ts";

async function main(...args: string[]) {
  await using process = startMain(args);
  const { code } = await process.exit();
  return { code, stdout: process.stdout, stderr: process.stderr.join("\n") };
}

Deno.test("salvage says which records are lost, and what it wrote is whole", async () => {
  await using data = await writtenDirectory({ growthBytesMin: Infinity });
  const to = `${data.path}.new`;
  await using _removed = { [Symbol.asyncDispose]: () => Deno.remove(to, { recursive: true }) };
  const file = join(data.path, segmentName(1));
  const bytes = await Deno.readFile(file);
  bytes[512 * 6 + 40] ^= 1;
  await Deno.writeFile(file, bytes);
  const { code, stdout } = await main("salvage", data.path, "--to", to);
  assertEquals([code, stdout.length], [3, 5], stdout.join("\n"));
  assertEquals(stdout.slice(0, 3), [
    "node      n1, shard 1 of 6",
    "snapshot  none",
    "records   13 intact",
  ]);
  assertMatch(stdout[3], /^lost {6}record 6 \(.* 0000000000000001\.log at byte 3072\)$/);
  assertEquals(stdout[4], `written   ${to}: 6 keys, 3 sessions, next index 15`);
  assertEquals(await Deno.readFile(file), bytes);
  const check = await main("check", to);
  assertEquals([check.code, check.stdout.at(-1)], [0, "damage    none"]);
});

Deno.test("salvage of whole data loses nothing, and says so", async () => {
  await using data = await writtenDirectory();
  const to = `${data.path}.new`;
  const { code, stdout } = await main("salvage", data.path, "--to", to);
  await Deno.remove(to, { recursive: true });
  assertEquals([code, stdout[3]], [0, "lost      no record"]);
});

Deno.test("salvage refuses a directory that is not empty, and one that is not named", async () => {
  await using data = await writtenDirectory();
  const { code, stderr } = await main("salvage", data.path, "--to", data.path);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "expected it to be empty");
  assertEquals((await main("salvage", data.path)).code, 2);
});

Deno.test("salvage says what is lost with a part of a snapshot", async () => {
  await using data = await writtenDirectory();
  const name = snapshotName(data.snapshotIndex);
  const file = join(data.path, name);
  const bytes = await Deno.readFile(file);
  bytes[512 + 40] ^= 1;
  await Deno.writeFile(file, bytes);
  const to = `${data.path}.new`;
  const { code, stdout } = await main("salvage", data.path, "--to", to);
  await Deno.remove(to, { recursive: true });
  assertEquals([code, stdout.length], [3, 5], stdout.join("\n"));
  const what =
    `of records 1 to ${data.snapshotIndex}, what the damaged part of the snapshot held: ` +
    "keys, or what is remembered of clients";
  assertMatch(stdout[3], new RegExp(`^lost {6}${what} \\(.* at byte 512: ${name}\\)$`));

  const check = await main("check", data.path);
  assertEquals(check.code, 1);
  assertEquals(check.stdout.slice(0, 3), [
    "node      n1, shard 1 of 6",
    `snapshot  ${name}, damaged`,
    "segments  not read",
  ]);
  assertEquals(check.stdout.at(-1), `salvage   ${salvageCommand(data.path)}`);
});

Deno.test("salvage refuses a directory in the damaged one, and a file", async () => {
  await using directory = await temporaryDirectory();
  const data = join(directory.path, "n1");
  await Deno.mkdir(data);
  await Deno.writeTextFile(join(data, segmentName(1)), "");
  const link = join(directory.path, "link");
  const { success } = await new Deno.Command("ln", { args: ["-s", data, link] }).output();
  assert(success);
  for (const to of [join(data, "new", "er"), join(link, "new")]) {
    const { code, stderr } = await main("salvage", data, "--to", to);
    const reason = `it is in "${data}", expected another place`;
    assertEquals([code, stderr], [1, `sixpaths salvage: Cannot write to "${to}": ${reason}`]);
  }
  const { code, stderr } = await main("salvage", data, "--to", "main.ts");
  const reason = "a file is there, expected a new directory";
  assertEquals([code, stderr], [1, `sixpaths salvage: Cannot write to "main.ts": ${reason}`]);
});
