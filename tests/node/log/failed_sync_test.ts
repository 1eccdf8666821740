import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Command, CommandKind, Outcome } from "../../../lib/key_value.ts";
import { SECTOR_BYTES, segmentName } from "../../../node/log/log_format.ts";
import {
  DeviceError,
  SimulatedDisk,
  type Survives,
} from "../../../tasks/simulate/simulated_disk.ts";
import { openSmallNode, pathOf, type SmallNode } from "../small_node.ts";

/**
 * What becomes of sectors: those that a failed sync wrote, those that the system lets go of, those
 * that survive a power failure.
 */
const SECTORS: Record<string, Survives> = {
  none: () => false,
  even: (_, sector) => sector % 2 === 0,
  odd: (_, sector) => sector % 2 === 1,
  all: () => true,
};
const { none, even, all } = SECTORS;
const FIRST = pathOf(segmentName(1));
const SIZES = [10, 1500, 10, 700, 3000, 10, 10, 2000, 10, 500, 10, 10, 10, 900, 10, 1800];

function writeOf(i: number, size = SIZES[i % SIZES.length]): Command {
  const value = `${i}`.padEnd(size, "x");
  return { kind: CommandKind.put, client: `c${i % 3}`, seq: i + 1, key: `k${i % 5}`, value };
}

/** A node that takes no snapshots, unless its log grows by so many bytes. */
function open(disk: SimulatedDisk, growthBytesMin = Infinity): Promise<SmallNode> {
  return openSmallNode(disk, { growthBytesMin });
}

/** Makes the `count`th sync of a file fail; returns whether it has. */
function failSync(disk: SimulatedDisk, count: number, written: Survives): () => boolean {
  let calls = 0;
  disk.beforeCall = (call, path) => {
    if (call !== "sync" || ++calls !== count) return;
    disk.failSync(path, written);
    throw new DeviceError();
  };
  return () => calls >= count;
}

/** The disk that a node finds which starts when another one has ended on this machine. */
function afterKill(disk: SimulatedDisk, evicts: Survives): SimulatedDisk {
  const after = disk.handOver();
  after.evicts = evicts;
  return after;
}

/** The node starts, and has every write that was acknowledged. */
async function assertHas(disk: SimulatedDisk, writes: Iterable<Command>, context: string) {
  const opened = await open(disk).catch((error) => {
    throw new Error(`${context}: ${error.message}`, { cause: error });
  });
  for (const write of writes) {
    const { outcome } = await opened.node.write(write);
    assert(outcome !== Outcome.applied, `${context}: write ${write.seq} is lost`);
  }
  opened.log.close();
}

/** A disk that lost its power in the middle of a batch, of which these sectors are there. */
async function tornDisk(written: Survives, before: number, size: number): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  const { node } = await open(disk);
  for (let i = 0; i < before; i++) await node.write(writeOf(i));
  let inFrame = false;
  const { promise: syncing, resolve } = Promise.withResolvers<void>();
  disk.beforeCall = (call, _, grows) => {
    if (call === "write") inFrame = !grows;
  };
  disk.latency = (call) => {
    if (call !== "sync" || !inFrame) return Promise.resolve();
    resolve();
    return new Promise(() => {});
  };
  void node.write(writeOf(before, size));
  await syncing;
  return disk.crash((path, sector) => path === FIRST && written(path, sector));
}

Deno.test("Node keeps what its start read, even if the system lets go of it", async () => {
  const disk = new SimulatedDisk();
  const { node } = await open(disk);
  await node.write(writeOf(0));
  failSync(disk, 2, none); // the first one is for the zeros ahead
  await assertRejects(() => node.write(writeOf(1)));
  const next = afterKill(disk, none);
  let opens = 0;
  next.beforeCall = (call, path) => {
    if (call === "open" && path === FIRST && ++opens === 2) next.evicts = all;
  };
  const again = await open(next);
  assertEquals(again.node.lastIndex, 2);
  await assertHas(next.crash(none), [writeOf(0), writeOf(1)], "after a power failure");
});

Deno.test("Node loses nothing after a failed sync of its recovery from a torn batch", async () => {
  let runs = 0;
  for (const [name, torn] of Object.entries(SECTORS).slice(0, 3)) {
    for (const [writtenName, written] of Object.entries(SECTORS)) {
      for (const [evictsName, evicts] of Object.entries(SECTORS)) {
        for (const size of [10, 900, 2500]) {
          for (let failAt = 1;; failAt++) {
            const context = `torn ${name}, sync ${failAt} of the recovery fails and writes ` +
              `${writtenName}, evicted ${evictsName}, then a write of ${size} bytes`;
            const disk = await tornDisk(torn, 1 + runs % 4, runs % 2 === 0 ? 1500 : 4000);
            const failed = failSync(disk, failAt, written);
            const ended = await open(disk).then(() => false, () => true);
            if (!failed()) break;
            assert(ended, context);
            const found = afterKill(disk, evicts);
            const { node } = await open(found);
            await node.write(writeOf(9, size));
            await assertHas(found.crash(even), [writeOf(9, size)], context);
            runs++;
          }
        }
      }
    }
  }
  assert(runs > 200, `${runs} runs`);
});

Deno.test("Node loses nothing when any sync fails, and the power after a restart", async () => {
  let runs = 0;
  for (const [writtenName, written] of Object.entries(SECTORS)) {
    for (const [evictsName, evicts] of Object.entries(SECTORS)) {
      for (let failAt = 1;; failAt++) {
        const disk = new SimulatedDisk();
        const failed = failSync(disk, failAt, written);
        const acknowledged: Command[] = [];
        const writeSome = async (found: SimulatedDisk, first: number, end: number) => {
          const { node } = await open(found, 20 * SECTOR_BYTES);
          for (let i = first; i < end; i++) {
            await node.write(writeOf(i));
            acknowledged.push(writeOf(i));
          }
        };
        await writeSome(disk, 0, 16).catch(() => {});
        if (!failed()) break;
        const found = afterKill(disk, evicts);
        await writeSome(found, 16, 17 + failAt % 3);
        const context = `sync ${failAt} fails and writes ${writtenName}, evicted ${evictsName}`;
        await assertHas(found.crash(none), acknowledged, context);
        await assertHas(found.crash(even, () => true), acknowledged, `${context}, half survives`);
        runs++;
      }
    }
  }
  assert(runs > 200, `${runs} runs`);
});
