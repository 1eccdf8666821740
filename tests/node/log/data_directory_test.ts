import { assertEquals, assertRejects } from "@std/assert";
import { systemClock } from "../../../lib/clock.ts";
import { join } from "@std/path";
import { DamageError } from "../../../node/log/damage.ts";
import {
  checkMarker,
  openDataDirectory,
  type ShardNumber,
  WrongDirectoryError,
} from "../../../node/log/data_directory.ts";
import { type Disk, withOpen } from "../../../node/disk/disk.ts";
import { realDisk } from "../../../node/disk/real_disk.ts";
import { SimulatedDisk } from "../../../tasks/simulate/simulated_disk.ts";
import { temporaryDirectory } from "../../../tasks/temporary_directory.ts";
import { ManualClock } from "../../manual_clock.ts";
import { until } from "../../until.ts";

const MARKER = "n1/NODE";

function open(disk: SimulatedDisk, nodeId = "n1", shard?: ShardNumber) {
  return openDataDirectory(disk, "n1", nodeId, { shard, clock: systemClock, report: () => {} });
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
    using directory = await open(disk, "n1", "1 of 6");
    await directory.markExisting();
  }
  const written = JSON.stringify(new TextDecoder().decode(disk.bytes(MARKER)).replace(/\0+$/, ""));
  for (let bit = 0; bit < disk.bytes(MARKER).length * 8; bit++) {
    disk.bytes(MARKER)[bit >> 3] ^= 1 << (bit & 7);
    await assertRejects(() => open(disk, "n1", "1 of 6"), DamageError, MARKER, `bit ${bit}`);
    disk.bytes(MARKER)[bit >> 3] ^= 1 << (bit & 7);
  }
  disk.bytes(MARKER)[40] ^= 1; // behind node and shard
  await assertRejects(() => open(disk), DamageError, `expected ${written}`);
});

/** A disk with a directory that holds this shard. */
async function markedDisk(shard?: ShardNumber): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  using directory = await open(disk, "n1", shard);
  await directory.markExisting();
  return disk;
}

Deno.test("openDataDirectory() refuses another shard, and changes nothing", async () => {
  const disk = await markedDisk("1 of 6");
  const before = disk.bytes(MARKER).slice();
  for (const shard of ["2 of 6", "1 of 7"] as const) {
    await assertRejects(
      () => open(disk, "n1", shard),
      WrongDirectoryError,
      `Cannot use "n1": it holds shard 1 of 6, and by the config node "n1" is shard ${shard}; ` +
        "put the number and order of the nodes back as they were",
    );
  }
  assertEquals(disk.bytes(MARKER), before);
});

Deno.test("markExisting() keeps the shard for a node that does not know its own", async () => {
  const disk = await markedDisk("1 of 6");
  {
    using directory = await open(disk);
    await directory.markExisting();
  }
  assertEquals(await checkMarker(disk, "n1"), { nodeId: "n1", shard: "1 of 6" });
});

Deno.test("markExisting() adds a shard that is missing, at once or not at all", async () => {
  for (const survives of [true, false]) {
    const disk = await markedDisk();
    using directory = await open(disk, "n1", "2 of 6");
    disk.beforeCall = (call) => {
      if (call === "sync") throw new Error("Power failed");
    };
    await assertRejects(() => directory.markExisting(), Error, "Power failed");
    const shard = survives ? "2 of 6" : null;
    const found = disk.crash(() => survives);
    assertEquals(await checkMarker(found, "n1"), { nodeId: "n1", shard });
  }
});

Deno.test("openDataDirectory() takes over a marker that never reached the disk", async () => {
  const disk = (await failedSync()).handOver(() => true);
  assertEquals(disk.bytes(MARKER).some((byte) => byte !== 0), false);
  {
    using directory = await open(disk);
    assertEquals(directory.existing, true, "a log that is missing has been lost");
    await directory.markExisting();
  }
  await assertRejects(
    () => open(disk, "n2"),
    WrongDirectoryError,
    `belongs to node "n1", expected "n2"`,
  );
});

Deno.test("openDataDirectory() leaves the marker of a quicker process as it is", async () => {
  const disk = new SimulatedDisk();
  const { promise: go, resolve } = Promise.withResolvers<void>();
  const { promise: there, resolve: arrive } = Promise.withResolvers<void>();
  const slow = withOpen(disk, async (path, mode) => {
    arrive();
    await go;
    return await disk.open(path, mode);
  });
  const second = openDataDirectory(slow, "n1", "n1", { clock: systemClock, report: () => {} });
  await there;
  {
    using first = await open(disk);
    await first.markExisting();
    resolve();
    await assertRejects(() => second, Error, "another process has locked it");
  }
  using next = await open(disk);
  assertEquals(next.existing, true);
});

