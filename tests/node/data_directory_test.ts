import { assertEquals, assertRejects } from "@std/assert";
import { DamageError } from "../../node/damage.ts";
import { openDataDirectory } from "../../node/data_directory.ts";
import { writeBytes } from "../../node/disk.ts";
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

Deno.test("openDataDirectory() tells a damaged marker from that of another node", async () => {
  const disk = new SimulatedDisk();
  {
    using directory = await open(disk);
    await directory.markExisting();
  }
  for (let bit = 0; bit < disk.bytes(MARKER).length * 8; bit++) {
    disk.bytes(MARKER)[bit >> 3] ^= 1 << (bit & 7);
    await assertRejects(() => open(disk), DamageError, MARKER, `bit ${bit}`);
    disk.bytes(MARKER)[bit >> 3] ^= 1 << (bit & 7);
  }
});

Deno.test("openDataDirectory() takes a marker without a checksum, and gives it one", async () => {
  const disk = new SimulatedDisk();
  {
    using directory = await open(disk);
    await directory.markExisting();
  }
  const marked = new TextDecoder().decode(disk.bytes(MARKER));
  disk.files.delete(MARKER);
  const file = await disk.open(MARKER, "create");
  writeBytes(file, new TextEncoder().encode("sixpaths node n1, data format 1\n"), 0);
  file.close();
  {
    using directory = await open(disk);
    assertEquals(directory.existing, true);
    await directory.markExisting();
  }
  assertEquals(new TextDecoder().decode(disk.bytes(MARKER)), marked);
});

Deno.test("openDataDirectory() takes over a marker that never reached the disk", async () => {
  const disk = (await failedSync()).handOver(() => true);
  assertEquals(disk.bytes(MARKER).some((byte) => byte !== 0), false);
  {
    using directory = await open(disk);
    assertEquals(directory.existing, true, "a log that is missing has been lost");
    await directory.markExisting();
  }
  await assertRejects(() => open(disk, "n2"), Error, `belongs to node "n1", expected "n2"`);
});
