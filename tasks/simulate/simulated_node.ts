/**
 * A node process that can die at any moment: the real node on a simulated disk. The disk outlives the
 * process; the next process starts on what it finds there.
 *
 * @module
 */
import { createHandler, type Handler } from "../../lib/api.ts";
import type { Duplex } from "../../lib/wire.ts";
import { DamageError } from "../../node/log/damage.ts";
import { LinkServer } from "../../node/link_server.ts";
import { type OpenedNode, openNode } from "../../node/open_node.ts";
import { SnapshotMaker } from "../../node/snapshot/snapshot_maker.ts";
import type { Random } from "../random.ts";
import { DiskFaults } from "./disk_faults.ts";
import { LogRecord, openRecordedLog, SMALL } from "./log_record.ts";
import { type DiskCall, type FlippedBit, SimulatedDisk } from "./simulated_disk.ts";
import type { Break } from "./simulated_network.ts";
import { SimulatedClock } from "./simulated_time.ts";
import { sleep, type World } from "./world.ts";

/** How a process ends: alone, or with the machine under it. */
export type CrashMode = "killed" | "dropped" | "torn";

export interface SimulatedNodeOptions {
  readonly id: string;
  readonly random: Random;
}

/** Sizes and speeds of a node. */
export interface NodePlan {
  readonly segmentBytes: number;
  readonly fillBytes: number;
  readonly snapshotGrowthBytesMin: number;
  /** What a sync takes at most, in milliseconds. */
  readonly syncMsMax: number;
  /** Bytes that the store may hold while things go wrong. */
  readonly storeBytesMax: number;
}

/** One life of the node. */
interface Process {
  readonly clock: SimulatedClock;
  readonly disk: SimulatedDisk;
  readonly snapshotMaker: SnapshotMaker;
  opened?: OpenedNode;
  /** Under way. */
  snapshots: number;
  links?: LinkServer;
  handle?: Handler;
}

/** What a supervisor waits before it starts a process that has ended by itself, in milliseconds. */
const RESTART_MS = 100;
/** Midnight before 2026, when every simulation begins. */
const START_MS = Date.UTC(2026, 0, 1);
/** Calls that do not wait for the device. */
const AT_ONCE: readonly DiskCall[] = ["list", "open", "create", "size"];
/** Calls that change something. */
const CHANGES: readonly DiskCall[] = ["create", "write", "rename", "remove"];

export class SimulatedNode {
  readonly id: string;
  readonly record: LogRecord;
  readonly faults: DiskFaults;
  readonly #world: World;
  readonly #plan: NodePlan;
  readonly #random: Random;
  #process: Process | null = null;
  #disk = new SimulatedDisk();
  #wallMs = START_MS;
  #syncMsMax: number;
  #storeBytesMax: number;
  #changes = 0;
  /** Bits that are not as they were written. */
  readonly #flipped: FlippedBit[] = [];

  constructor(world: World, plan: NodePlan, { id, random }: SimulatedNodeOptions) {
    this.id = id;
    this.#world = world;
    this.#plan = plan;
    this.#random = random;
    this.#syncMsMax = plan.syncMsMax;
    this.#storeBytesMax = plan.storeBytesMax;
    const fail = (problem: string) => world.fail(`node ${this.id}: ${problem}`);
    this.record = new LogRecord(fail);
    this.faults = new DiskFaults(world, this.#random.fork("disk"), (mode) => {
      this.crash(mode, this.#random.integer(10, 1000));
    });
  }

  /** The node, once it serves and while it does. */
  get opened(): OpenedNode | undefined {
    return this.#process?.opened;
  }

  /** Its HTTP front. */
  get handle(): Handler | undefined {
    return this.#process?.handle;
  }

  get running(): boolean {
    return this.#process !== null;
  }

