import { assertEquals, assertRejects } from "@std/assert";
import { openDataDirectory } from "../../node/data_directory.ts";
import { SimulatedDisk } from "../../tasks/simulate/simulated_disk.ts";

const MARKER = "n1/NODE";

function open(disk: SimulatedDisk, nodeId = "n1") {
  return openDataDirectory(disk, "n1", nodeId, () => {});
}

/** A disk whose first node could not sync its marker. */
async function failedSync(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  using directory = await open(disk);
  disk.beforeCall = (call) => {
    if (call !== "sync") return;
    disk.failSync(MARKER, () => false);
    throw new Error("I/O error");
  };
  await assertRejects(() => directory.markExisting(), Error, "I/O error");
  disk.beforeCall = () => {};
  await disk.syncDirectory("n1");
  return disk;
}

Deno.test("markExisting() makes durable a marker that was only read", async () => {
  const disk = await failedSync();
  {
    using directory = await open(disk);
    assertEquals(directory.existing, true);
    await directory.markExisting();
  }
  using directory = await open(disk.crash(() => false));
  assertEquals(directory.existing, true);
});

Deno.test("openDataDirectory() takes a marker that never reached the disk for one of its log", async () => {
  const disk = (await failedSync()).handOver(() => true);
  assertEquals(disk.bytes(MARKER).some((byte) => byte !== 0), false);
  {
    using directory = await open(disk);
    assertEquals(directory.existing, true, "a log that is missing has been lost");
    await directory.markExisting();
  }
  await assertRejects(() => open(disk, "n2"), Error, `belongs to node "n1", expected "n2"`);
});
