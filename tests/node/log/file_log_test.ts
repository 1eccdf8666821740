import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStringIncludes,
} from "@std/assert";
import * as fc from "fast-check";
import { crc32 } from "node:zlib";
import { join } from "@std/path";
import { DamageError } from "../../../node/log/damage.ts";
import { WrongDirectoryError } from "../../../node/log/data_directory.ts";
import type { Disk } from "../../../node/disk/disk.ts";
import { FileLog } from "../../../node/log/file_log.ts";
import { frameBytes, SECTOR_BYTES, segmentName } from "../../../node/log/log_format.ts";
import { SimulatedDisk } from "../../../tasks/simulate/simulated_disk.ts";

const DIRECTORY = "n1";
const FIRST = join(DIRECTORY, segmentName(1));

interface Opened {
  log: FileLog;
  /** Each part of the snapshot as text. */
  parts: string[];
  /** Each batch as text, with its index: "1×2 body". */
  batches: string[];
  reports: string[];
}

async function openLog(
  disk: Disk,
  options: { existing?: boolean; segmentBytes?: number; fillBytes?: number } = {},
): Promise<Opened> {
  const parts: string[] = [];
  const batches: string[] = [];
  const reports: string[] = [];
  const log = await FileLog.open({
    disk,
    directory: DIRECTORY,
    nodeId: "n1",
    randomId: () => new Uint8Array(16).fill(7),
    existing: options.existing ?? false,
    report: (line) => reports.push(line),
    segmentBytes: options.segmentBytes,
    fillBytes: options.fillBytes ?? 4096,
  }, {
    part: (kind, body) => parts.push(`${kind} ${body.length}:${crc32(body)}`),
    batch: (body, firstIndex, count) => batches.push(nameOf(body, firstIndex, count)),
  });
  return { log, parts, batches, reports };
}

function nameOf(body: Uint8Array, firstIndex: number, count: number): string {
  return `${firstIndex}×${count} ${body.length}:${crc32(body)}`;
}

/** A body of `length` bytes with runs of zeros: the hardest case for telling what is torn. */
function bodyOf(length: number, seed: number): Uint8Array {
  return Uint8Array.from(
    { length },
    (_, i) => i > 8 && i % 1500 < 1200 ? 0 : (i * 31 + seed * 17) & 0xff,
  );
}

/** Appends batches of many sizes. Returns what a replay must show. */
async function appendBatches(log: FileLog, count: number): Promise<string[]> {
  const expected = [];
  for (let i = 0; i < count; i++) {
    const body = bodyOf([3, 40, 484, 485, 995, 996, 1700][i % 7] + i, i);
    const records = 1 + i % 5;
    expected.push(nameOf(body, log.lastIndex + 1, records));
    await log.append(body, records);
  }
  return expected;
}

Deno.test("FileLog replays what was appended, batch by batch", async () => {
  const disk = new SimulatedDisk();
  const { log } = await openLog(disk);
  const expected = await appendBatches(log, 30);
  log.close();
  const again = await openLog(disk, { existing: true });
  assertEquals(again.batches, expected);
  assertEquals(again.log.lastIndex, log.lastIndex);
  assertEquals(again.reports, []);
});

Deno.test("FileLog goes on after a replay where it left off", async () => {
  const disk = new SimulatedDisk();
  const expected: string[] = [];
  for (let round = 0; round < 5; round++) {
    const { log, batches } = await openLog(disk);
    assertEquals(batches, expected);
    expected.push(...await appendBatches(log, 4));
    log.close();
  }
});

Deno.test("FileLog spreads over segments and replays them in order", async () => {
  const disk = new SimulatedDisk();
  const { log } = await openLog(disk, { segmentBytes: 8192 });
  const expected = await appendBatches(log, 60);
  log.close();
  const names = await disk.list(DIRECTORY);
  assert(names.length > 5, `${names.length} segments`);
  const again = await openLog(disk, { segmentBytes: 8192, existing: true });
  assertEquals(again.batches, expected);
  assertEquals(again.log.bytes, log.bytes);
});

