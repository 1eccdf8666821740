import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { CommandKind, Outcome } from "../../../lib/key_value.ts";
import { checkDirectory } from "../../../node/repair/check.ts";
import { DamageError } from "../../../node/log/damage.ts";
import { checkMarker, createMarker, MARKER_NAME } from "../../../node/log/data_directory.ts";
import { scanDirectory } from "../../../node/log/directory_scan.ts";
import { type Disk, withOpen } from "../../../node/disk/disk.ts";
import { unreadable } from "../../../node/disk/disk_errors.ts";
import { encodeFileHeader, Mark, segmentName, snapshotName } from "../../../node/log/log_format.ts";
import { Replay } from "../../../node/replay.ts";
import { type LostRange, salvage } from "../../../node/repair/salvage.ts";
import { stateHash } from "../../../node/state_hash.ts";
import { DeviceError, SimulatedDisk } from "../../../tasks/simulate/simulated_disk.ts";
import {
  DIRECTORY,
  diskWithUnreadableRecord,
  filesOf,
  openSmallNode,
  pathOf,
  takeFrom,
  TOO_LARGE,
  write,
  writeOf,
} from "../small_node.ts";

const SALVAGED = "salvaged";

/** Saves the node's data on `disk` into {@linkcode SALVAGED}. */
function save(disk: Disk, report: (line: string) => void = () => {}) {
  return salvage({
    disk,
    from: DIRECTORY,
    to: SALVAGED,
    randomBytes: (target) => target.fill(9),
    report,
  });
}

/** Puts what was salvaged where the node's data was. */
async function putInPlace(disk: SimulatedDisk): Promise<void> {
  for (const name of await disk.list(DIRECTORY)) await disk.remove(pathOf(name));
  for (const name of await disk.list(SALVAGED)) {
    await disk.rename(`${SALVAGED}/${name}`, pathOf(name));
  }
}

/** Records 1 to 18 in three segments, of which a snapshot may stand for the first. */
async function threeSegments(options: { withSnapshot: boolean }): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk, { growthBytesMin: Infinity });
  for (let i = 0; i < 3; i++) {
    await write(opened, 6 * i, 6 * i + 6);
    if (i === 2) continue;
    const index = await opened.log.cut();
    if (i > 0 || !options.withSnapshot) continue;
    await opened.log.drop(await takeFrom(disk)(index, new AbortController().signal));
  }
  return disk.copy();
}

/** The hash of the state that a node has which starts on the salvaged directory. */
async function salvagedHash(disk: SimulatedDisk): Promise<string> {
  const replay = new Replay({ hashKey: [1, 2] });
  await scanDirectory(disk, SALVAGED, replay);
  return stateHash(replay.shard);
}

/** Hashes of {@linkcode hashWithout}, by the name of the disk's state and the lost ranges. */
const hashes = new Map<string, Promise<string>>();

/** The hash of the state after all that `disk` has, but for the lost records. */
function hashWithout(disk: SimulatedDisk, lost: readonly LostRange[]): Promise<string> {
  const ranges = lost.map(({ first, last }) => `${first}-${last}`);
  const key = `${[...disk.files.keys()]}: ${ranges}`;
  const hash = hashes.get(key) ?? computeHashWithout(disk, lost);
  hashes.set(key, hash);
  return hash;
}

async function computeHashWithout(disk: SimulatedDisk, lost: readonly LostRange[]) {
  const replay = new Replay({ hashKey: [1, 2] });
  const isLost = (index: number) =>
    lost.some(({ first, last }) => index >= first && index <= (last ?? Infinity));
  await scanDirectory(disk, DIRECTORY, {
    part: replay.part,
    batch: (body, firstIndex, count) => {
      if (!isLost(firstIndex)) replay.batch(body, firstIndex, count);
    },
  });
  return stateHash(replay.shard);
}

function contentsOf(disk: SimulatedDisk, names: string[]): string {
  return names.map((name) => disk.bytes(pathOf(name)).toHex()).join();
}

