/**
 * Makes chosen calls of a disk fail. A fault is armed with a number of calls, and strikes at the
 * last of them.
 *
 * @module
 */
import { SECTOR_BYTES } from "../../node/log/log_format.ts";
import type { Random } from "../random.ts";
import { DeviceError, type DiskCall, noSpace, type SimulatedDisk } from "./simulated_disk.ts";
import type { CrashMode } from "./simulated_node.ts";
import type { World } from "./world.ts";

/**
 * What becomes of the call that is struck: the process or the machine crashes in it (`torn sync`:
 * the machine, in a sync), or it fails (`ENOSPC in place`: as on a disk that copies on write).
 */
export type DiskFaultKind =
  | CrashMode
  | "torn sync"
  | "EIO"
  | "ENOSPC"
  | "ENOSPC in place"
  | "short write"
  | "failed sync";

interface ArmedFault {
  readonly kind: DiskFaultKind;
  callsLeft: number;
}

/** Whether a fault can strike a call; one that is not here can strike every call. */
const STRIKES: Partial<Record<DiskFaultKind, (call: DiskCall, grows: boolean) => boolean>> = {
  "ENOSPC": (call) => call === "write" || call === "create",
  "ENOSPC in place": (call, grows) => call === "write" && !grows,
  "short write": (call) => call === "write",
  "failed sync": isSync,
  "torn sync": isSync,
};

function isSync(call: DiskCall): boolean {
  return call === "sync" || call === "sync directory";
}

export class DiskFaults {
  readonly #world: World;
  readonly #random: Random;
  readonly #crash: (mode: CrashMode) => void;
  #armed: ArmedFault[] = [];

  /** `crash` ends the process, in the middle of a call. */
  constructor(world: World, random: Random, crash: (mode: CrashMode) => void) {
    this.#world = world;
    this.#random = random;
    this.#crash = crash;
  }

  /** Strikes at the `calls`th call from now that the fault can strike. */
  arm(kind: DiskFaultKind, calls: number): void {
    this.#armed.push({ kind, callsLeft: calls });
  }

  disarm(): void {
    this.#armed = [];
  }

  /** To be called before each call of `disk`. Throws to make it fail. */
  beforeCall(disk: SimulatedDisk, call: DiskCall, path: string, grows: boolean): void {
    disk.writeBytesMax = Infinity;
    for (const fault of this.#armed) {
      const { kind } = fault;
      if (STRIKES[kind] !== undefined && !STRIKES[kind](call, grows)) continue;
      if (--fault.callsLeft > 0) continue;
      this.#armed = this.#armed.filter((other) => other !== fault);
      this.#world.trace.note(`disk  ${kind} strikes: ${call} "${path}"`);
      return this.#strike(kind, disk, call, path);
    }
  }

  #strike(kind: DiskFaultKind, disk: SimulatedDisk, call: DiskCall, path: string): void {
    const { count } = this.#world;
    switch (kind) {
      case "killed":
      case "dropped":
      case "torn":
      case "torn sync":
        count("crash at a disk call");
        return this.#crash(kind === "torn sync" ? "torn" : kind);
      case "short write":
        count("short write");
        return this.#shorten(disk);
      case "ENOSPC":
      case "ENOSPC in place":
        count("disk full (ENOSPC)");
        // What is left behind of it shows when the node starts again soon.
        if (this.#random.chance(0.3)) this.arm("killed", this.#random.integer(3, 12));
        if (call === "create" || this.#random.chance(0.5)) throw noSpace();
        this.#armed.push({ kind, callsLeft: 1 }); // after a part was taken
        return this.#shorten(disk);
      case "EIO":
        count("disk call failed with EIO");
        break;
      case "failed sync":
        count("sync failed");
    }
    if (call === "sync") this.#failSync(disk, path);
    throw new DeviceError();
  }

  /** Some of the sectors were written, or all, or none. */
  #failSync(disk: SimulatedDisk, path: string): void {
    const share = this.#random.pick([0, 0.5, 1]);
    disk.failSync(path, () => this.#random.chance(share));
  }

  /** A system cuts a write between sectors, or it does not cut it. */
  #shorten(disk: SimulatedDisk): void {
    disk.writeBytesMax = this.#random.integer(1, 4) * SECTOR_BYTES;
  }
}