Deno.test("FileLog puts a batch that is larger than a segment into one of its own", async () => {
  const disk = new SimulatedDisk();
  const { log } = await openLog(disk, { segmentBytes: 8192 });
  await log.append(bodyOf(100_000, 1), 1);
  await log.append(bodyOf(10, 2), 1);
  log.close();
  const again = await openLog(disk, { existing: true });
  assertEquals(again.batches, [nameOf(bodyOf(100_000, 1), 1, 1), nameOf(bodyOf(10, 2), 2, 1)]);
});

Deno.test("FileLog takes as many writes as the disk makes of one", async () => {
  const disk = new SimulatedDisk();
  disk.writeBytesMax = 100;
  const { log } = await openLog(disk);
  const expected = await appendBatches(log, 8);
  log.close();
  assertEquals((await openLog(disk, { existing: true })).batches, expected);
});

Deno.test("FileLog has an acknowledged batch after a crash that takes all unsynced", async () => {
  const disk = new SimulatedDisk();
  const { log } = await openLog(disk, { segmentBytes: 8192 });
  const expected = await appendBatches(log, 40);
  const again = await openLog(disk.crash(() => false), { segmentBytes: 8192, existing: true });
  assertEquals(again.batches, expected);
});

Deno.test("FileLog cuts off a last batch torn at any of its sectors, and says so", async () => {
  const bodyLength = 2600; // six sectors
  const sectors = frameBytes(bodyLength) / SECTOR_BYTES;
  for (let lost = 1; lost < 2 ** sectors; lost++) {
    const disk = new SimulatedDisk();
    const { log } = await openLog(disk, { fillBytes: 16_384 });
    const expected = await appendBatches(log, 3);
    const tail = log.bytes;
    disk.beforeCall = (call) => {
      if (call === "sync") throw new Error("Power failed");
    };
    await assertRejects(() => log.append(bodyOf(bodyLength, 9), 1), Error, "Power failed");
    disk.beforeCall = () => {};
    const after = disk.crash((_, sector) => (lost >> (sector - tail / SECTOR_BYTES) & 1) === 0);
    const again = await openLog(after, { existing: true });
    assertEquals(again.batches, expected, `lost sectors ${lost.toString(2)}`);
    const all = lost === 2 ** sectors - 1;
    assertEquals(
      again.reports.length,
      all ? 0 : 1,
      `reports with lost sectors ${lost.toString(2)}`,
    );
    if (!all) assertStringIncludes(again.reports[0], `at byte ${tail} of "${segmentName(1)}"`);
    // What was cut off leaves nothing behind that a later batch could trip over.
    expected.push(...await appendBatches(again.log, 2));
    assertEquals((await openLog(after, { existing: true })).batches, expected);
  }
});

Deno.test("FileLog makes durable on replay what a killed process had only written", async () => {
  const disk = new SimulatedDisk();
  const { log } = await openLog(disk);
  disk.beforeCall = (call) => {
    if (call === "sync") throw new Error("Killed");
  };
  await assertRejects(() => log.append(bodyOf(40, 1), 1), Error, "Killed");
  disk.beforeCall = () => {};
  const replayed = (await openLog(disk, { existing: true })).batches;
  assertEquals(replayed.length, 1);
  assertEquals((await openLog(disk.crash(() => false), { existing: true })).batches, replayed);
});

Deno.test("FileLog fails for good when a sync fails", async () => {
  const disk = new SimulatedDisk();
  const { log } = await openLog(disk);
  await appendBatches(log, 2);
  let syncs = 0;
  disk.beforeCall = (call) => {
    if (call === "sync" && ++syncs === 1) throw new Error("I/O error");
  };
  await assertRejects(() => log.append(bodyOf(5, 1), 1), Error, "I/O error");
  await assertRejects(() => log.append(bodyOf(5, 1), 1), Error, "I/O error");
  assertEquals(syncs, 1, "syncs tried");
  assertEquals(log.lastIndex, 3);
});

/** Which unsynced sectors are found after a crash; null: all, as when only the process died. */
const CRASHES = [null, () => true, () => false, (_: string, sector: number) => sector % 2 === 0];