for (const withSnapshot of [false, true]) {
  const what = withSnapshot ? "with a snapshot" : "from record 1";

  Deno.test(`salvage() saves all of an intact directory ${what}; a node goes on`, async () => {
    const disk = await threeSegments({ withSnapshot });
    const report = await save(disk);
    assertEquals([report.lost, report.lastIndex, report.nodeId], [[], 18, "n1"]);
    assertEquals(await salvagedHash(disk), await hashWithout(disk, []));
    assertEquals((await checkDirectory(disk, SALVAGED)).damage, null);
    await putInPlace(disk);
    await using again = await openSmallNode(disk);
    assertEquals(again.reports, []);
    assertEquals((await again.node.write(writeOf(17))).outcome, Outcome.duplicate);
    assertEquals((await again.node.write(writeOf(18))).logIndex, 20);
  });

  Deno.test(`salvage() saves all records but those it names: any byte wrong, ${what}`, async () => {
    const whole = await threeSegments({ withSnapshot });
    const names = await filesOf(whole);
    const counts = { nothing: 0, one: 0, more: 0 };
    for (const name of names.filter((name) => name.endsWith(".log"))) {
      for (let byte = 0; byte < whole.bytes(pathOf(name)).length; byte += 61) {
        const disk = whole.copy();
        disk.bytes(pathOf(name))[byte] ^= 1 << byte % 8;
        const damaged = contentsOf(disk, names);
        const { lost } = await save(disk);
        const context = `byte ${byte} of ${name}`;
        assertEquals(await salvagedHash(disk), await hashWithout(whole, lost), context);
        assertEquals(contentsOf(disk, names), damaged, `${context}: the damaged one was changed`);
        const last = (range: LostRange) => range.last ?? 18;
        const count = lost.reduce((sum, range) => sum + last(range) - range.first + 1, 0);
        counts[count <= 0 ? "nothing" : count === 1 ? "one" : "more"]++;
      }
    }
    assertEquals(counts.more, 0, "a damaged byte costs one record at most");
    assert(counts.one > 60, `${counts.one} of ${counts.nothing}`);
  });

  Deno.test(`salvage() saves all records but those it names: cut anywhere, ${what}`, async () => {
    const whole = await threeSegments({ withSnapshot });
    for (const name of (await filesOf(whole)).filter((name) => name.endsWith(".log"))) {
      for (let length = 0; length < whole.bytes(pathOf(name)).length; length += 300) {
        const disk = whole.copy();
        disk.cut(pathOf(name), length);
        const { lost } = await save(disk);
        const context = `${name} cut at ${length}`;
        assertEquals(await salvagedHash(disk), await hashWithout(whole, lost), context);
        assert(lost.length <= 1, context);
      }
    }
  });
}

Deno.test("salvage() names the records of a lost segment, of the last one as unknown", async () => {
  const whole = await threeSegments({ withSnapshot: false });
  const lostWithout = async (name: string) => {
    const disk = whole.copy();
    disk.files.delete(pathOf(name));
    const { lost } = await save(disk);
    assertEquals(await salvagedHash(disk), await hashWithout(whole, lost), name);
    return lost.map(({ first, last }) => [first, last]);
  };
  assertEquals(await lostWithout(segmentName(1)), [[1, 6]]);
  assertEquals(await lostWithout(segmentName(7)), [[7, 12]]);
  assertEquals(await lostWithout(segmentName(13)), [[13, null]]);
});

Deno.test("salvage() takes a torn last batch for what it is: never acknowledged", async () => {
  const disk = await threeSegments({ withSnapshot: false });
  const bytes = disk.bytes(pathOf(segmentName(13)));
  bytes.fill(0, 6 * 512, 7 * 512);
  const { lost, lastIndex } = await save(disk);
  assertEquals([lost, lastIndex], [[], 17]);
});

Deno.test("salvage() names a record that is damaged before a torn last batch", async () => {
  const whole = await threeSegments({ withSnapshot: false });
  const torn = 6 * 512; // the last batch, of which no header was written
  for (const byte of [9, 100]) {
    const disk = whole.copy();
    const bytes = disk.bytes(pathOf(segmentName(13)));
    bytes.copyWithin(torn + 512, torn, torn + 512);
    bytes.fill(0, torn, torn + 512);
    bytes[torn + 512] = Mark.body;
    assertEquals((await save(disk.copy())).lost, [], "before the damage");
    bytes[torn - 512 + byte] ^= 1;
    const { lost } = await save(disk);
    assertEquals(lost.map(({ first }) => first), [17], `byte ${byte}`);
  }
});

