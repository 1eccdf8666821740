import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { Outcome } from "../../../lib/key_value.ts";
import { DamageError } from "../../../node/log/damage.ts";
import type { OpenedNode } from "../../../node/open_node.ts";
import {
  indexOfName,
  isSegmentName,
  segmentName,
  snapshotName,
} from "../../../node/log/log_format.ts";
import type { SnapshotInfo } from "../../../node/log/log.ts";
import { Replay } from "../../../node/replay.ts";
import { partsOf, SnapshotLoader } from "../../../node/snapshot/snapshot_format.ts";
import { SnapshotMaker } from "../../../node/snapshot/snapshot_maker.ts";
import { scanSnapshot } from "../../../node/snapshot/snapshot_scan.ts";
import { Shard } from "../../../node/shard.ts";
import type { SessionsOptions } from "../../../node/sessions/sessions.ts";
import { stateHash } from "../../../node/state_hash.ts";
import { Fed } from "../fed.ts";
import { type DiskCall, noSpace, SimulatedDisk } from "../../../tasks/simulate/simulated_disk.ts";
import {
  DIRECTORY,
  failReading,
  filesOf,
  openSmallNode,
  pathOf,
  snapshots,
  takeFrom,
  write,
  writeOf,
} from "../small_node.ts";

/** A node that has taken one snapshot after 10 of 14 writes. */
async function oneSnapshot(): Promise<{ disk: SimulatedDisk; hash: string; name: string }> {
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk);
  await write(opened, 0, 9);
  await snapshots(opened, 1);
  await write(opened, 9, 14);
  const { snapshot_index } = opened.node.metrics();
  return { disk, hash: opened.node.stateHash(), name: snapshotName(snapshot_index) };
}

Deno.test("Node takes a snapshot when its log has grown, and drops what it covers", async () => {
  const { disk, name } = await oneSnapshot();
  const index = Number(name.slice(0, 16));
  assert(index > 0 && index < 14, name);
  assertEquals(await filesOf(disk), [name, segmentName(index + 1)]);
});

Deno.test("Node has the same state from a snapshot and the log after it as live", async () => {
  const { disk, hash } = await oneSnapshot();
  await using again = await openSmallNode(disk);
  assertEquals(again.node.stateHash(), hash);
  assertEquals(again.reports, []);
});

Deno.test("Node has the same state from a snapshot as from the whole log", async () => {
  const disk = new SimulatedDisk();
  const never = new SimulatedDisk();
  await using opened = await openSmallNode(disk);
  await using whole = await openSmallNode(never, { growthBytesMin: Infinity });
  for (let i = 0; i < 200; i++) {
    await opened.node.write(writeOf(i));
    await whole.node.write(writeOf(i));
    if (i % 40 === 0) await opened.node.write(writeOf(Math.floor(i / 2))); // a duplicate
    if (i % 40 === 0) await whole.node.write(writeOf(Math.floor(i / 2)));
  }
  assert(opened.node.metrics().snapshot_total > 5);
  assertEquals(whole.node.metrics().snapshot_total, 0);
  await opened[Symbol.asyncDispose]();
  await whole[Symbol.asyncDispose]();
  await using fromSnapshot = await openSmallNode(disk);
  await using fromLog = await openSmallNode(never, { growthBytesMin: Infinity });
  assert(fromSnapshot.node.metrics().snapshot_index > 100);
  assertEquals(fromSnapshot.node.stateHash(), fromLog.node.stateHash());
});

Deno.test("Node knows from a snapshot which writes it has applied", async () => {
  const { disk } = await oneSnapshot();
  await using again = await openSmallNode(disk);
  for (let i = 0; i < 14; i++) {
    assertEquals((await again.node.write(writeOf(i))).outcome, Outcome.duplicate, `write ${i}`);
  }
});

Deno.test("Node serves reads and writes while a snapshot is being taken", async () => {
  const disk = new SimulatedDisk();
  const { promise, resolve } = Promise.withResolvers<void>();
  await using opened = await openSmallNode(disk, {
    take: async (index, signal) => {
      await promise;
      return await takeFrom(disk)(index, signal);
    },
  });
  await write(opened, 0, 50);
  const seen = [opened.node.get("key 6"), opened.node.metrics().snapshot_total];
  resolve();
  await snapshots(opened, 1);
  assertEquals(seen, [writeOf(48).value, 0]);
});