Deno.test("FileLog survives a crash at every disk call, losing nothing acknowledged", async () => {
  for (let crashAt = 1;; crashAt++) {
    for (const kept of CRASHES) {
      const disk = new SimulatedDisk();
      let calls = 0;
      disk.beforeCall = () => {
        if (++calls >= crashAt) throw new Error("Crash");
      };
      const acknowledged: string[] = [];
      let done = false;
      try {
        const { log } = await openLog(disk, { segmentBytes: 6000 });
        for (let i = 0; i < 12; i++) {
          const body = bodyOf(300 + 200 * i, i);
          const name = nameOf(body, log.lastIndex + 1, 1);
          await log.append(body, 1);
          acknowledged.push(name);
        }
        done = true;
      } catch (error) {
        assertStringIncludes(String(error), "Crash");
      }
      if (done) return assert(crashAt > 40, `only ${crashAt} disk calls`);
      disk.beforeCall = () => {};
      const after = kept === null ? disk : disk.crash(kept);
      const again = await openLog(after, { segmentBytes: 6000, existing: acknowledged.length > 0 });
      const context = `crash at call ${crashAt}`;
      assertEquals(again.batches.slice(0, acknowledged.length), acknowledged, context);
      assert(again.batches.length <= acknowledged.length + 1, `${context}: more than was written`);
      const expected = [...again.batches, ...await appendBatches(again.log, 1)];
      // And a power failure soon after: what the restart only read must be durable by then.
      const found = after.crash(() => false);
      const reopened = await openLog(found, { segmentBytes: 6000, existing: true });
      assertEquals(reopened.batches, expected, `${context}, then a power failure`);
    }
  }
});

Deno.test("FileLog opens to exactly what was acknowledged, or refuses: any bit wrong", async () => {
  const { disk, expected, path } = await severalSegments();
  let refused = 0;
  let whole = 0;
  for (const name of await disk.list(DIRECTORY)) {
    const bytes = disk.bytes(path(name));
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = disk.copy();
      damaged.bytes(path(name))[bit >> 3] ^= 1 << (bit & 7);
      const outcome = await openDamaged(damaged, expected);
      if (outcome === "silent loss") throw new Error(`Silent loss: bit ${bit} of ${name} flipped`);
      if (outcome === "refused") refused++;
      else whole++;
    }
  }
  assert(refused > whole, `${refused} refused, ${whole} whole`);
});

Deno.test("FileLog opens to exactly what was acknowledged, or refuses: cut anywhere", async () => {
  const { disk, expected, path } = await severalSegments();
  const outcomes = { whole: 0, refused: 0 };
  for (const name of await disk.list(DIRECTORY)) {
    for (let length = 0; length < disk.bytes(path(name)).length; length++) {
      const damaged = disk.copy();
      damaged.cut(path(name), length);
      const outcome = await openDamaged(damaged, expected);
      if (outcome === "silent loss") throw new Error(`Silent loss: ${name} cut off at ${length}`);
      outcomes[outcome]++;
    }
  }
  assert(outcomes.refused > outcomes.whole, JSON.stringify(outcomes));
});

/** A log of 32 batches in three segments, small enough to damage at every bit. */
async function severalSegments() {
  const disk = new SimulatedDisk();
  const { log } = await openLog(disk, { segmentBytes: 8192 });
  const expected: string[] = [];
  for (let i = 0; i < 32; i++) {
    const body = bodyOf([20, 300, 700][i % 3] + i, i);
    expected.push(nameOf(body, log.lastIndex + 1, 1 + i % 3));
    await log.append(body, 1 + i % 3);
  }
  log.close();
  return { disk: disk.copy(), expected, path: (name: string) => join(DIRECTORY, name) };
}

async function openDamaged(disk: SimulatedDisk, expected: string[]) {
  try {
    const { batches } = await openLog(disk, { segmentBytes: 8192, existing: true });
    return batches.join() === expected.join() ? "whole" : "silent loss";
  } catch (error) {
    assertInstanceOf(error, DamageError);
    assert(error.file.startsWith(DIRECTORY) && error.offset >= 0, error.message);
    return "refused";
  }
}

