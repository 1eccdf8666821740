import { assert, assertEquals, assertInstanceOf, assertMatch, assertRejects } from "@std/assert";
import { SyncError } from "../../../node/disk/disk_errors.ts";
import { FileLog } from "../../../node/log/file_log.ts";
import { LogRefusal } from "../../../node/log/log.ts";
import { SECTOR_BYTES } from "../../../node/log/log_format.ts";
import { noSpace, SimulatedDisk } from "../../../tasks/simulate/simulated_disk.ts";

const DIRECTORY = "n1";

/** As Deno throws it. */
function outOfFiles(): Error {
  return Object.assign(new Error("Too many open files (os error 24)"), { code: "EMFILE" });
}

async function openLog(disk: SimulatedDisk): Promise<{ log: FileLog; replayed: string[] }> {
  const replayed: string[] = [];
  const options = {
    disk,
    directory: DIRECTORY,
    nodeId: "n1",
    randomId: () => new Uint8Array(16).fill(7),
    existing: false,
    report: () => {},
    segmentBytes: 8192,
    fillBytes: 2048,
  };
  const log = await FileLog.open(options, {
    part: () => {},
    batch: (body) => replayed.push(new TextDecoder().decode(body)),
  });
  return { log, replayed };
}

/** Batches of one to seven sectors, in an order that leaves segments early and late. */
const BATCHES = Array.from({ length: 24 }, (_, i) => {
  return `batch ${i} `.padEnd(100 + (i * 5 % 7) * 500, `${i % 10}`);
});

/** False if the log refused it. */
async function isTaken(step: Promise<unknown>): Promise<boolean> {
  try {
    await step;
    return true;
  } catch (error) {
    if (error instanceof LogRefusal) return false;
    throw error;
  }
}

/** When a disk is full. */
interface FullDiskOptions {
  /** The first call that finds no space, of those that need some; counted from 1. */
  readonly fullAt?: number;
  /** How many such calls find none. */
  readonly fullFor?: number;
  /** Whole sectors that the first one takes all the same. */
  readonly sectorsTaken?: number;
  /** How many calls of any kind after the first that found no space the process dies. */
  readonly crashAfter?: number;
}

/** A disk that is full for a while, and what a log on it took and refused. */
class Workload {
  readonly disk = new SimulatedDisk();
  readonly acknowledged: string[] = [];
  readonly refused: string[] = [];
  readonly #options: Required<FullDiskOptions>;
  #spaceCalls = 0;
  #refusedCalls = 0;
  #callsLeft = Infinity;

  constructor(options: FullDiskOptions = {}) {
    const never = { fullAt: Infinity, fullFor: 1, sectorsTaken: 0, crashAfter: Infinity };
    this.#options = { ...never, ...options };
    this.disk.beforeCall = (call) => this.#beforeCall(call);
  }

  /** Calls so far that need space. */
  get calls(): number {
    return this.#spaceCalls;
  }

