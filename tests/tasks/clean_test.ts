import { assert, assertEquals } from "@std/assert";
import { exists } from "@std/fs";
import { join } from "@std/path";
import { startMain, temporaryDirectory, writeFreeConfig } from "../process.ts";

/**
 * A directory with a config of two nodes whose data directories hold these files, of 1 KiB each.
 */
async function createData(files: Record<string, string[]>) {
  const directory = await temporaryDirectory();
  const { file } = await writeFreeConfig(directory.path, 2);
  for (const [id, names] of Object.entries(files)) {
    await Deno.mkdir(join(directory.path, id));
    for (const name of names) {
      await Deno.writeFile(join(directory.path, id, name), new Uint8Array(1024));
    }
  }
  return { ...directory, file };
}

async function clean(file: string) {
  await using process = startMain(["clean", "--config", file]);
  const { code } = await process.exit();
  return { code, stdout: process.stdout, stderr: process.stderr };
}

/** `Deno.symlink()` would need to write everywhere. */
async function symlink(target: string, path: string): Promise<void> {
  const { success } = await new Deno.Command("ln", { args: ["-s", target, path] }).output();
  assert(success);
}

Deno.test("clean removes the data of every node and nothing else, and says how much", async () => {
  await using data = await createData({
    n1: ["NODE", "1.log"],
    n2: ["NODE", "1.log", "2.log.tmp"],
    n3: ["NODE"],
  });
  const { path, file } = data;
  assertEquals(await clean(file), {
    code: 0,
    stdout: [
      `Removed the data of n1: ${join(path, "n1")} (2 kiB)`,
      `Removed the data of n2: ${join(path, "n2")} (3 kiB)`,
    ],
    stderr: [],
  });
  const left = await Array.fromAsync(Deno.readDir(path), (entry) => entry.name);
  assertEquals(left.sort(), ["cluster.json", "n3"]);
});

Deno.test("clean removes an empty directory", async () => {
  await using data = await createData({ n1: [] });
  const { stdout } = await clean(data.file);
  assertEquals(stdout, [`Removed the data of n1: ${join(data.path, "n1")} (0 B)`]);
});

Deno.test("clean says so when there is nothing to remove", async () => {
  await using data = await createData({});
  assertEquals(await clean(data.file), {
    code: 0,
    stdout: ["Nothing to remove: no node has data"],
    stderr: [],
  });
});

Deno.test("clean removes nothing when one directory holds something else", async () => {
  await using data = await createData({ n1: ["NODE", "1.log"], n2: ["NODE", "thesis.txt"] });
  const { path, file } = data;
  assertEquals(await clean(file), {
    code: 1,
    stdout: [],
    stderr: [
      `sixpaths clean: Cannot remove "${join(path, "n2")}", the data of n2: ` +
      `"thesis.txt" in it is not the data of a node; removed nothing`,
    ],
  });
  assertEquals(await exists(join(path, "n1", "1.log")), true);
});

Deno.test("clean does not follow a link out of the data directory", async () => {
  await using data = await createData({ n1: ["NODE"], elsewhere: ["precious.log"] });
  const { path, file } = data;
  await symlink(join(path, "elsewhere"), join(path, "n1", "1.log"));
  const { code, stderr } = await clean(file);
  assertEquals([code, stderr], [1, [
    `sixpaths clean: Cannot remove "${join(path, "n1")}", the data of n1: ` +
    `"1.log" in it is not the data of a node; removed nothing`,
  ]]);
  assertEquals(await exists(join(path, "elsewhere", "precious.log")), true);
});

Deno.test("clean does not take a link for a data directory", async () => {
  await using data = await createData({ elsewhere: ["NODE", "1.log"] });
  const { path, file } = data;
  await symlink(join(path, "elsewhere"), join(path, "n1"));
  const { code, stderr } = await clean(file);
  assertEquals([code, stderr], [1, [
    `sixpaths clean: Cannot remove "${join(path, "n1")}", the data of n1: ` +
    `it is not a directory; removed nothing`,
  ]]);
  assertEquals(await exists(join(path, "elsewhere", "1.log")), true);
});
