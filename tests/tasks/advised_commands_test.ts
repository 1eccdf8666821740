import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { checkCommand, cleanCommand, salvageCommand } from "../../tasks/advised_commands.ts";
import { MAIN } from "../../tasks/source.ts";
import { runInShell } from "../process.ts";
import { writtenDirectory } from "./written_directory.ts";

Deno.test("checkCommand() quotes only what a shell would not take as it is", () => {
  assertEquals(
    checkCommand("data/n1"),
    `deno run --allow-read=data/n1 ${MAIN} check data/n1`,
  );
  assertEquals(
    checkCommand("my data/n1"),
    `deno run '--allow-read=my data/n1' ${MAIN} check 'my data/n1'`,
  );
});

Deno.test("salvageCommand() takes a path as it comes", () => {
  const start = `deno run --allow-read=data --allow-write=data ${MAIN} salvage`;
  assertEquals(salvageCommand("data/n1"), `${start} data/n1 --to data/n1.salvaged`);
  assertEquals(salvageCommand("data/n1/"), `${start} data/n1/ --to data/n1.salvaged`);
  const here = Deno.cwd();
  assertEquals(salvageCommand(".").endsWith(` salvage . --to ${here}.salvaged`), true);
});

Deno.test("cleanCommand() names the config, if there is one", () => {
  const start = `deno run --allow-read --allow-write ${MAIN} clean`;
  assertEquals(cleanCommand(undefined), start);
  assertEquals(cleanCommand("my c.json"), `${start} --config 'my c.json'`);
});

/** The data of a node in a directory of this name. */
async function writtenUnder(name: string) {
  const written = await writtenDirectory({ growthBytesMin: Infinity });
  const data = join(written.path, name);
  const files = await Array.fromAsync(Deno.readDir(written.path));
  await Deno.mkdir(data);
  for (const file of files) {
    await Deno.rename(join(written.path, file.name), join(data, file.name));
  }
  return { ...written, data };
}

for (const name of ["n1", "it's $HOME, n1"]) {
  Deno.test(`checkCommand() advises a command that works, for "${name}"`, async () => {
    await using written = await writtenUnder(name);
    const { code, stdout } = await runInShell(checkCommand(written.data));
    assertEquals([code, stdout.at(0), stdout.at(-1)], [
      0,
      "node      n1, shard 1 of 6",
      "damage    none",
    ]);
  });

  Deno.test(`salvageCommand() advises a command that works, for "${name}"`, async () => {
    await using written = await writtenUnder(name);
    const { data } = written;
    const { code, stdout, stderr } = await runInShell(salvageCommand(data));
    assertEquals([code, stdout.at(0), stderr], [0, "node      n1, shard 1 of 6", ""]);
    assertEquals(stdout.at(-1)?.startsWith(`written   ${data}.salvaged: 6 keys`), true);
  });
}
