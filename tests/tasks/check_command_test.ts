import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { checkCommand } from "../../tasks/check_command.ts";
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

for (const name of ["n1", "it's $HOME, n1"]) {
  Deno.test(`checkCommand() advises a command that works, for "${name}"`, async () => {
    await using written = await writtenDirectory({ growthBytesMin: Infinity });
    const data = join(written.path, name);
    const files = await Array.fromAsync(Deno.readDir(written.path));
    await Deno.mkdir(data);
    for (const file of files) {
      await Deno.rename(join(written.path, file.name), join(data, file.name));
    }
    const { code, stdout } = await runInShell(checkCommand(data));
    assertEquals([code, stdout.at(0), stdout.at(-1)], [0, "node      n1", "damage    none"]);
  });
}
