import { assertEquals, assertInstanceOf, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import { systemClock } from "../../../lib/clock.ts";
import { CommandKind } from "../../../lib/key_value.ts";
import { checkDirectory, DirectoryChangedError } from "../../../node/repair/check.ts";
import { DamageError } from "../../../node/log/damage.ts";
import { isLocked, openDataDirectory } from "../../../node/log/data_directory.ts";
import { type Disk, withOpen } from "../../../node/disk/disk.ts";
import type { OpenedNode } from "../../../node/open_node.ts";
import { segmentName } from "../../../node/log/log_format.ts";
import { MemoryNode } from "../../memory_cluster.ts";
import { SimulatedDisk } from "../../../tasks/simulate/simulated_disk.ts";
import {
  DIRECTORY,
  diskWithUnreadableRecord,
  failReading,
  openSmallNode,
  TOO_LARGE,
  write,
} from "../small_node.ts";

const SEGMENT = join("n1", segmentName(1));
const MARKER = join("n1", "NODE");

/** A disk with the data of a node that took ten writes of two clients to three keys. */
async function diskOfNode(): Promise<SimulatedDisk> {
  const memory = new MemoryNode("n1");
  using directory = await openDataDirectory(memory.disk, "n1", "n1", {
    shard: "1 of 6",
    clock: systemClock,
    report: () => {},
  });
  await memory.start();
  await directory.markExisting();
  for (let i = 1; i <= 10; i++) {
    const key = `k${i % 3}`;
    await memory.node.write({
      kind: CommandKind.put,
      client: `c${i % 2}`,
      seq: i,
      key,
      value: "v",
    });
  }
  await memory.stop();
  return memory.disk;
}

function bytesOf(disk: SimulatedDisk): Record<string, string> {
  return Object.fromEntries([...disk.files.keys()].map((path) => [path, disk.bytes(path).toHex()]));
}

Deno.test("checkDirectory() reports what a whole directory has, and changes nothing", async () => {
  const disk = await diskOfNode();
  const before = bytesOf(disk);
  const report = await checkDirectory(disk, "n1");
  const { nodeId, shard, records, keys, sessions, damage } = report;
  assertEquals({ nodeId, shard, records, keys, sessions, damage }, {
    nodeId: "n1",
    shard: "1 of 6",
    records: 10,
    keys: 3,
    sessions: 2,
    damage: null,
  });
  assertEquals(report.segments.map(({ name, records }) => [name, records]), [[segmentName(1), 10]]);
  assertEquals(bytesOf(disk), before);
});

Deno.test("checkDirectory() names the first damage, and counts what comes before it", async () => {
  const disk = await diskOfNode();
  const offset = 512 * 5; // of the fifth batch
  disk.bytes(SEGMENT)[offset + 40] ^= 1;
  const before = bytesOf(disk);
  const { records, damage } = await checkDirectory(disk, "n1");
  assertInstanceOf(damage, DamageError);
  assertEquals([damage.file, damage.offset, records], [SEGMENT, offset, 4]);
  assertEquals(bytesOf(disk), before);
});

Deno.test("checkDirectory() names an unreadable record, with which no node starts", async () => {
  const { disk, offset } = await diskWithUnreadableRecord();
  const { records, keys, damage } = await checkDirectory(disk, DIRECTORY);
  const message = `Damage in "${SEGMENT}" at byte ${offset}: record 4 cannot be read: ${TOO_LARGE}`;
  assertEquals([records, keys, damage?.message], [3, 3, message]);
  const before = bytesOf(disk);
  await assertRejects(() => openSmallNode(disk), DamageError, message);
  assertEquals(bytesOf(disk), before);
});

Deno.test("checkDirectory() names a file that cannot be read, with which no node starts", async () => {
  for (const path of [SEGMENT, MARKER]) {
    const disk = await diskOfNode();
    failReading(disk, path);
    const message = `Damage in "${path}" at byte 0: cannot be read: Input/output error`;
    assertStringIncludes(`${(await checkDirectory(disk, "n1")).damage?.message}`, message);
    await assertRejects(() => openSmallNode(disk), DamageError, message);
  }
});

Deno.test("checkDirectory() knows that a log is missing", async () => {
  for (const marker of ["as it was written", "of zeros"]) {
    const disk = await diskOfNode();
    disk.files.delete(SEGMENT);
    if (marker === "of zeros") disk.bytes(MARKER).fill(0);
    assertEquals((await checkDirectory(disk, "n1")).damage?.file, SEGMENT, marker);
    await assertRejects(() => openSmallNode(disk), DamageError, SEGMENT, marker);
  }
});

/** The disk of a node as someone sees it for whom something happens before each read of the log. */
function besideNode(disk: SimulatedDisk, happens: () => Promise<unknown>): Disk {
  return withOpen(disk, async (path, mode) => {
    if (path.endsWith(".log")) await happens();
    return await disk.open(path, mode);
  });
}

/** The disk of a node that begins a segment, up to so many times, before each read of its log. */
function besideBusyNode(disk: SimulatedDisk, opened: OpenedNode, cutsMax: number): Disk {
  let cuts = 0;
  return besideNode(disk, async () => {
    if (cuts === cutsMax) return;
    cuts++;
    await opened.log.cut();
    await write(opened, 3 * cuts, 3 * cuts + 3);
  });
}

Deno.test("checkDirectory() takes nothing for damage that a node does meanwhile", async () => {
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk, { growthBytesMin: Infinity });
  await write(opened, 0, 3);
  const { damage, records } = await checkDirectory(besideBusyNode(disk, opened, 3), DIRECTORY);
  assertEquals([damage, records], [null, 12]);
});

