import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { createMarker, MARKER_NAME } from "../../node/log/data_directory.ts";
import { segmentName } from "../../node/log/log_format.ts";
import { realDisk } from "../../node/disk/real_disk.ts";
import { salvageCommand } from "../../tasks/advised_commands.ts";
import { startMain, temporaryDirectory } from "../process.ts";
import { writtenDirectory } from "./written_directory.ts";

async function main(...args: string[]) {
  await using process = startMain(args);
  const { code } = await process.exit();
  return { code, stdout: process.stdout, stderr: process.stderr.join("\n") };
}

Deno.test("check reports a file that cannot be read as damage", async () => {
  await using data = await writtenDirectory({ growthBytesMin: Infinity });
  const file = join(data.path, segmentName(1));
  await Deno.remove(file);
  await Deno.mkdir(file); // a directory cannot be read either
  const { code, stdout, stderr } = await main("check", data.path);
  assertEquals([code, stderr], [1, ""]);
  assertEquals(stdout.slice(-3), [
    "start     refused",
    `damage    Damage in "${file}" at byte 0: cannot be read: Is a directory (os error 21)`,
    `salvage   ${salvageCommand(data.path)}`,
  ]);
});

Deno.test("check says that the marker names another node than the log", async () => {
  await using data = await writtenDirectory({ growthBytesMin: Infinity });
  await createMarker(realDisk, data.path, { nodeId: "n2", shard: "2 of 6" });
  const { code, stdout } = await main("check", data.path);
  const marker = join(data.path, MARKER_NAME);
  assertEquals([code, stdout.at(-2)], [
    1,
    `damage    Damage in "${marker}" at byte 0: it names node "n2", but the log is of node "n1"`,
  ]);
});

Deno.test("check says that the marker is missing, which is no damage", async () => {
  await using data = await writtenDirectory({ growthBytesMin: Infinity });
  await Deno.remove(join(data.path, MARKER_NAME));
  const { code, stdout } = await main("check", data.path);
  assertEquals([code, stdout.at(0), stdout.at(-3)], [
    0,
    "node      n1",
    "marker    missing: the next start writes the file NODE",
  ]);
});

for (const name of ["check", "dump", "salvage"]) {
  const more = name === "salvage" ? ["--to", "data/new"] : [];

  Deno.test(`${name} says that no node has written to a directory`, async () => {
    await using directory = await temporaryDirectory();
    await Deno.writeTextFile(join(directory.path, "notes"), "not a node's");
    const message = `sixpaths ${name}: Cannot read "${directory.path}": no node has written to it`;
    for (const _ of ["no marker", "an empty one"]) {
      const { code, stdout, stderr } = await main(name, directory.path, ...more);
      assertEquals([code, stdout, stderr], [1, [], message]);
      await Deno.writeTextFile(join(directory.path, MARKER_NAME), "");
    }
  });
}