/** The disk with a bad page: no read that touches it succeeds. */
function withBadPage(disk: SimulatedDisk, badPath: string, page: number): Disk {
  return withOpen(disk, async (path, mode) => {
    const file = await disk.open(path, mode);
    const read = (bytes: Uint8Array, position: number) => {
      const end = position + bytes.length;
      if (position < (page + 1) * 4096 && end > page * 4096) {
        throw unreadable(path, position, new DeviceError());
      }
      return file.read(bytes, position);
    };
    return path === badPath ? { ...file, read } : file;
  });
}

Deno.test("salvage() names what is lost where a disk cannot be read", async () => {
  for (const withSnapshot of [false, true]) {
    const whole = await threeSegments({ withSnapshot });
    for (const name of await whole.list(DIRECTORY)) {
      for (let page = 0; page * 4096 < whole.bytes(pathOf(name)).length; page++) {
        const disk = whole.copy();
        const { lost, lastIndex, snapshot } = await save(withBadPage(disk, pathOf(name), page));
        const context = `page ${page} of ${name}`;
        assert(page > 0 || name === "NODE" || lost.length > 0 || snapshot?.damage, context);
        if (lost.at(-1)?.last !== null) assertEquals(lastIndex, 18, context);
        if (name.endsWith(".snapshot")) continue;
        assertEquals(await salvagedHash(disk), await hashWithout(whole, lost), context);
      }
    }
  }
});

Deno.test("salvage() names what is lost with a file that cannot be opened", async () => {
  for (const withSnapshot of [false, true]) {
    const whole = await threeSegments({ withSnapshot });
    for (const name of await whole.list(DIRECTORY)) {
      const disk = whole.copy();
      disk.beforeCall = (call, path) => {
        if (call === "open" && path === pathOf(name)) throw new DeviceError();
      };
      const { lost } = await save(disk);
      assertEquals(lost.length > 0, name !== MARKER_NAME, name);
      if (name.endsWith(".snapshot")) continue;
      assertEquals(await salvagedHash(disk), await hashWithout(whole, lost), name);
    }
  }
});

Deno.test("salvage() does not take what cannot be read for the end of the log", async () => {
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk, { growthBytesMin: Infinity });
  await write(opened, 0, 12);
  const page = 1; // the sectors 8 to 15: the batches 8 to 12, and zeros
  const { lost, lastIndex } = await save(withBadPage(disk, pathOf(segmentName(1)), page));
  assertEquals([lost.map(({ first, last }) => [first, last]), lastIndex], [[[8, null]], 7]);
});

Deno.test("salvage() does not know what a segment had that a damaged seal leads to", async () => {
  const disk = await threeSegments({ withSnapshot: false });
  const bytes = disk.bytes(pathOf(segmentName(7)));
  const [lastBatch, seal] = [6 * 512, 7 * 512];
  for (const frame of [lastBatch, seal]) bytes[frame + 100] ^= 1;
  disk.files.delete(pathOf(segmentName(13)));
  const { lost } = await save(disk);
  assertEquals(lost.map(({ first, last }) => [first, last]), [[12, null]]);
});

Deno.test("salvage() goes on right behind a frame out of its place, however long that is", async () => {
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk, { growthBytesMin: Infinity });
  await write(opened, 0, 5);
  const large = { kind: CommandKind.put, client: "c", seq: 1, key: "k", value: "v".repeat(2600) };
  await opened.node.write(large);
  await write(opened, 5, 6);
  const bytes = disk.bytes(pathOf(segmentName(1)));
  bytes.copyWithin(2 * 512, 6 * 512, 7 * 512); // the start of batch 6 in the place of batch 2
  const { lost, lastIndex } = await save(disk);
  // Batch 3 continues one that nobody knows.
  assertEquals([lost.map(({ first, last }) => [first, last]), lastIndex], [[[2, 3]], 7]);
});

