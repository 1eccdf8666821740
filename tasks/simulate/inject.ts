/**
 * Makes the faults of a plan happen.
 *
 * @module
 */
import type { Random } from "../random.ts";
import type { Fault } from "./plan.ts";
import type { CrashMode, SimulatedNode } from "./simulated_node.ts";
import type { SimulatedRouter } from "./simulated_router.ts";
import type { FaultKind, World } from "./world.ts";

/** What a fault can strike. */
export interface Target {
  readonly world: World;
  readonly random: Random;
  readonly node: SimulatedNode;
  readonly router: SimulatedRouter;
}

const CRASHES: Record<CrashMode, FaultKind> = {
  killed: "process killed, unsynced bytes kept",
  dropped: "power failure, unsynced bytes dropped",
  torn: "power failure, unsynced bytes torn by sector",
};

/** Makes `fault` happen now; what it begins, it also ends. */
export function inject(fault: Fault, target: Target): void {
  const { world, node, router } = target;
  switch (fault.kind) {
    case "crash":
      return crash(target, fault.mode, fault.downMs);
    case "flip bits":
      if (!node.running) return;
      world.count("bits flipped at rest");
      crash(target, fault.mode, fault.downMs);
      return node.flipBits(fault.bits);
    case "disk call":
      return node.faults.arm(fault.fault, fault.calls);
    case "disk full":
      world.count("disk full (ENOSPC)");
      node.fillUp(fault.freeBytes);
      world.time.schedule(fault.ms, () => node.fillUp(Infinity));
      return;
    case "slow disk":
      world.count("slow disk");
      node.slowDown(fault.syncMs);
      world.time.schedule(fault.ms, () => node.slowDown());
      return;
    case "crash router":
      world.count("router killed");
      return router.crash(fault.downMs);
    case "restart router":
      world.count("router restarted");
      return void router.restart();
    case "set clock":
      world.count(fault.ms > 0 ? "clock set forward" : "clock set back");
      return node.setClock(fault.ms);
    default:
      return breakLinks(fault, target);
  }
}

function crash({ world, node }: Target, mode: CrashMode, downMs: number): void {
  if (!node.running) return;
  world.count(CRASHES[mode]);
  node.crash(mode, downMs);
}

function breakLinks(fault: Fault, { world, random, node: { id } }: Target): void {
  const { network } = world;
  const connections = network.to(id);
  switch (fault.kind) {
    case "cut link":
      for (const connection of connections) {
        world.count("link cut");
        const noticeMs = { near: fault.nearMs, far: fault.farMs };
        connection.break({ onItsWay: "lost", noticeMs });
      }
      return;
    case "hold link":
      for (const connection of connections) {
        world.count("link held, delivered after the next one was open");
        const far = fault.lateMs + random.integer(0, 50);
        connection.break({
          onItsWay: { lateMs: fault.lateMs },
          noticeMs: { near: fault.nearMs, far },
        });
      }
      return;
    case "stall link":
      for (const connection of connections) {
        world.count("link stalled");
        connection.stall(fault.ms);
      }
      return;
    case "cut off node":
      world.count("node cut off");
      network.block(id, fault.ms);
      for (const connection of connections) {
        const near = random.chance(0.5) ? Infinity : random.integer(0, fault.ms);
        connection.break({ onItsWay: "lost", noticeMs: { near, far: near } });
      }
  }
}
