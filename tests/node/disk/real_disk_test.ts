import { assertEquals, assertRejects } from "@std/assert";
import { join } from "@std/path";
import { REMOVE_PIECE_BYTES } from "../../../lib/limits.ts";
import { readFile } from "../../../node/disk/disk.ts";
import { DamageError } from "../../../node/log/damage.ts";
import { realDisk } from "../../../node/disk/real_disk.ts";
import { temporaryDirectory } from "../../../tasks/temporary_directory.ts";

Deno.test("realDisk.remove() removes files of any size, and nothing else", async () => {
  await using directory = await temporaryDirectory("disk-");
  const sizes = [0, 1, REMOVE_PIECE_BYTES, REMOVE_PIECE_BYTES + 1, 3 * REMOVE_PIECE_BYTES];
  const names = sizes.map((size) => `file of ${size}`);
  for (const [i, name] of names.entries()) {
    await Deno.writeFile(join(directory.path, name), new Uint8Array(sizes[i]));
  }
  for (const [i, name] of names.entries()) {
    await realDisk.remove(join(directory.path, name));
    assertEquals(await realDisk.list(directory.path), names.slice(i + 1).sort());
  }
  const missing = join(directory.path, "missing");
  await assertRejects(() => realDisk.remove(missing), Deno.errors.NotFound);
});

Deno.test("realDisk takes for damaged what it cannot read, and names the file", async () => {
  await using directory = await temporaryDirectory("disk-");
  const path = join(directory.path, "0000000000000001.log");
  await Deno.mkdir(path);
  const reason = `Damage in "${path}" at byte 0: cannot be read: Is a directory (os error 21)`;
  await assertRejects(() => readFile(realDisk, path), DamageError, reason);
});