Deno.test("salvage() names what is lost with frames out of their places", async () => {
  const whole = await threeSegments({ withSnapshot: false });
  const name = segmentName(13);
  const sectors = whole.bytes(pathOf(name)).length / 512;
  for (let to = 1; to < sectors; to++) {
    for (let from = 0; from < to; from++) {
      const disk = whole.copy();
      const bytes = disk.bytes(pathOf(name));
      const sector = bytes.slice(to * 512, (to + 1) * 512);
      bytes.copyWithin(to * 512, from * 512, (from + 1) * 512);
      bytes.set(sector, from * 512);
      const { lost } = await save(disk);
      const context = `sectors ${from} and ${to} swapped`;
      assertEquals(await salvagedHash(disk), await hashWithout(whole, lost), context);
      assert(lost.every(({ first, last }) => last === null || last >= first), context);
    }
  }
});

Deno.test("salvage() loses a record that cannot be read and the rest of its batch", async () => {
  const { disk, offset } = await diskWithUnreadableRecord();
  const { lost, records, lastIndex, keys } = await save(disk);
  assertEquals(lost, [{
    first: 4,
    last: 5,
    reason: `record 4 cannot be read: ${TOO_LARGE}: ${segmentName(1)} at byte ${offset}`,
  }]);
  assertEquals([records, lastIndex, keys], [4, 6, 4]);
  assertEquals((await checkDirectory(disk, SALVAGED)).damage, null);
});

Deno.test("salvage() loses a record that cannot be read at the end of the log", async () => {
  const { disk } = await diskWithUnreadableRecord({ isLast: true });
  const { lost, lastIndex, keys } = await save(disk);
  assertEquals([lost.map(({ first, last }) => [first, last]), lastIndex, keys], [[[4, 5]], 5, 3]);
});

Deno.test("salvage() leaves out a segment of another log", async () => {
  const disk = await threeSegments({ withSnapshot: false });
  const other = new SimulatedDisk();
  await using opened = await openSmallNode(other, { growthBytesMin: Infinity, id: 8 });
  await write(opened, 0, 6);
  await opened.log.cut();
  await write(opened, 20, 26);
  disk.files.set(pathOf(segmentName(7)), other.files.get(pathOf(segmentName(7)))!);
  const { lost } = await save(disk);
  assertEquals(lost.map(({ first, last }) => [first, last]), [[7, 12]]);
  assertStringIncludes(lost[0].reason, "another log");
});

/** A directory whose snapshot has several frames of keys and the log before it is gone. */
async function largeSnapshot(): Promise<{ disk: SimulatedDisk; name: string }> {
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk, { growthBytesMin: Infinity });
  for (let i = 0; i < 12; i++) {
    const value = `${i} `.padEnd(100_000, "x");
    const command = { kind: CommandKind.put, client: `c${i}`, seq: 1, key: `k${i}`, value };
    await opened.node.write(command);
  }
  const index = await opened.log.cut();
  await opened.log.drop(await takeFrom(disk)(index, new AbortController().signal));
  await write(opened, 0, 3);
  return { disk: disk.copy(), name: snapshotName(index) };
}

Deno.test("salvage() saves intact frames of a damaged snapshot, and the log after it", async () => {
  const { disk: whole, name } = await largeSnapshot();
  for (const offset of [100, 600, 300_100, 700_000, 1_205_000]) {
    const disk = whole.copy();
    disk.bytes(pathOf(name))[offset] ^= 4;
    const report = await save(disk);
    assertEquals([report.snapshot?.name, report.lost, report.records], [name, [], 3]);
    assert(report.snapshot!.damage !== null, `offset ${offset}`);
    const { keys, damage } = await checkDirectory(disk, SALVAGED);
    assertEquals([keys, damage], [report.keys, null]);
    const keysLost = 12 + 3 - report.keys;
    assert(keysLost <= 3, `${keysLost} keys lost with byte ${offset}`);
  }
});

