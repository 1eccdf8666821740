import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { DiskFile } from "../../../node/disk/disk.ts";
import { SECTOR_BYTES } from "../../../node/log/log_format.ts";
import { SimulatedDisk } from "../../../tasks/simulate/simulated_disk.ts";

const PATH = "n1/file";

/** A disk with one durable file of zeros, opened. */
async function setUp(sectors: number): Promise<{ disk: SimulatedDisk; file: DiskFile }> {
  const disk = new SimulatedDisk();
  const file = await disk.open(PATH, "create");
  file.write(new Uint8Array(sectors * SECTOR_BYTES), 0);
  await file.syncData();
  await disk.syncDirectory("n1");
  return { disk, file };
}

function write(file: DiskFile, sector: number, value: number): void {
  file.write(new Uint8Array(SECTOR_BYTES).fill(value), sector * SECTOR_BYTES);
}

/** The first byte of each sector. */
function sectorsOf(disk: SimulatedDisk): number[] {
  const bytes = disk.bytes(PATH);
  return Array.from({ length: bytes.length / SECTOR_BYTES }, (_, i) => bytes[i * SECTOR_BYTES]);
}

Deno.test("SimulatedDisk.crash() keeps the unsynced sectors that it is told to keep", async () => {
  const { disk, file } = await setUp(3);
  for (const sector of [0, 1, 2]) write(file, sector, 7);
  assertEquals(sectorsOf(disk), [7, 7, 7]);
  assertEquals(sectorsOf(disk.crash(() => false)), [0, 0, 0]);
  assertEquals(sectorsOf(disk.crash((_, sector) => sector === 1)), [0, 7, 0]);
  assertEquals(sectorsOf(disk.handOver()), [7, 7, 7]);
});

Deno.test("SimulatedDisk.crash() loses what of a directory was not synced", async () => {
  const { disk } = await setUp(1);
  await disk.open("n1/new", "create");
  await disk.rename(PATH, "n1/renamed");
  const names = (found: SimulatedDisk) => found.list("n1");
  assertEquals(await names(disk.crash(() => true)), ["file"]);
  assertEquals(await names(disk.crash(() => true, (path) => path === PATH)), ["renamed"]);
  await disk.syncDirectory("n1");
  assertEquals(await names(disk.crash(() => false)), ["new", "renamed"]);
});

Deno.test("SimulatedDisk.crash() may leave the first half of a file that was removed", async () => {
  const { disk, file } = await setUp(5);
  write(file, 4, 7);
  await disk.remove(PATH);
  assertEquals(sectorsOf(disk.crash(() => true)), [0, 0]);
  await disk.syncDirectory("n1");
  assertEquals(await disk.crash(() => true).list("n1"), []);
});

Deno.test("SimulatedDisk makes what a failed sync left out durable with no later one", async () => {
  const { disk, file } = await setUp(2);
  write(file, 0, 7);
  write(file, 1, 7);
  disk.failSync(PATH, (_, sector) => sector === 0);
  await file.syncData();
  assertEquals(sectorsOf(disk), [7, 7], "it is seen");
  assertEquals(sectorsOf(disk.crash(() => true)), [7, 0]);
  write(file, 1, 7);
  await file.syncData();
  assertEquals(sectorsOf(disk.crash(() => false)), [7, 7], "unless it was written again");
});

Deno.test("SimulatedDisk.handOver() may let go of what a failed sync has left out", async () => {
  const { disk, file } = await setUp(2);
  write(file, 0, 7);
  write(file, 1, 7);
  disk.failSync(PATH, () => false);
  assertEquals(sectorsOf(disk.handOver((_, sector) => sector === 1)), [7, 0]);
});

Deno.test("SimulatedDisk may let go of what a failed sync has left out at any time", async () => {
  const { disk, file } = await setUp(2);
  write(file, 0, 7);
  write(file, 1, 7);
  disk.failSync(PATH, () => false);
  disk.evicts = (_, sector) => sector === 1;
  const read = new Uint8Array(2 * SECTOR_BYTES);
  file.read(read, 0);
  assertEquals([read[0], read[SECTOR_BYTES]], [7, 0]);
});

Deno.test("SimulatedDisk has no more of a file durable than what was written back", async () => {
  const { disk, file } = await setUp(1);
  write(file, 1, 7);
  disk.failSync(PATH, () => false);
  write(file, 0, 8);
  await file.syncData();
  assertEquals(sectorsOf(disk), [8, 7]);
  assertEquals(sectorsOf(disk.crash(() => true)), [8]);
});

Deno.test("SimulatedDisk that is full takes whole sectors, and what does not grow", async () => {
  const { disk, file } = await setUp(1);
  disk.freeBytes = 2 * SECTOR_BYTES + 100;
  write(file, 0, 7);
  assertEquals(file.write(new Uint8Array(4 * SECTOR_BYTES), SECTOR_BYTES), 2 * SECTOR_BYTES);
  assertThrows(() => write(file, 3, 7), Error, "No space left on device");
  await disk.remove(PATH);
  write(file, 3, 7);
});

Deno.test("SimulatedDisk.flipBack() restores a bit unless it was written over", async () => {
  const { disk, file } = await setUp(2);
  const [first, second] = [disk.flip(PATH, 3), disk.flip(PATH, SECTOR_BYTES * 8)];
  assertEquals(sectorsOf(disk), [8, 1]);
  write(file, 1, 7);
  for (const flipped of [first, second]) disk.flipBack(flipped);
  assertEquals(sectorsOf(disk), [0, 7]);
});

Deno.test("SimulatedDisk keeps a lock until who has it closes the file, or is gone", async () => {
  const { disk, file } = await setUp(1);
  assertEquals(file.tryLock(), true);
  const other = await disk.open(PATH, "read");
  assertEquals(other.tryLock(), false);
  other.close();
  const third = await disk.open(PATH, "read");
  assertEquals(third.tryLock(), false);
  file.close();
  assertEquals(third.tryLock(), true);
  assertEquals((await disk.handOver().open(PATH, "read")).tryLock(), true);
});

Deno.test("SimulatedDisk does nothing for a process that is gone", async () => {
  const { disk, file } = await setUp(1);
  const after = disk.handOver();
  assertThrows(() => write(file, 0, 7), Error, "Process is gone");
  let ended = false;
  file.syncData().finally(() => ended = true);
  await assertRejects(() => after.open("n1/none", "read"), Deno.errors.NotFound);
  assertEquals([sectorsOf(after), ended], [[0], false]);
});
