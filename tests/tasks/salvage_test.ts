import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { segmentName } from "../../node/log_format.ts";
import { startMain } from "../process.ts";
import { writtenDirectory } from "./written_directory.ts";

async function main(...args: string[]) {
  await using process = startMain(args);
  const { code } = await process.exit();
  return { code, stdout: process.stdout, stderr: process.stderr.join("\n") };
}

Deno.test("salvage says which records are lost, and what it wrote is whole", async () => {
  await using data = await writtenDirectory({ growthBytesMin: Infinity });
  const to = join(data.path, "salvaged");
  const file = join(data.path, segmentName(1));
  const bytes = await Deno.readFile(file);
  bytes[512 * 6 + 40] ^= 1;
  await Deno.writeFile(file, bytes);
  const { code, stdout } = await main("salvage", data.path, "--to", to);
  assertEquals([code, stdout.length], [3, 5], stdout.join("\n"));
  assertEquals(stdout.slice(0, 3), ["node      n1", "snapshot  none", "records   13 intact"]);
  assertMatch(stdout[3], /^lost {6}record 6 \(.* 0000000000000001\.log at byte 3072\)$/);
  assertEquals(stdout[4], `written   ${to}: 6 keys, 3 sessions, next index 15`);
  assertEquals(await Deno.readFile(file), bytes);
  const check = await main("check", to);
  assertEquals([check.code, check.stdout.at(-1)], [0, "damage    none"]);
});

Deno.test("salvage of whole data loses nothing, and says so", async () => {
  await using data = await writtenDirectory();
  const { code, stdout } = await main("salvage", data.path, "--to", join(data.path, "salvaged"));
  assertEquals([code, stdout[3]], [0, "lost      no record"]);
});

Deno.test("salvage refuses a directory that is not empty, and one that is not named", async () => {
  await using data = await writtenDirectory();
  const { code, stderr } = await main("salvage", data.path, "--to", data.path);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "expected it to be empty");
  assertEquals((await main("salvage", data.path)).code, 2);
});