  /** Starts the process, unless it runs. */
  start(): void {
    if (this.#process !== null) return;
    const disk = this.#disk;
    disk.beforeCall = (call, path, grows) => this.#beforeCall(disk, call, path, grows);
    disk.latency = (call) => this.#latency(call);
    disk.evicts = () => this.#random.chance(0.2);
    this.#changes = 0;
    const clock = new SimulatedClock(this.#world.time, this.#wallMs);
    const options = { ...SMALL, hashKey: [5, 6] as const, disk, directory: this.id };
    const process: Process = {
      clock,
      disk,
      snapshotMaker: new SnapshotMaker(options),
      snapshots: 0,
    };
    this.#process = process;
    this.#note("starts");
    this.#open(process).catch((error) => this.#startFailed(process, error));
  }

  #beforeCall(disk: SimulatedDisk, call: DiskCall, path: string, grows: boolean): void {
    if (disk !== this.#disk) return; // of a process that is gone
    if (call === "write" || call === "sync") this.#note(`disk ${call} "${path}"`);
    if (CHANGES.includes(call) && path !== `${this.id}/NODE`) this.#changes++; // that is a lock too
    this.faults.beforeCall(disk, call, path, grows);
  }

  #latency(call: DiskCall): Promise<void> {
    if (AT_ONCE.includes(call)) return Promise.resolve();
    return sleep(this.#world, this.#random.fraction() * this.#syncMsMax);
  }

  async #open(process: Process): Promise<void> {
    const { segmentBytes, fillBytes, snapshotGrowthBytesMin } = this.#plan;
    const opened = await openNode({
      disk: process.disk,
      clock: process.clock,
      directory: this.id,
      nodeId: this.id,
      randomBytes: (target) => this.#random.bytes(target),
      bounds: SMALL,
      storeBytesMax: this.#storeBytesMax,
      snapshots: {
        take: (index, signal) => this.#takeSnapshot(process, index, signal),
        growthBytesMin: snapshotGrowthBytesMin,
      },
      report: (line) => this.#note(line),
      openLog: (options, visitor) =>
        openRecordedLog({ ...options, segmentBytes, fillBytes }, visitor, this.record),
    });
    if (this.#process !== process) return; // it ended with its last call
    process.opened = opened;
    this.#compareState(opened, "after its start");
    this.#repair(); // what has done no harm so far should do none later either
    process.links = new LinkServer(opened.node, this.id, process.clock);
    process.handle = createHandler(opened.node, process.clock);
    const accept = (duplex: Duplex) => void process.links!.serve(duplex);
    this.#world.network.listen(this.id, accept);
    this.#note(`serves from index ${opened.node.lastIndex}`);
    opened.node.failed.catch((error) => this.#ended(process, error));
  }

  /** As the thread does that a real node has for it. */
  async #takeSnapshot(process: Process, index: number, signal: AbortSignal) {
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    this.#note(`begins a snapshot at index ${index}`);
    process.snapshots++;
    try {
      return await Promise.race([process.snapshotMaker.take(index), aborted]);
    } finally {
      process.snapshots--;
      this.#note(`ends a snapshot at index ${index}`);
    }
  }

  /** A node that serves is what its whole log makes of an empty one. */
  #compareState({ node }: OpenedNode, when: string): void {
    const [state, expected] = [node.stateHash(), this.record.stateHash()];
    if (state === expected) return;
    this.#world.fail(`node ${this.id} had the state ${state} ${when}, its log makes ${expected}`);
  }

  #startFailed(process: Process, error: Error): void {
    if (this.#process !== process) return;
    const damaged = this.#flipped.length > 0;
    // A flipped bit may make a directory look like that of another node: refused all the same.
    const refuses = !isOfDisk(error) && (error instanceof DamageError || damaged);
    if (!refuses) return this.#ended(process, error);
    this.#note(`refuses to start: ${error.message}`);
    if (!damaged) {
      this.#world.fail(
        `node ${this.id} refuses to start, and nothing was damaged: ${error.message}`,
      );
    }
    if (this.#changes > 0) {
      this.#world.fail(`node ${this.id} refuses to start, and has changed something`);
    }
    this.#world.count("damage refused at the start");
    this.#repair();
    this.#restart(process);
  }

  /** The process has ended with an error: of its disk, or it is a bug. */
  #ended(process: Process, error: Error): void {
    if (this.#process !== process) return;
    this.#note(`ends: ${error.message}`);
    if (!isOfDisk(error)) {
      this.#world.fail(`node ${this.id} ended with an error: ${error.stack}`);
    }
    this.#restart(process);
  }