Deno.test("salvage() keeps all that an intact end of a damaged snapshot remembers", async () => {
  const { disk, name } = await largeSnapshot();
  disk.bytes(pathOf(name))[300_100] ^= 4; // in a frame of keys
  await save(disk);
  await putInPlace(disk);
  await using again = await openSmallNode(disk);
  for (let i = 0; i < 12; i++) {
    const command = { kind: CommandKind.put, client: `c${i}`, seq: 1, key: `k${i}`, value: "" };
    assertEquals((await again.node.write(command)).outcome, Outcome.mismatch, `client c${i}`);
  }
});

Deno.test("salvage() never lets a client whose results were lost write twice", async () => {
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk, { growthBytesMin: Infinity });
  const command = (seq: number) => ({
    kind: CommandKind.put,
    client: "c",
    seq,
    key: "k",
    value: `${seq} `.padEnd(90_000, "x"),
  });
  for (let seq = 1; seq <= 12; seq++) await opened.node.write(command(seq));
  const index = await opened.log.cut();
  await opened.log.drop(await takeFrom(disk)(index, new AbortController().signal));
  await opened[Symbol.asyncDispose]();
  disk.bytes(pathOf(snapshotName(index)))[600_000] ^= 1; // in the second frame of results
  await save(disk);
  await putInPlace(disk);
  await using again = await openSmallNode(disk);
  for (let seq = 1; seq <= 12; seq++) {
    assertEquals((await again.node.write(command(seq))).outcome, Outcome.stale, `seq ${seq}`);
  }
  assertEquals((await again.node.write(command(13))).outcome, Outcome.applied);
});

Deno.test("salvage() leaves all or what no node starts on, after a crash at any call", async () => {
  const whole = await threeSegments({ withSnapshot: false });
  const hash = await hashWithout(whole, []);
  const outcomes = { empty: 0, refused: 0, whole: 0 };
  for (let crashAt = 1;; crashAt++) {
    const disk = whole.copy();
    let calls = 0;
    disk.beforeCall = () => {
      if (++calls >= crashAt) throw new Error("Crash");
    };
    const isDone = await save(disk).then(() => true, () => false);
    disk.beforeCall = () => {};
    for (const found of [disk.crash(() => false), disk.handOver()]) {
      assertEquals(
        contentsOf(found, await filesOf(found)),
        contentsOf(whole, await filesOf(whole)),
      );
      // Where the first file has no name yet, nothing was salvaged, and nothing says so.
      const isEmpty = (await found.list(SALVAGED)).every((name) => name === `${MARKER_NAME}.tmp`);
      await putInPlace(found);
      const opened = await openSmallNode(found).catch((error) => {
        assert(error instanceof DamageError, `call ${crashAt}: ${error.stack}`);
      });
      if (opened !== undefined && !isEmpty) {
        assertEquals(opened.node.stateHash(), hash, `crash at call ${crashAt}`);
      }
      outcomes[opened === undefined ? "refused" : isEmpty ? "empty" : "whole"]++;
      await opened?.[Symbol.asyncDispose]();
    }
    if (isDone) break;
  }
  assert(outcomes.refused > 10 && outcomes.whole > 2, JSON.stringify(outcomes));
});

Deno.test("salvage() keeps the shard of an intact marker; else the next start adds it", async () => {
  const shard = "1 of 6";
  for (const isDamaged of [false, true]) {
    const disk = await threeSegments({ withSnapshot: false });
    if (isDamaged) disk.bytes(pathOf(MARKER_NAME))[30] ^= 1;
    const kept = isDamaged ? null : shard;
    assertEquals((await save(disk)).shard, kept);
    assertEquals(await checkMarker(disk, SALVAGED), { nodeId: "n1", shard: kept });
    await putInPlace(disk);
    await using _started = await openSmallNode(disk);
    assertEquals(await checkMarker(disk, DIRECTORY), { nodeId: "n1", shard });
  }
});

