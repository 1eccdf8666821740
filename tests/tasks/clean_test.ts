import { assertEquals, assertStringIncludes } from "@std/assert";
import { exists } from "@std/fs";
import { join } from "@std/path";
import { systemClock } from "../../lib/clock.ts";
import { MARKER_NAME, openDataDirectory } from "../../node/log/data_directory.ts";
import { segmentName, snapshotName } from "../../node/log/log_format.ts";
import { realDisk } from "../../node/disk/real_disk.ts";
import {
  makeLink,
  startMain,
  type StartOptions,
  temporaryDirectory,
  writeFreeConfig,
} from "../process.ts";

const [LOG, NEXT_LOG, SNAPSHOT] = [segmentName(1), segmentName(15), snapshotName(14)];

/**
 * A directory with a config of two nodes whose data directories hold these files, of 1 KiB of zeros
 * each: such a marker names nobody.
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

/** Makes a data directory that of a node, under a config in which it was another shard. */
async function mark(directory: string, nodeId: string): Promise<void> {
  await Deno.remove(join(directory, MARKER_NAME));
  const options = { shard: "5 of 9" as const, clock: systemClock, report: () => {} };
  using opened = await openDataDirectory(realDisk, directory, nodeId, options);
  await opened.markExisting();
}

async function clean(file: string, options: StartOptions = {}) {
  await using process = startMain(["clean", "--config", file], options);
  const { code } = await process.exit();
  return { code, stdout: process.stdout, stderr: process.stderr };
}

Deno.test("clean removes the data of every node and nothing else, and says how much", async () => {
  await using data = await createData({
    n1: ["NODE", LOG],
    n2: ["NODE", SNAPSHOT, NEXT_LOG, `${LOG}.tmp`, `${SNAPSHOT}.tmp`],
    n3: ["NODE"],
  });
  const { path, file } = data;
  assertEquals(await clean(file), {
    code: 0,
    stdout: [
      `Removed the data of n1: ${join(path, "n1")} (2 KiB)`,
      `Removed the data of n2: ${join(path, "n2")} (5 KiB)`,
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

const STRANGERS: Record<string, [names: string[], reason: string]> = {
  "a file of another program": [
    ["NODE", "access.log"],
    `"access.log" in it is not the data of a node`,
  ],
  "a half-made file of another program": [
    ["NODE", "x.tmp"],
    `"x.tmp" in it is not the data of a node`,
  ],
  "no marker": [[LOG], `no file "NODE" is in it`],
};

for (const [what, [names, reason]] of Object.entries(STRANGERS)) {
  Deno.test(`clean removes nothing when one directory holds ${what}`, async () => {
    await using data = await createData({ n1: ["NODE", LOG], n2: names });
    const { path, file } = data;
    assertEquals(await clean(file), {
      code: 1,
      stdout: [],
      stderr: [
        `sixpaths clean: Cannot remove "${join(path, "n2")}", the data of n2: ${reason}; ` +
        "removed nothing",
      ],
    });
    assertEquals(await exists(join(path, "n1", LOG)), true);
  });
}

Deno.test("clean does not remove the data of another node, or of an unknown one", async () => {
  await using data = await createData({ n2: ["NODE", LOG] });
  const { path, file } = data;
  const marker = join(path, "n2", "NODE");
  const start = `sixpaths clean: Cannot remove "${join(path, "n2")}", the data of n2: `;
  await mark(join(path, "n2"), "n1");
  assertEquals((await clean(file)).stderr, [
    `${start}it belongs to node "n1"; removed nothing`,
  ]);
  await Deno.writeTextFile(marker, "my notes\n");
  assertStringIncludes((await clean(file)).stderr.join("\n"), `${start}Damage in "${marker}"`);
  await mark(join(path, "n2"), "n2");
  assertEquals((await clean(file)).code, 0);
});

Deno.test("clean says what is gone and what is not when a removal fails", async () => {
  await using data = await createData({ n1: ["NODE"], n2: ["NODE", LOG] });
  const { path, file } = data;
  const kept = join(path, "n2", LOG);
  const { code, stdout, stderr } = await clean(file, {
    permissions: ["--allow-read", `--allow-write=${path}`, `--deny-write=${kept}`],
  });
  assertEquals([code, stdout], [1, [`Removed the data of n1: ${join(path, "n1")} (1 KiB)`]]);
  assertEquals(stderr, [
    `sixpaths clean: Cannot remove all of "${join(path, "n2")}", the data of n2: ` +
    `Requires write access to "${kept}", run again with the --allow-write flag; ` +
    "removed the data of n1",
  ]);
  assertEquals([await exists(kept), await exists(join(path, "n2", "NODE"))], [true, true]);
});

Deno.test("clean does not follow a link out of the data directory", async () => {
  await using data = await createData({ n1: ["NODE"], elsewhere: ["precious.log"] });
  const { path, file } = data;
  await makeLink(join(path, "n1", LOG), join(path, "elsewhere"));
  const { code, stderr } = await clean(file);
  assertEquals([code, stderr], [1, [
    `sixpaths clean: Cannot remove "${join(path, "n1")}", the data of n1: ` +
    `"${LOG}" in it is not the data of a node; removed nothing`,
  ]]);
  assertEquals(await exists(join(path, "elsewhere", "precious.log")), true);
});

Deno.test("clean does not take a link for a data directory", async () => {
  await using data = await createData({ elsewhere: ["NODE", LOG] });
  const { path, file } = data;
  await makeLink(join(path, "n1"), join(path, "elsewhere"));
  const { code, stderr } = await clean(file);
  assertEquals([code, stderr], [1, [
    `sixpaths clean: Cannot remove "${join(path, "n1")}", the data of n1: ` +
    `it is a symbolic link, and where it leads may be someone else's; removed nothing`,
  ]]);
  assertEquals(await exists(join(path, "elsewhere", LOG)), true);
});
