import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { segmentName } from "../../node/log/log_format.ts";
import { writeOf } from "../node/small_node.ts";
import { startMain } from "../process.ts";
import { writtenDirectory } from "./written_directory.ts";

async function dump(...args: string[]) {
  await using process = startMain(["dump", ...args]);
  const { code } = await process.exit();
  const lines = process.stdout.map((line) => JSON.parse(line));
  return { code, lines, stderr: process.stderr.join("\n") };
}

Deno.test("dump prints every record of the log in order, as it was asked for", async () => {
  await using data = await writtenDirectory({ growthBytesMin: Infinity });
  const { code, lines, stderr } = await dump(data.path);
  assertEquals([code, stderr], [0, ""]);
  assertEquals(lines.map(({ index }) => index), Array.from({ length: 14 }, (_, i) => i + 1));
  const { time, ...put } = lines[3];
  assertMatch(time, /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const { client, seq, key, value } = writeOf(3);
  assertEquals(put, { index: 4, kind: "put", client, seq, key, value });
  assertEquals([lines[9].kind, lines[9].value], ["delete", undefined]);
});

Deno.test("dump prints only the records of a key, of a client, from an index on", async () => {
  await using data = await writtenDirectory({ growthBytesMin: Infinity });
  const indexes = async (...flags: string[]) =>
    (await dump(data.path, ...flags)).lines.map(({ index }) => index);
  assertEquals(await indexes("--key", "key 0"), [1, 8]);
  assertEquals(await indexes("--client", "client 1", "--from", "6"), [8, 11, 14]);
  assertEquals(await indexes("--key", "key 0", "--client", "client 1"), [8]);
});

Deno.test("dump says which records are in a snapshot, and prints it with --snapshot", async () => {
  await using data = await writtenDirectory();
  const log = await dump(data.path);
  assertEquals(log.lines[0].index, data.snapshotIndex + 1);
  assertStringIncludes(log.stderr, `records up to ${data.snapshotIndex} are in`);
  const { code, lines } = await dump(data.path, "--snapshot");
  assertEquals(code, 0);
  const entries = lines.filter(({ value }) => value !== undefined);
  assertEquals(
    entries.map(({ key }) => key).sort(),
    Array.from({ length: 7 }, (_, i) => `key ${i}`),
  );
  const ofClient = await dump(data.path, "--snapshot", "--client", "client 1");
  assertEquals([ofClient.lines[0].client, ofClient.lines[0].floor], ["client 1", 0]);
  const { client, seq } = writeOf(1);
  assertEquals(ofClient.lines[1], { client, seq, logIndex: 2, prevValue: "" });
});

Deno.test("dump says up to which sequence number of a client nothing is remembered", async () => {
  await using data = await writtenDirectory({ farSeq: 3278 });
  const { lines: [session] } = await dump(data.path, "--snapshot", "--client", "far");
  assertEquals(session, { client: "far", top: 3278, floor: 3278 - 1024 });
});

Deno.test("dump prints what comes before the first damage, and ends with code 1", async () => {
  await using data = await writtenDirectory({ growthBytesMin: Infinity });
  const file = join(data.path, segmentName(1));
  const bytes = await Deno.readFile(file);
  bytes[512 * 6 + 40] ^= 1;
  await Deno.writeFile(file, bytes);
  const { code, lines, stderr } = await dump(data.path);
  assertEquals([code, lines.length], [1, 5]);
  assertStringIncludes(stderr, `Damage in "${file}" at byte ${512 * 6}`);
});

Deno.test("dump says that a log is lost, as check does", async () => {
  await using data = await writtenDirectory({ growthBytesMin: Infinity });
  const file = join(data.path, segmentName(1));
  await Deno.remove(file);
  const { code, lines, stderr } = await dump(data.path);
  const reason = "segment is missing: the directory has held a log before";
  assertEquals([code, lines], [1, []]);
  assertStringIncludes(stderr, `Damage in "${file}" at byte 0: ${reason}`);
});

Deno.test("dump refuses an index that is none, and --from with --snapshot", async () => {
  assertEquals((await dump("data/n1", "--from", "0")).code, 2);
  assertEquals((await dump("data/n1", "--from", "3", "--snapshot")).code, 2);
});
