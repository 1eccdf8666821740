import { assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { DamageError } from "../../node/log/damage.ts";
import { scanDirectory } from "../../node/log/directory_scan.ts";
import { segmentName } from "../../node/log/log_format.ts";
import { realDisk } from "../../node/disk/real_disk.ts";
import { DirectoryChangedError } from "../../node/repair/check.ts";
import { readBesideNode } from "../../tasks/node_data.ts";
import { Failure } from "../../tasks/subcommand.ts";
import { writtenDirectory } from "./written_directory.ts";

Deno.test("readBesideNode() tells damage from what a node changes meanwhile", async () => {
  await using data = await writtenDirectory({ growthBytesMin: Infinity });
  const segment = join(data.path, segmentName(1));
  const passing = () => Promise.reject(new DamageError(segment, 512, "it was being written"));
  await assertRejects(() => readBesideNode(data.path, passing), DamageError, "being written");
  using marker = await Deno.open(join(data.path, "NODE"));
  assertEquals(marker.tryLockSync(true), true, "as a node that runs");
  await assertRejects(() => readBesideNode(data.path, passing), Failure, "try again");
  const changing = () => Promise.reject(new DirectoryChangedError("it was being written"));
  await assertRejects(() => readBesideNode(data.path, changing), Failure, "try again");
  const bytes = await Deno.readFile(segment);
  bytes[512 * 6 + 40] ^= 1;
  await Deno.writeFile(segment, bytes);
  const read = () => scanDirectory(realDisk, data.path, { part: () => {}, batch: () => {} });
  await assertRejects(() => readBesideNode(data.path, read), DamageError, "at byte 3072");
});