Deno.test("checkDirectory() gives up beside a node that changes its files all the time", async () => {
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk, { growthBytesMin: Infinity });
  await write(opened, 0, 3);
  await assertRejects(
    () => checkDirectory(besideBusyNode(disk, opened, Infinity), DIRECTORY),
    DirectoryChangedError,
    `Cannot read "n1": the node that uses it has changed its files meanwhile`,
  );
});

Deno.test("checkDirectory() reports damage beside a node that goes on", async () => {
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk, { growthBytesMin: Infinity });
  await write(opened, 0, 3);
  disk.bytes(SEGMENT)[512 * 2 + 40] ^= 1;
  let writes = 3;
  const beside = besideNode(disk, () => write(opened, writes++, writes));
  const { damage, records } = await checkDirectory(beside, DIRECTORY);
  assertEquals([damage?.offset, records], [512 * 2, 1]);
});

Deno.test("checkDirectory() knows a marker with any bit flipped", async () => {
  const whole = await diskOfNode();
  for (let bit = 0; bit < whole.bytes(MARKER).length * 8; bit++) {
    const disk = whole.copy();
    disk.bytes(MARKER)[bit >> 3] ^= 1 << (bit & 7);
    const { damage } = await checkDirectory(disk, "n1");
    assertInstanceOf(damage, DamageError, `bit ${bit}`);
  }
});

Deno.test("openDataDirectory() refuses the directory of another node", async () => {
  const disk = await diskOfNode();
  await assertRejects(
    () => openDataDirectory(disk, "n1", "n2", { clock: systemClock, report: () => {} }),
    Error,
    `Cannot use "n1": it belongs to node "n1", expected "n2"`,
  );
});

Deno.test("openDataDirectory() lets nobody else in while it is open", async () => {
  const disk = await diskOfNode();
  {
    using _held = await openDataDirectory(disk, "n1", "n1", {
      clock: systemClock,
      report: () => {},
    });
    await assertRejects(
      () => openDataDirectory(disk, "n1", "n1", { clock: systemClock, report: () => {} }),
      Error,
      "locked",
    );
  }
  assertEquals(await isLocked(disk, "n1"), false);
});

Deno.test("openDataDirectory() tells a directory that has held a log from a new one", async () => {
  const disk = new SimulatedDisk();
  {
    using fresh = await openDataDirectory(disk, "n1", "n1", {
      clock: systemClock,
      report: () => {},
    });
    assertEquals(fresh.existing, false);
  }
  {
    using crashedBeforeTheLog = await openDataDirectory(disk, "n1", "n1", {
      clock: systemClock,
      report: () => {},
    });
    assertEquals(crashedBeforeTheLog.existing, false);
    await crashedBeforeTheLog.markExisting();
  }
  using used = await openDataDirectory(disk.crash(() => false), "n1", "n1", {
    clock: systemClock,
    report: () => {},
  });
  assertEquals(used.existing, true);
});
