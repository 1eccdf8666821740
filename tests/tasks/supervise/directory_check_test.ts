import { assertEquals, assertThrows } from "@std/assert";
import { join } from "@std/path";
import { ExitCode, Failure } from "../../../tasks/subcommand.ts";
import { checkDirectories } from "../../../tasks/supervise/directory_check.ts";
import { makeLink, temporaryDirectory, writeFreeConfig } from "../../process.ts";

Deno.test("checkDirectories() accepts directories that are not there yet", async () => {
  await using directory = await temporaryDirectory();
  const { config } = await writeFreeConfig(directory.path, 3);
  checkDirectories(config);
});

for (const [what, inner] of [["the same directory", ""], ["a directory inside it", "deeper"]]) {
  Deno.test(`checkDirectories() refuses a link to ${what}`, async () => {
    await using directory = await temporaryDirectory();
    const { config: { router, nodes: [n1, n2] } } = await writeFreeConfig(directory.path, 2);
    const target = join(n1.data, inner);
    await Deno.mkdir(target, { recursive: true });
    await makeLink(n2.data, target);
    const check = () => checkDirectories({ router, nodes: [n1, n2] });
    const failure = assertThrows(check, Failure);
    const [real, realTarget] = [await Deno.realPath(n1.data), await Deno.realPath(target)];
    assertEquals(
      failure.message,
      `Cannot use "${n2.data}" of n2: it really is "${realTarget}", expected a directory ` +
        `apart from "${n1.data}" of n1, which is "${real}"`,
    );
    assertEquals(failure.exitCode, ExitCode.misuse);
  });
}
