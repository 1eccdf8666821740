import { assertEquals, assertRejects } from "@std/assert";
import { Failure } from "../../../tasks/subcommand.ts";
import { lockDirectories } from "../../../tasks/supervise/directory_lock.ts";
import { temporaryDirectory, writeFreeConfig } from "../../process.ts";

Deno.test("lockDirectories() lets one supervisor have the directories at a time", async () => {
  await using directory = await temporaryDirectory();
  const { config } = await writeFreeConfig(directory.path, 3);
  const [n1, n2] = config.nodes;
  await Deno.mkdir(n1.data);
  await Deno.mkdir(n2.data);
  {
    using _locked = await lockDirectories({ ...config, nodes: [n2] });
    const failure = await assertRejects(() => lockDirectories(config), Failure);
    assertEquals(failure.message, `Cannot use "${n2.data}" of n2: another cluster is using it`);
    using _other = await lockDirectories({ ...config, nodes: [n1] });
  }
  using _again = await lockDirectories(config);
});