Deno.test("openDataDirectory() waits a moment for who only looks, and no longer", async () => {
  const disk = new SimulatedDisk();
  (await disk.open(MARKER, "create")).close();
  const looking = await disk.open(MARKER, "read");
  const clock = new ManualClock();
  looking.tryLock();
  const taken = openDataDirectory(disk, "n1", "n1", { clock, report: () => {} });
  await until(() => clock.pending > 0, "the wait for the lock");
  looking.close();
  clock.advance(10);
  using _held = await taken;
  let ended = false;
  const refused = openDataDirectory(disk, "n1", "n1", { clock, report: () => {} }).finally(() =>
    ended = true
  );
  refused.catch(() => {});
  for (let tries = 1; !ended && tries <= 20; tries++) {
    await until(() => ended || clock.pending > 0, `try ${tries}`);
    clock.advance(10);
  }
  await assertRejects(() => refused, Error, `Cannot use "n1": another process has locked it`);
});

/** The real disk, and what it is asked to do with directories below `base`. */
function recorded(base: string, calls: string[], refused: (path: string) => boolean): Disk {
  const note = (call: string, path: string) => calls.push(`${call} ${path.slice(base.length)}`);
  return {
    ...realDisk,
    async makeDirectory(directory) {
      const made = await realDisk.makeDirectory(directory);
      if (made) note("make", directory);
      return made;
    },
    syncDirectory(directory) {
      if (refused(directory)) throw new Deno.errors.NotCapable("no read access");
      if (directory.startsWith(base)) note("sync", directory);
      return realDisk.syncDirectory(directory);
    },
  };
}

Deno.test("openDataDirectory() makes the names of new directories durable", async () => {
  await using temporary = await temporaryDirectory("directory-");
  const base = temporary.path;
  const calls: string[] = [];
  const disk = recorded(base, calls, () => false);
  const directory = join(base, "data", "n1");
  (await openDataDirectory(disk, directory, "n1", { clock: systemClock, report: () => {} }))
    [Symbol.dispose]();
  assertEquals(calls, ["make /data/n1", "sync /data", "sync "]);
  calls.length = 0;
  (await openDataDirectory(disk, directory, "n1", { clock: systemClock, report: () => {} }))
    [Symbol.dispose]();
  assertEquals(calls, [], "all are durable since there is a marker");
});

Deno.test("openDataDirectory() syncs the parent after a start that was killed", async () => {
  await using temporary = await temporaryDirectory("directory-");
  const base = temporary.path;
  await Deno.mkdir(join(base, "n1"));
  const calls: string[] = [];
  const disk = recorded(base, calls, () => false);
  (await openDataDirectory(disk, join(base, "n1"), "n1", { clock: systemClock, report: () => {} }))
    [Symbol.dispose]();
  assertEquals(calls, ["sync "]);
});

Deno.test("openDataDirectory() says what is at stake without a permission", async () => {
  await using temporary = await temporaryDirectory("directory-");
  const directory = join(temporary.path, "data", "n1");
  const reports: string[] = [];
  const disk = recorded(temporary.path, [], (path) => path !== directory);
  const opened = await openDataDirectory(disk, directory, "n1", {
    clock: systemClock,
    report: (line) => reports.push(line),
  });
  opened[Symbol.dispose]();
  assertEquals(reports, [
    `cannot open and sync "${temporary.path}/data", which makes the new directory ` +
    `"${directory}" durable: until you run "sync", a power failure may take it away with all ` +
    "that is in it",
  ]);
});

Deno.test("openDataDirectory() makes nothing where data must exist, and takes it where it does", async () => {
  const disk = new SimulatedDisk();
  const openExisting = () =>
    openDataDirectory(disk, "n1", "n1", {
      mustExist: true,
      clock: systemClock,
      report: () => {},
    });
  const missing = "it is missing, though this node had data before: is its disk there?";
  await assertRejects(openExisting, DamageError, missing);
  assertEquals(disk.files.size, 0);
  {
    using _unmarked = await open(disk);
  }
  await assertRejects(openExisting, DamageError, missing, "a directory that never held a log");
  {
    using directory = await open(disk);
    await directory.markExisting();
  }
  using directory = await openExisting();
  assertEquals(directory.existing, true);
});