Deno.test("Node goes on when a snapshot fails, says so, and tries again", async () => {
  const disk = new SimulatedDisk();
  let tries = 0;
  await using opened = await openSmallNode(disk, {
    take: (index, signal) => {
      if (++tries === 1) return Promise.reject(new Error("Thread ended"));
      return takeFrom(disk)(index, signal);
    },
  });
  await write(opened, 0, 10);
  await snapshots(opened, 1);
  assertEquals(opened.reports, [
    "snapshot failed: Thread ended; the log is kept, " +
    "and it is tried again when that has grown more",
  ]);
  await write(opened, 10, 12);
  assertEquals(tries, 1, "it is not tried again at once");
  await write(opened, 12, 30);
  await snapshots(opened, 2);
  const { snapshot_total, snapshot_failures_total } = opened.node.metrics();
  assertEquals([snapshot_total >= 1, snapshot_failures_total], [true, 1]);
});

Deno.test("Node lets its log grow by the size of a snapshot before it takes the next", async () => {
  const disk = new SimulatedDisk();
  const put = ({ node }: OpenedNode, i: number) =>
    node.write({ ...writeOf(0), seq: i, key: `key ${i}`, value: "v".repeat(400) });
  {
    await using opened = await openSmallNode(disk, { growthBytesMin: Infinity });
    for (let i = 1; i <= 100; i++) await put(opened, i);
  }
  await using opened = await openSmallNode(disk);
  await put(opened, 101); // the log is long enough already
  await snapshots(opened, 1);
  const { snapshot_bytes, snapshot_index, logged_bytes_total } = opened.node.metrics();
  assertEquals(snapshot_index, 101);
  const grownBytes = () => opened.log.bytesAppended - logged_bytes_total;
  for (let i = 102; grownBytes() < snapshot_bytes; i++) {
    const { snapshot_running, snapshot_total } = opened.node.metrics();
    assertEquals([snapshot_running, snapshot_total], [0, 1], `grown by ${grownBytes()} bytes`);
    await put(opened, i);
  }
  await snapshots(opened, 2);
});

Deno.test("Node says of no write that it was refused when its log cannot be cut", async () => {
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk);
  let refused = 0;
  disk.beforeCall = (call) => {
    if (call === "create" && ++refused === 1) throw noSpace();
  };
  await write(opened, 0, 12);
  assertEquals(opened.reports, [
    "snapshot failed: No space left on device (os error 28); the log is kept, " +
    "and it is tried again when that has grown more",
  ]);
});

Deno.test("Node that stops breaks off the snapshot that is being taken", async () => {
  const aborted = Promise.withResolvers<void>();
  const opened = await openSmallNode(new SimulatedDisk(), {
    take: (_, signal) =>
      new Promise<SnapshotInfo>((_, reject) =>
        signal.addEventListener("abort", () => {
          aborted.resolve();
          reject(signal.reason);
        })
      ),
  });
  await write(opened, 0, 10);
  await opened[Symbol.asyncDispose]();
  await aborted.promise;
  assertEquals(opened.reports, []);
});

Deno.test("Node keeps its disk within three times its data and a segment", async () => {
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk);
  let bytesMax = 0;
  for (let i = 0; i < 3000; i++) {
    await opened.node.write(writeOf(i));
    let bytes = 0;
    for (const name of await filesOf(disk)) bytes += disk.bytes(pathOf(name)).length;
    bytesMax = Math.max(bytesMax, bytes);
  }
  const { snapshot_bytes, logged_bytes_total } = opened.node.metrics();
  assert(logged_bytes_total > 3 * bytesMax, `${logged_bytes_total} bytes logged`);
  assert(bytesMax <= 3 * (snapshot_bytes + 16 * 1024), `${bytesMax} bytes, of ${snapshot_bytes}`);
});

Deno.test("Node does not start without the snapshot that its log begins with", async () => {
  const { disk, name } = await oneSnapshot();
  disk.files.delete(pathOf(name));
  const error = await assertRejects(() => openSmallNode(disk), DamageError);
  assertStringIncludes(error.message, "without a snapshot that stands for it");
  assertEquals(error.file, pathOf(segmentName(1)));
});