  #beforeCall(call: string): void {
    const { fullAt, fullFor, sectorsTaken, crashAfter } = this.#options;
    if (this.#callsLeft-- <= 0) throw new Error("Crash");
    this.disk.writeBytesMax = Infinity;
    if (call.startsWith("sync") || call === "remove") return;
    this.#spaceCalls++;
    if (this.#spaceCalls < fullAt || this.#refusedCalls === fullFor) return;
    if (this.#spaceCalls === fullAt) {
      this.#callsLeft = crashAfter;
      if (call === "write" && sectorsTaken > 0) {
        this.disk.writeBytesMax = sectorsTaken * SECTOR_BYTES;
        return;
      }
    }
    this.#refusedCalls++;
    throw noSpace();
  }

  /**
   * Appends all batches, and cuts the log now and then as for a snapshot. `afterRefusal` is called
   * after each batch and each cut that was refused.
   */
  async run(afterRefusal: () => Promise<void> = () => Promise.resolve()): Promise<FileLog> {
    const { log } = await openLog(this.disk);
    for (const [i, batch] of BATCHES.entries()) {
      if (i % 7 === 5 && !await isTaken(log.cut())) await afterRefusal();
      if (await isTaken(log.append(new TextEncoder().encode(batch), 1))) {
        this.acknowledged.push(batch);
      } else {
        this.refused.push(batch);
        await afterRefusal();
      }
    }
    return log;
  }

  /**
   * Whatever a crash now leaves: what was acknowledged is there, of the rest nothing but what was
   * in flight, and the log goes on.
   */
  async assertWhole(context: string, inFlight?: string): Promise<void> {
    const crashes = [
      this.disk.copy(), // the process alone died
      this.disk.crash(() => false),
      this.disk.crash((_, sector) => sector % 2 === 0),
    ];
    for (const [i, disk] of crashes.entries()) {
      const { log, replayed } = await openLog(disk);
      const extra = replayed.length > this.acknowledged.length && inFlight !== undefined;
      const expected = extra ? [...this.acknowledged, inFlight] : [...this.acknowledged];
      assertEquals(replayed, expected, `${context}, crash ${i}`);
      await log.append(new TextEncoder().encode("one more"), 1);
      assertEquals((await openLog(disk)).replayed, [...expected, "one more"], context);
    }
  }
}

/** Calls that need space while the log is created, and while the workload runs. */
async function callsOfWorkload(): Promise<{ creating: number; all: number }> {
  const created = new Workload();
  (await openLog(created.disk)).log.close();
  const whole = new Workload();
  (await whole.run()).close();
  assertEquals(whole.refused, []);
  return { creating: created.calls, all: whole.calls };
}

Deno.test("FileLog refuses batches while the disk is full, and stays whole", async () => {
  const { creating, all } = await callsOfWorkload();
  assert(all - creating > 50, `${all - creating} calls`);
  for (let fullAt = creating + 1; fullAt <= all; fullAt++) {
    for (const [fullFor, sectorsTaken] of [[1, 0], [2, 0], [9, 0], [1, 1], [2, 2]]) {
      const context = `full at call ${fullAt} for ${fullFor}, ${sectorsTaken} sectors taken`;
      const workload = new Workload({ fullAt, fullFor, sectorsTaken });
      let refusals = 0;
      const log = await workload.run(() => {
        refusals++;
        return workload.assertWhole(context);
      });
      assertEquals(workload.acknowledged.length, log.lastIndex, context);
      if (sectorsTaken === 0) assert(refusals > 0, context);
      await workload.assertWhole(context);
      log.close();
    }
  }
});

Deno.test("FileLog survives a crash at any call after the disk was full", async () => {
  const { creating, all } = await callsOfWorkload();
  let crashes = 0;
  for (let fullAt = creating + 1; fullAt <= all; fullAt++) {
    for (const [fullFor, sectorsTaken] of [[1, 0], [3, 1]]) {
      for (let crashAfter = 0; crashAfter < 8; crashAfter++) {
        const context = `full at call ${fullAt} for ${fullFor}, crash ${crashAfter} calls later`;
        const workload = new Workload({ fullAt, fullFor, sectorsTaken, crashAfter });
        const crash = await workload.run().catch((error: unknown) => String(error));
        if (crash instanceof FileLog) continue; // it was done before
        assertMatch(String(crash), /Crash$/, context);
        crashes++;
        const answered = workload.acknowledged.length + workload.refused.length;
        await workload.assertWhole(context, BATCHES[answered]);
      }
    }
  }
  assert(crashes > 500, `${crashes} crashes`);
});

Deno.test("FileLog refuses batches while no more files can be opened, and is whole", async () => {
  for (const failing of ["create", "sync directory"]) {
    const disk = new SimulatedDisk();
    const { log } = await openLog(disk);
    let failures = 0;
    disk.beforeCall = (call) => {
      if (call !== failing || failures >= 2) return;
      failures++;
      throw outOfFiles();
    };
    const acknowledged: string[] = [];
    for (const batch of BATCHES) {
      const appended = log.append(new TextEncoder().encode(batch), 1);
      if (await appended.then(() => true, isForWantOfFiles)) acknowledged.push(batch);
    }
    assertEquals([failures, BATCHES.length - acknowledged.length], [2, 2], failing);
    assertEquals((await openLog(disk.crash(() => false))).replayed, acknowledged, failing);
  }
});

function isForWantOfFiles(error: unknown): false {
  assertInstanceOf(error, LogRefusal);
  assertEquals(error.reason, "too many files");
  return false;
}

Deno.test("FileLog gives the space of an unfinished segment back", async () => {
  const disk = new SimulatedDisk();
  const { log } = await openLog(disk);
  disk.beforeCall = (call, path) => {
    if (call === "write" && path.endsWith(".tmp")) throw noSpace();
  };
  const error = await assertRejects(
    async () => {
      for (const batch of BATCHES) await log.append(new TextEncoder().encode(batch), 1);
    },
    LogRefusal,
    "No space left on device (os error 28)",
  );
  assertEquals(error.reason, "disk full");
  assertEquals((await disk.list(DIRECTORY)).length, 1);
});

Deno.test("FileLog opens on a disk that has no room to write zeros again", async () => {
  const disk = new SimulatedDisk();
  {
    const { log } = await openLog(disk);
    disk.beforeCall = (call) => {
      if (call === "sync") throw new Error("Killed");
    };
    await assertRejects(() => log.append(new TextEncoder().encode(BATCHES[0]), 1), Error, "Killed");
    log.close();
  }
  let writes = 0;
  disk.beforeCall = (call) => {
    if (call === "write" && ++writes > 1) throw noSpace(); // as a disk that copies on write
  };
  const { log, replayed } = await openLog(disk);
  assertEquals(replayed, BATCHES.slice(0, 1));
  assertEquals((await openLog(disk.crash(() => false))).replayed, replayed, "it is durable");
  const append = () => log.append(new TextEncoder().encode(BATCHES[1]), 1);
  assertEquals((await assertRejects(append, LogRefusal)).reason, "disk full");
  disk.beforeCall = () => {};
  await append();
  assertEquals((await openLog(disk.crash(() => false))).replayed, BATCHES.slice(0, 2));
});

Deno.test("FileLog does not open on a disk that has no room to write the last batch again", async () => {
  const disk = new SimulatedDisk();
  const { log } = await openLog(disk);
  disk.beforeCall = (call) => {
    if (call === "sync") throw new Error("Killed");
  };
  await assertRejects(() => log.append(new TextEncoder().encode(BATCHES[0]), 1), Error, "Killed");
  log.close();
  disk.beforeCall = (call) => {
    if (call === "write") throw noSpace(); // as a disk that copies on write
  };
  await assertRejects(() => openLog(disk), Error, noSpace().message);
  disk.beforeCall = () => {};
  assertEquals((await openLog(disk)).replayed, BATCHES.slice(0, 1));
});

Deno.test("FileLog fails for good when a sync finds the disk full", async () => {
  const tooLarge = new Error("File too large (os error 27)"); // without a code, as Deno throws it
  for (const error of [noSpace(), tooLarge]) {
    const disk = new SimulatedDisk();
    const { log } = await openLog(disk);
    disk.beforeCall = (call) => {
      if (call === "sync") throw error;
    };
    const append = () => log.append(new Uint8Array(10), 1);
    await assertRejects(append, SyncError, `Cannot sync: ${error.message}`);
    disk.beforeCall = () => {};
    await assertRejects(append, SyncError, `Cannot sync: ${error.message}`);
  }
});
