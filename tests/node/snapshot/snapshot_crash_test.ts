import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Outcome } from "../../../lib/key_value.ts";
import {
  type EntrySurvives,
  SimulatedDisk,
  type Survives,
} from "../../../tasks/simulate/simulated_disk.ts";
import { openSmallNode, snapshots, write, writeOf } from "../small_node.ts";

/** Writes of the workload: enough for two snapshots. */
const WRITES = 20;
/** Data that a crash finds the node with: its snapshot has an older one to replace. */
const WRITES_BEFORE = 12;

/** What is found after a crash, of sectors and of names that were not synced. */
interface Crash {
  readonly survives: Survives;
  readonly entrySurvives?: EntrySurvives;
}

/**
 * Null: all is found, as when only the process died; the last one, because the disk is handed over.
 */
const CRASHES: (Crash | null)[] = [
  { survives: () => true },
  { survives: () => false },
  { survives: (_, sector) => sector % 2 === 0, entrySurvives: () => true },
  // Names need not reach the disk in the order in which they were changed.
  { survives: () => true, entrySurvives: (path) => path.endsWith(".log") },
  { survives: () => false, entrySurvives: (path) => path.endsWith(".snapshot") },
  null,
];

function crashed(disk: SimulatedDisk, crash: Crash | null): SimulatedDisk {
  disk.beforeCall = () => {};
  return crash === null ? disk.handOver() : disk.crash(crash.survives, crash.entrySurvives);
}

/** A disk with a node that has taken snapshots, stopped; and the hash of its state. */
async function before(): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk);
  await write(opened, 0, WRITES_BEFORE);
  await snapshots(opened, 1);
  return disk;
}

/** The hash of the state after each write of the workload, from the one after none of them. */
async function hashesOf(disk: SimulatedDisk): Promise<string[]> {
  await using opened = await openSmallNode(disk);
  const hashes = [opened.node.stateHash()];
  for (let i = 0; i < WRITES; i++) {
    await opened.node.write(writeOf(WRITES_BEFORE + i));
    hashes.push(opened.node.stateHash());
  }
  return hashes;
}

/**
 * Runs the workload until the disk fails, at its n-th call. Returns how much was acknowledged; -1
 * if there are not so many calls.
 */
async function runUntil(disk: SimulatedDisk, crashAt: number): Promise<number> {
  let calls = 0;
  disk.beforeCall = () => {
    if (++calls >= crashAt) throw new Error("Crash");
  };
  let acknowledged = 0;
  try {
    const opened = await openSmallNode(disk);
    try {
      for (; acknowledged < WRITES; acknowledged++) {
        await opened.node.write(writeOf(WRITES_BEFORE + acknowledged));
      }
      await snapshots(opened, 2);
    } finally {
      await opened[Symbol.asyncDispose]();
    }
  } catch (error) {
    assertMatch(String(error), /Crash|log failed/, `call ${crashAt}`);
  }
  return calls < crashAt ? -1 : acknowledged;
}

Deno.test("Node has the old state or the new after a crash at any disk call", async () => {
  const start = await before();
  const hashes = await hashesOf(start.copy());
  for (let crashAt = 1;; crashAt++) {
    const disk = start.copy();
    const acknowledged = await runUntil(disk, crashAt);
    if (acknowledged < 0) return assert(crashAt > 80, `only ${crashAt} disk calls`);
    for (const [form, crash] of CRASHES.entries()) {
      const context = `crash at call ${crashAt}, form ${form}, ${acknowledged} acknowledged`;
      const found = crashed(disk, crash);
      await using again = await openSmallNode(found);
      const possible = hashes.slice(acknowledged, acknowledged + 2);
      assert(possible.includes(again.node.stateHash()), context);
      if (form > 0) continue;
      // Sent again, nothing is applied twice; and what is written now is as safe as ever.
      const { outcome } = await again.node.write(writeOf(WRITES_BEFORE + acknowledged - 1));
      assertEquals(outcome, Outcome.duplicate, context);
      const hash = again.node.stateHash();
      await using later = await openSmallNode(crashed(found, { survives: () => false }));
      assertEquals(later.node.stateHash(), hash, context);
    }
  }
});