for (const withSnapshot of [false, true]) {
  const what = withSnapshot ? "with a snapshot" : "from record 1";

  Deno.test(`salvage() believes the log, not a marker of another node: ${what}`, async () => {
    const disk = await threeSegments({ withSnapshot });
    disk.files.delete(pathOf(MARKER_NAME));
    await createMarker(disk, DIRECTORY, { nodeId: "n2", shard: "2 of 6" });
    const lines: string[] = [];
    const { nodeId, shard, lost, lastIndex } = await save(disk, (line) => lines.push(line));
    assertEquals({ nodeId, shard, lost, lastIndex }, {
      nodeId: "n1",
      shard: null, // that of the marker is the place of n2: the next start adds the right one
      lost: [],
      lastIndex: 18,
    });
    assertEquals(await salvagedHash(disk), await hashWithout(disk, []));
    assertEquals(lines, [
      `the file NODE names node "n2", but the log is of node "n1": it is saved as the data of "n1"`,
    ]);
  });
}

Deno.test("salvage() takes a marker of zeros for one that names nobody", async () => {
  const disk = await threeSegments({ withSnapshot: false });
  disk.bytes(pathOf(MARKER_NAME)).fill(0);
  const lines: string[] = [];
  const { nodeId, shard, lost } = await save(disk, (line) => lines.push(line));
  assertEquals([nodeId, shard, lost, lines], ["n1", null, [], []]);
  assertEquals(await checkMarker(disk, SALVAGED), { nodeId: "n1", shard: null });

  for (const name of await filesOf(disk)) disk.bytes(pathOf(name))[50] ^= 1;
  await assertRejects(() => save(disk), DamageError, "not even whose data it is");
});

Deno.test("salvage() goes by the marker where no header of a file is intact", async () => {
  const disk = await threeSegments({ withSnapshot: false });
  for (const name of await filesOf(disk)) disk.bytes(pathOf(name))[50] ^= 1;
  const { nodeId, shard, lost } = await save(disk);
  assertEquals([nodeId, shard, lost], ["n1", "1 of 6", []]);
});

Deno.test("salvage() leaves out a snapshot of another log, and says so", async () => {
  const disk = await threeSegments({ withSnapshot: false });
  const other = new SimulatedDisk();
  await using opened = await openSmallNode(other, { growthBytesMin: Infinity, id: 8 });
  await write(opened, 20, 26);
  await takeFrom(other)(await opened.log.cut(), new AbortController().signal);
  const name = snapshotName(6);
  disk.files.set(pathOf(name), other.files.get(pathOf(name))!);
  const whole = disk.copy();
  whole.files.delete(pathOf(name));
  const lines: string[] = [];
  const { snapshot, lost } = await save(disk, (line) => lines.push(line));
  assertEquals([snapshot, lost], [null, []]);
  assertEquals(lines, [`"${name}" is of another log; it is left out`]);
  assertEquals(await salvagedHash(disk), await hashWithout(whole, []));
});

Deno.test("salvage() goes by the marker between as many files of two logs", async () => {
  const disk = await threeSegments({ withSnapshot: true });
  for (const name of (await filesOf(disk)).slice(1, -1)) disk.files.delete(pathOf(name));
  const [snapshot, segment] = await filesOf(disk);
  const ofOther = { firstIndex: 7, chain: 0, logId: new Uint8Array(16), nodeId: "n2" };
  disk.bytes(pathOf(snapshot)).set(encodeFileHeader(Mark.snapshot, ofOther).sector);
  const { nodeId, lost } = await save(disk);
  assertEquals([nodeId, lost.map(({ first, last }) => [first, last])], ["n1", [[1, 12]]]);
  assertEquals(segment, segmentName(13));
});

Deno.test("salvage() does not touch a directory that a node has begun to use", async () => {
  const disk = await threeSegments({ withSnapshot: false });
  await disk.open(`${SALVAGED}/${MARKER_NAME}`, "create");
  await assertRejects(
    () => save(disk),
    Error,
    `Cannot write to "salvaged": "NODE" is in it, expected it to be empty`,
  );
  assertEquals(await disk.list(SALVAGED), [MARKER_NAME]);
});

Deno.test("salvage() refuses when not even the name of the node is intact", async () => {
  const disk = await threeSegments({ withSnapshot: false });
  for (const name of await disk.list(DIRECTORY)) disk.bytes(pathOf(name)).fill(1);
  await assertRejects(() => save(disk), DamageError, "nothing is intact");
});