  #restart(process: Process): void {
    if (this.#process === process) this.crash("killed", RESTART_MS);
  }

  /** Ends the process at once, with whatever it was doing, and starts the next one after `downMs`. */
  crash(mode: CrashMode, downMs: number): void {
    const process = this.#process;
    if (process === null) return;
    this.#note(`crashes, ${mode}, for ${downMs} ms`);
    if (process.opened === undefined) this.#world.count("crash during recovery");
    else this.#compareState(process.opened, "when it crashed");
    if (process.snapshots > 0) this.#world.count("crash during a snapshot");
    this.#process = null;
    process.clock.stop();
    this.#disk = this.#diskAfter(mode);
    process.disk.abandon();
    this.#world.network.unlisten(this.id);
    for (const connection of this.#world.network.to(this.id)) connection.break(this.#breakOf(mode));
    this.#world.time.schedule(downMs, () => this.start());
  }

  #diskAfter(mode: CrashMode): SimulatedDisk {
    const random = this.#random;
    if (mode === "killed") return this.#disk.handOver();
    if (this.#disk.unsyncedEntries > 0) {
      this.#world.count("power failure, unsynced directory entries dropped");
    }
    if (mode === "dropped") return this.#disk.crash(() => false);
    const share = random.fraction();
    return this.#disk.crash(() => random.chance(share), () => random.chance(0.5));
  }

  #breakOf(mode: CrashMode): Break {
    const random = this.#random;
    if (mode === "killed") {
      return { onItsWay: { lateMs: 0 }, noticeMs: { far: 0, near: random.integer(0, 50) } };
    }
    const near = random.chance(0.2) ? Infinity : random.integer(0, 3000);
    return { onItsWay: "lost", noticeMs: { far: 0, near } };
  }

  /** Turns over bits of what is on the disk, while no process runs. */
  flipBits(count: number): void {
    const paths = [...this.#disk.files.keys()].sort();
    for (let i = 0; i < count && paths.length > 0; i++) {
      const path = this.#random.pick(paths);
      const size = this.#disk.bytes(path).length;
      if (size === 0) continue;
      const bit = this.#random.integer(0, size * 8 - 1);
      this.#note(`bit ${bit} of "${path}" is flipped`);
      this.#flipped.push(this.#disk.flip(path, bit));
    }
  }

  /** Turns flipped bits back, where they were not written over. */
  #repair(): void {
    for (const flipped of this.#flipped.splice(0).reverse()) this.#disk.flipBack(flipped);
  }

  /** Makes syncs take up to `ms`; without it, as long as they usually do. */
  slowDown(ms = this.#plan.syncMsMax): void {
    this.#syncMsMax = ms;
  }

  /** Leaves room for so many bytes more. */
  fillUp(freeBytes: number): void {
    this.#disk.freeBytes = freeBytes;
  }

  setClock(ms: number): void {
    this.#wallMs += ms;
    this.#process?.clock.jump(ms);
  }

  /** From now on nothing fails any more. */
  heal(): void {
    this.faults.disarm();
    this.slowDown();
    this.fillUp(Infinity);
    this.#giveMemory();
  }

  /** Starts the process again without a bound on its memory, if it had one. */
  #giveMemory(): void {
    if (this.#storeBytesMax === Infinity) return;
    this.#storeBytesMax = Infinity;
    const refused = this.opened?.node.metrics().refused_memory_full_total ?? 0;
    if (refused > 0) this.#world.count("memory full");
    this.crash("killed", RESTART_MS);
  }

  /** Stops the process as SIGTERM does. */
  async stop(): Promise<void> {
    const process = this.#process;
    if (process?.opened === undefined) return;
    this.#note("stops");
    this.#compareState(process.opened, "before it stopped");
    this.#world.network.unlisten(this.id);
    await process.links!.drain();
    await process.opened[Symbol.asyncDispose]();
    this.#process = null;
    process.clock.stop();
    this.#disk = this.#disk.handOver();
  }

  #note(text: string): void {
    this.#world.trace.note(`${this.id.padEnd(5)} ${text}`);
  }
}

/** Whether an error comes from the simulated disk. */
function isOfDisk(error: unknown): boolean {
  return error instanceof Error && ("code" in error || isOfDisk(error.cause));
}