Deno.test("Node does not start without the segment after its snapshot", async () => {
  const { disk, name } = await oneSnapshot();
  const missing = segmentName(Number(name.slice(0, 16)) + 1);
  disk.files.delete(pathOf(missing));
  const error = await assertRejects(() => openSmallNode(disk), DamageError, `after "${name}"`);
  assertEquals(error.file, pathOf(missing));
});

Deno.test("Node does not start with a snapshot under a wrong name or of another log", async () => {
  const { disk, name } = await oneSnapshot();
  const renamed = disk.copy();
  await renamed.rename(pathOf(name), pathOf(snapshotName(5)));
  await assertRejects(() => openSmallNode(renamed), DamageError, "by its name");

  const other = new SimulatedDisk();
  await using opened = await openSmallNode(other);
  await write(opened, 1, 10);
  await snapshots(opened, 1);
  disk.files.set(pathOf(name), other.files.get(pathOf(name))!);
  const error = await assertRejects(() => openSmallNode(disk), DamageError);
  assertStringIncludes(error.message, "does not continue what comes before it");
});

/** Fails the first step of removing what a snapshot stands for: it gets another name. */
function failRemoval(call: DiskCall, path: string): void {
  if (call === "rename" && !path.endsWith(".tmp")) throw new Error("I/O error");
}

/** A node whose snapshot was taken, and whose older files could not be removed. */
async function undropped(): Promise<{ disk: SimulatedDisk; hash: string; names: string[] }> {
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk);
  disk.beforeCall = failRemoval;
  await write(opened, 0, 9);
  await snapshots(opened, 1);
  assertStringIncludes(opened.reports[0], "I/O error; the snapshot was taken");
  disk.beforeCall = () => {};
  return { disk, hash: opened.node.stateHash(), names: await filesOf(disk) };
}

Deno.test("Node removes at its start what a snapshot stands for, and says so", async () => {
  const { disk, hash, names } = await undropped();
  const [first, snapshot] = names;
  await disk.open(pathOf(`${snapshotName(99)}.tmp`), "create");
  await using again = await openSmallNode(disk.copy());
  assertEquals(again.reports, [
    `removed "${first}", which "${snapshot}" stands for`,
    `removed "${snapshotName(99)}.tmp", left over from an unfinished write or removal`,
  ]);
  assertEquals(again.node.stateHash(), hash);
  assertEquals(first, segmentName(1));
});

Deno.test("Node that ends while it removes files leaves none cut under its name", async () => {
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk);
  const [first] = await filesOf(disk);
  disk.beforeCall = (call) => {
    if (call === "remove") throw new Error("I/O error");
  };
  await write(opened, 0, 9);
  await snapshots(opened, 1);
  disk.beforeCall = () => {};
  await using again = await openSmallNode(disk.copy());
  assertEquals(again.reports, [
    `removed "${first}.tmp", left over from an unfinished write or removal`,
  ]);
  assertEquals(again.node.stateHash(), opened.node.stateHash());
});

Deno.test("Node removes with the next snapshot what it could not with the last", async () => {
  for (const failing of ["rename", "remove"]) {
    const disk = new SimulatedDisk();
    await using opened = await openSmallNode(disk);
    let covered = 0;
    disk.beforeCall = (call, path) => {
      // Of several files the first is taken away, or loses its name, and the second one is not.
      const isOurs = call === failing && (call === "remove" || !path.endsWith(".tmp"));
      if (isOurs && ++covered === 2) throw new Error("I/O error");
    };
    await write(opened, 0, 30);
    await snapshots(opened, 2);
    assertStringIncludes(opened.reports[0], "I/O error; the snapshot was taken");
    assertEquals(opened.node.metrics().snapshot_failures_total, 0);
    disk.beforeCall = () => {};
    await write(opened, 30, 45);
    await snapshots(opened, 3);
    const names = await filesOf(disk);
    const logs = names.filter((name) => name.endsWith(".log"));
    assertEquals(opened.node.metrics().segments, logs.length, failing);
    assertEquals(names.filter((name) => name.endsWith(".tmp")), [], failing);
  }
});