Deno.test("Node has the old state or the new after a crash at any call of a recovery", async () => {
  const start = await before();
  const hashes = await hashesOf(start.copy());
  let recoveries = 0;
  for (let crashAt = 1;; crashAt += 3) {
    const disk = start.copy();
    const acknowledged = await runUntil(disk, crashAt);
    if (acknowledged < 0) break;
    const possible = hashes.slice(acknowledged, acknowledged + 2);
    for (let secondAt = 1;; secondAt++) {
      const found = crashed(disk, CRASHES[secondAt % 4]);
      let calls = 0;
      found.beforeCall = () => {
        if (++calls >= secondAt) throw new Error("Crash");
      };
      const context = `crash at call ${crashAt}, then at ${secondAt} of the recovery`;
      try {
        await using _again = await openSmallNode(found);
        break;
      } catch (error) {
        assertStringIncludes(String(error), "Crash", context);
      }
      recoveries++;
      await using again = await openSmallNode(
        crashed(found, CRASHES[(crashAt + secondAt) % CRASHES.length]),
      );
      assert(possible.includes(again.node.stateHash()), context);
    }
  }
  assert(recoveries > 60, `${recoveries} recoveries`);
});

Deno.test("Node removes nothing at its start before the snapshot has a durable name", async () => {
  for (let crashAt = 1;; crashAt++) {
    const disk = await before();
    let hash = "";
    {
      await using opened = await openSmallNode(disk);
      disk.beforeCall = (call) => {
        if (call === "sync directory" && opened.node.metrics().snapshot_running > 0) {
          throw new Error("The snapshot has its name, and is not told that it is durable");
        }
      };
      await write(opened, WRITES_BEFORE, WRITES_BEFORE + 12);
      await snapshots(opened, 1);
      hash = opened.node.stateHash();
    }
    const found = disk.handOver();
    let calls = 0;
    found.beforeCall = () => {
      if (++calls >= crashAt) throw new Error("Crash");
    };
    try {
      await using _again = await openSmallNode(found);
      return assert(crashAt > 5, `only ${crashAt} disk calls`);
    } catch (error) {
      assertStringIncludes(String(error), "Crash");
    }
    const removed = (path: string) => path.endsWith(".log");
    const after = crashed(found, { survives: () => true, entrySurvives: removed });
    await using again = await openSmallNode(after);
    assertEquals(again.node.stateHash(), hash, `crash at call ${crashAt}`);
  }
});

/** Whether a call is one that may fail without stopping the node: only a snapshot needs it. */
function isHarmless(call: string): boolean {
  return call.includes(".snapshot") || call.startsWith("remove");
}

Deno.test("Node loses nothing when any disk call fails, and outlives a snapshot's", async () => {
  const start = await before();
  const hashes = await hashesOf(start.copy());
  let harmless = 0;
  for (const code of ["EIO", "ENOSPC"]) {
    for (let failAt = 1;; failAt++) {
      const disk = start.copy();
      let calls = 0;
      let failed = "";
      let isOpen = false;
      disk.beforeCall = (call, path) => {
        if (++calls !== failAt) return;
        failed = isOpen ? `${call} ${path}` : "the start";
        throw Object.assign(new Error(`Failed on purpose: ${code}`), { code });
      };
      let acknowledged = 0;
      try {
        await using opened = await openSmallNode(disk);
        isOpen = true;
        for (; acknowledged < WRITES; acknowledged++) {
          await opened.node.write(writeOf(WRITES_BEFORE + acknowledged));
        }
        await snapshots(opened, 2);
        if (isHarmless(failed)) harmless++;
      } catch (error) {
        assert(!isHarmless(failed), `${error} after the failure of ${failed}`);
      }
      if (calls < failAt) break;
      const again = crashed(disk, { survives: () => true });
      await using reopened = await openSmallNode(again);
      const context = `${code} of ${failed}, ${acknowledged} acknowledged`;
      assert(
        hashes.slice(acknowledged, acknowledged + 2).includes(reopened.node.stateHash()),
        context,
      );
    }
  }
  assert(harmless > 25, `${harmless} failures of snapshots`);
});
