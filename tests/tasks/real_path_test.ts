import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import { realPathOf } from "../../tasks/real_path.ts";
import { makeLink, temporaryDirectory } from "../process.ts";

Deno.test("realPathOf() follows links, also to what is not there yet", async () => {
  await using directory = await temporaryDirectory();
  const real = await Deno.realPath(directory.path);
  const link = join(directory.path, "link");
  await makeLink(link, "later");
  assertEquals(realPathOf(join(link, "n1")), join(real, "later", "n1"));
  await Deno.mkdir(join(real, "later"));
  assertEquals(realPathOf(join(link, "n1")), join(real, "later", "n1"));
});