Deno.test("Node removes what later snapshots stand for, though one file can never go", async () => {
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk);
  disk.beforeCall = (call, path) => {
    if (call === "remove" && path.includes(segmentName(1))) throw new Error("I/O error");
  };
  for (let i = 1; i <= 4; i++) {
    await write(opened, (i - 1) * 12, i * 12);
    await snapshots(opened, i);
  }
  const { snapshot_total, snapshot_failures_total } = opened.node.metrics();
  assertEquals([snapshot_total >= 4, snapshot_failures_total], [true, 0]);
  const names = await filesOf(disk);
  assertEquals(names[0], `${segmentName(1)}.tmp`);
  assertEquals(names.filter((name) => name.endsWith(".snapshot")).length, 1, `${names}`);
  assertEquals(names.filter((name) => name.endsWith(".log")).length, 1, `${names}`);
});

Deno.test("Node falls back to the log when a snapshot is damaged and the log whole", async () => {
  const { disk, hash, names: [first, snapshot, last] } = await undropped();
  disk.bytes(pathOf(snapshot))[700] ^= 1;
  await using again = await openSmallNode(disk);
  assertEquals(again.node.stateHash(), hash);
  assertEquals(again.reports.length, 1);
  assertStringIncludes(again.reports[0], `Damage in "${pathOf(snapshot)}" at byte 512`);
  assertStringIncludes(again.reports[0], "went on from record 1 instead");
  assertEquals(await filesOf(disk), [first, snapshot, last]);
});

Deno.test("Node falls back to the log when a snapshot cannot be read", async () => {
  const { disk, hash, names: [, snapshot] } = await undropped();
  failReading(disk, pathOf(snapshot));
  await using again = await openSmallNode(disk);
  assertEquals(again.node.stateHash(), hash);
  const reason = "cannot be read: Input/output error (os error 5); went on from record 1 instead";
  assertEquals(again.reports, [`Damage in "${pathOf(snapshot)}" at byte 0: ${reason}`]);
});

/** A disk with two snapshots and the log since the older one; the newer one is damaged. */
async function damagedSecondSnapshot() {
  const { disk } = await oneSnapshot();
  await using opened = await openSmallNode(disk);
  disk.beforeCall = failRemoval;
  await write(opened, 14, 16);
  await opened.log.cut(); // so that there is more than one segment between the snapshots
  await write(opened, 16, 30);
  await snapshots(opened, 2);
  disk.beforeCall = () => {};
  const hash = opened.node.stateHash();
  await opened[Symbol.asyncDispose]();
  const names = (await filesOf(disk)).filter((name) => name.endsWith(".snapshot"));
  const [older, newer] = names.slice(-2);
  disk.bytes(pathOf(newer))[600] ^= 128;
  return { disk, hash, older, newer };
}

Deno.test("Node names the newer snapshot when the log from the older one is not whole", async () => {
  const { disk, newer } = await damagedSecondSnapshot();
  const between = (await filesOf(disk)).filter((name) =>
    isSegmentName(name) && indexOfName(name) <= indexOfName(newer)
  );
  await disk.remove(pathOf(between.at(-1)!));
  await assertRejects(() => openSmallNode(disk), DamageError, newer);
});

Deno.test("Node falls back to the older snapshot when the newer is damaged", async () => {
  const { disk, hash, older } = await damagedSecondSnapshot();
  await using again = await openSmallNode(disk);
  assertStringIncludes(again.reports.join(), `went on from "${older}" instead`);
  assertEquals(again.node.stateHash(), hash);
});

Deno.test("SnapshotMaker.take() goes on from the last state, not from the disk", async () => {
  const disk = new SimulatedDisk();
  const opened = await openSmallNode(disk, { growthBytesMin: Infinity });
  const { node, log } = opened;
  const maker = new SnapshotMaker({ disk, directory: DIRECTORY, hashKey: [5, 6] });
  await write(opened, 0, 30);
  const first = await maker.take(await log.cut());
  await log.drop(first);
  disk.bytes(pathOf(snapshotName(first.index)))[700] ^= 1;
  await write(opened, 30, 60);
  await log.drop(await maker.take(await log.cut()));
  const hash = node.stateHash();
  await opened[Symbol.asyncDispose]();
  await using again = await openSmallNode(disk);
  assertEquals(again.node.stateHash(), hash);
  assertEquals(again.reports, []);
});