Deno.test("FileLog refuses a log with a segment missing, whichever it is", async () => {
  const { disk, path } = await severalSegments();
  const names = await disk.list(DIRECTORY);
  for (const name of names) {
    const damaged = disk.copy();
    damaged.files.delete(path(name));
    const error = await assertRejects(() => openLog(damaged, { existing: true }), DamageError);
    assertStringIncludes(error.message, `segment is missing`);
  }
});

Deno.test("FileLog refuses an empty directory that has held a log", async () => {
  const error = await assertRejects(
    () => openLog(new SimulatedDisk(), { existing: true }),
    DamageError,
    "the directory has held a log before",
  );
  assertEquals([error.file, error.offset], [FIRST, 0]);
});

Deno.test("FileLog refuses frames swapped, repeated or taken from another log", async () => {
  const disk = new SimulatedDisk();
  const { log } = await openLog(disk);
  for (let i = 0; i < 4; i++) await log.append(bodyOf(100, i), 1);
  const other = new SimulatedDisk();
  const otherLog = (await openLog(other)).log;
  for (let i = 0; i < 4; i++) await otherLog.append(bodyOf(100, i + (i === 0 ? 50 : 0)), 1);
  const sector = (bytes: Uint8Array, n: number) =>
    bytes.slice(n * SECTOR_BYTES, (n + 1) * SECTOR_BYTES);
  const bytes = disk.bytes(FIRST);
  const cases: Record<string, [number, Uint8Array]> = {
    "swapped with its neighbour": [2, sector(bytes, 3)],
    "repeated": [4, sector(bytes, 3)],
    "taken from another log": [3, sector(other.bytes(FIRST), 3)],
  };
  for (const [what, [at, frame]] of Object.entries(cases)) {
    const damaged = disk.copy();
    damaged.bytes(FIRST).set(frame, at * SECTOR_BYTES);
    const error = await assertRejects(() => openLog(damaged), DamageError, undefined, what);
    assertEquals([error.file, error.offset], [FIRST, at * SECTOR_BYTES], what);
  }
});

Deno.test("FileLog refuses lost sectors next to what no torn batch has", async () => {
  const disk = new SimulatedDisk();
  const { log } = await openLog(disk);
  for (const length of [100, 100, 2600]) await log.append(bodyOf(length, 1), 1);
  const last = 3 * SECTOR_BYTES; // the frame of six sectors; those before have one
  const cases: Record<string, [number, number]> = {
    "a batch before a damaged one": [last - SECTOR_BYTES, last + 8],
    "a batch before one with a damaged mark": [last - SECTOR_BYTES, last],
    "the header of a damaged batch": [last, last + 2 * SECTOR_BYTES],
    "a part of a damaged batch": [last + SECTOR_BYTES, last + 2 * SECTOR_BYTES],
  };
  for (const [what, [lost, damaged]] of Object.entries(cases)) {
    const found = disk.copy();
    found.bytes(FIRST).fill(0, lost, lost + SECTOR_BYTES);
    found.bytes(FIRST)[damaged] ^= 1;
    const error = await assertRejects(() => openLog(found), DamageError, undefined, what);
    assertEquals([error.file, error.offset], [FIRST, Math.min(lost, last)], what);
  }
});

Deno.test("FileLog refuses a torn last batch with a part of another one after it", async () => {
  const disk = new SimulatedDisk();
  const { log } = await openLog(disk, { fillBytes: 16_384 });
  await log.append(bodyOf(2600, 1), 1);
  const bytes = disk.bytes(FIRST);
  bytes.copyWithin(log.bytes, log.bytes - SECTOR_BYTES, log.bytes); // marked as the rest of a body
  bytes.fill(0, 2 * SECTOR_BYTES, 3 * SECTOR_BYTES);
  const error = await assertRejects(
    () => openLog(disk),
    DamageError,
    "bytes follow the last frame",
  );
  assertEquals([error.file, error.offset], [FIRST, log.bytes]);
});