Deno.test("SnapshotMaker.take() begins from the disk when the last one failed", async () => {
  const disk = new SimulatedDisk();
  const opened = await openSmallNode(disk, { growthBytesMin: Infinity });
  const { node, log } = opened;
  const maker = new SnapshotMaker({ disk, directory: DIRECTORY, hashKey: [5, 6] });
  await write(opened, 0, 30);
  await log.drop(await maker.take(await log.cut()));
  await write(opened, 30, 60);
  const index = await log.cut();
  disk.beforeCall = (call) => {
    if (call === "rename") throw new Deno.errors.Interrupted("No space");
  };
  await assertRejects(() => maker.take(index), Error, "No space");
  disk.beforeCall = () => {};
  await log.drop(await maker.take(index));
  const hash = node.stateHash();
  await opened[Symbol.asyncDispose]();
  await using again = await openSmallNode(disk);
  assertEquals(again.node.stateHash(), hash);
});

Deno.test("SnapshotMaker.take() leaves nothing behind when it fails, at any call", async () => {
  for (let failAt = 1;; failAt++) {
    const disk = new SimulatedDisk();
    await using opened = await openSmallNode(disk, { growthBytesMin: Infinity });
    await write(opened, 0, 10);
    const index = await opened.log.cut();
    const before = await filesOf(disk);
    let calls = 0;
    disk.beforeCall = (call) => {
      if (call !== "remove" && ++calls === failAt) throw new Deno.errors.Interrupted("No space");
    };
    try {
      await takeFrom(disk)(index, new AbortController().signal);
    } catch (error) {
      assertStringIncludes(String(error), "No space");
      const names = await filesOf(disk);
      // Only the very last call, that makes its name durable, comes after it has got its name.
      assertEquals(names.filter((name) => name.endsWith(".tmp")), [], `call ${failAt}`);
      assertEquals(names.filter((name) => name.endsWith(".log")), before);
      continue;
    }
    return assert(failAt > 5, `only ${failAt} disk calls`);
  }
});

/** A shard with the same content, by way of a snapshot in memory. */
function reloaded(shard: Shard, options: Partial<SessionsOptions>): Shard {
  const again = new Shard({ hashKey: [8, 9], ...options });
  const loader = new SnapshotLoader(again);
  for (const { kind, body } of partsOf(shard, 77)) loader.load(kind, body.slice());
  return again;
}

Deno.test("SnapshotLoader brings back sessions that remember, forget and evict as before", () => {
  const options = { sessionsMax: 20, bytesSoftMax: 4000, bytesMax: 20_000 };
  const live = new Fed(options);
  const write = (fed: Fed, i: number) =>
    fed.put(
      i % 5 === 0 ? `rare ${i % 97}` : `c${i * 7 % 11}`,
      1 + i * 13 % 2000,
      `k${i % 5}`,
      "x".repeat(i * 11 % 700),
    );
  for (let i = 0; i < 3000; i++) write(live, i);
  const { sessions } = live.shard;
  assert(sessions.evictions > 0 && sessions.drops > 0);
  const loaded = new Fed(options, reloaded(live.shard, options), live.index);
  assertEquals(stateHash(loaded.shard), stateHash(live.shard));
  loaded.check();
  // Whatever comes next is decided alike: what the cursors of the live one know is not needed.
  for (let i = 3000; i < 6000; i++) assertEquals(write(loaded, i), write(live, i), `write ${i}`);
  assertEquals(stateHash(loaded.shard), stateHash(live.shard));
  loaded.check();
});

Deno.test("SnapshotLoader takes entries and results larger than a frame, and empty ones", () => {
  const live = new Fed();
  const huge = "x".repeat(900_000);
  live.put("a", 1, "huge", huge);
  live.put("b", 1, "empty", "");
  for (let seq = 2; seq < 8; seq++) live.put("a", seq, "huge", huge + seq);
  live.put("ç".repeat(127), 9, "k".repeat(65_536), "v");
  const loaded = reloaded(live.shard, {});
  assertEquals(stateHash(loaded), stateHash(live.shard));
});

Deno.test("scanSnapshot() reads back the totals that the seal has", async () => {
  const { disk, name } = await oneSnapshot();
  const replay = new Replay({ hashKey: [1, 2] });
  const scan = await scanSnapshot(disk, DIRECTORY, name, replay.part);
  assertEquals(scan.index, Number(name.slice(0, 16)));
  assertEquals(scan.totals.keys, replay.shard.store.size);
  assertEquals(scan.totals.sessions, 3);
  assert(scan.totals.time > 0);
  assertEquals(replay.time, scan.totals.time);
});