Deno.test("FileLog refuses a torn last batch without zeros after it: the file was cut off", async () => {
  const disk = new SimulatedDisk();
  const { log } = await openLog(disk);
  for (const length of [100, 2600]) await log.append(bodyOf(length, 1), 1);
  const last = 2 * SECTOR_BYTES; // the frame of six sectors
  for (const lost of [last, last + SECTOR_BYTES]) {
    const torn = disk.copy();
    torn.bytes(FIRST).fill(0, lost, lost + SECTOR_BYTES);
    const whole = torn.bytes(FIRST).length;
    for (let length = last + 2 * SECTOR_BYTES; length < whole; length += 100) {
      const cut = torn.copy();
      cut.cut(FIRST, length);
      const opened = openLog(cut);
      const context = `sector ${lost / SECTOR_BYTES} lost, cut at ${length}`;
      if (length >= log.bytes + SECTOR_BYTES) {
        assertEquals((await opened).batches.length, 1, context);
      } else {await assertRejects(
          () => opened,
          DamageError,
          `file ends after ${length} bytes`,
          context,
        );}
    }
  }
});

Deno.test("FileLog refuses a log that belongs to another node", async () => {
  const disk = new SimulatedDisk();
  await openLog(disk);
  const options = {
    disk,
    directory: DIRECTORY,
    nodeId: "n2",
    randomId: () => new Uint8Array(16),
    existing: true,
    report: () => {},
  };
  await assertRejects(
    () => FileLog.open(options, { part: () => {}, batch: () => {} }),
    WrongDirectoryError,
    `belongs to node "n1", expected "n2"`,
  );
});

Deno.test("FileLog removes what an unfinished segment left behind, and says so", async () => {
  const disk = new SimulatedDisk();
  const { log } = await openLog(disk);
  const expected = await appendBatches(log, 2);
  const leftover = `${segmentName(9)}.tmp`;
  await disk.open(join(DIRECTORY, leftover), "create");
  const again = await openLog(disk);
  assertEquals(again.batches, expected);
  assertEquals(again.reports, [
    `removed "${leftover}", left over from an unfinished write or removal`,
  ]);
  assertEquals(await disk.list(DIRECTORY), [segmentName(1)]);
});

Deno.test("FileLog removes what is left over and leaves alone what is not its own", async () => {
  const disk = new SimulatedDisk();
  const { log } = await openLog(disk);
  const expected = await appendBatches(log, 2);
  const [stuck, leftover] = [segmentName(8), segmentName(9)].map((name) => `${name}.tmp`);
  const names = [stuck, leftover, "my notes.tmp"];
  for (const name of names) await disk.open(join(DIRECTORY, name), "create");
  disk.beforeCall = (call, path) => {
    if (call === "remove" && path.endsWith(stuck)) throw new Error("I/O error");
  };
  const again = await openLog(disk);
  assertEquals(again.batches, expected);
  assertEquals(again.reports, [
    `removed "${leftover}", left over from an unfinished write or removal`,
    `Cannot remove "${stuck}": I/O error`,
  ]);
  assertEquals(await disk.list(DIRECTORY), [segmentName(1), stuck, "my notes.tmp"]);
});

Deno.test("FileLog keeps any bodies in any order over any number of restarts", async () => {
  const step = fc.oneof(
    fc.record({
      append: fc.uint8Array({ maxLength: 3000 }),
      count: fc.integer({ min: 1, max: 9 }),
    }),
    fc.constant("restart" as const),
    fc.constant("power failure" as const),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      let disk = new SimulatedDisk();
      let { log } = await openLog(disk, { segmentBytes: 8192 });
      const expected: string[] = [];
      for (const step of steps) {
        if (typeof step === "object") {
          expected.push(nameOf(step.append, log.lastIndex + 1, step.count));
          await log.append(step.append, step.count);
          continue;
        }
        log.close();
        if (step === "power failure") disk = disk.crash(() => false);
        const opened = await openLog(disk, { segmentBytes: 8192, existing: true });
        assertEquals(opened.batches, expected);
        log = opened.log;
      }
    }),
    { numRuns: 150 },
  );
});
