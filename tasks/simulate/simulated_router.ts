/**
 * A router process that can die at any moment: the real router, over a simulated network.
 *
 * @module
 */
import { createHandler, type Handler } from "../../lib/api.ts";
import { Link } from "../../router/link.ts";
import { Router } from "../../router/router.ts";
import type { Random } from "../random.ts";
import { SimulatedClock } from "./simulated_time.ts";
import type { World } from "./world.ts";

/** One life of the router. */
interface Process {
  /** In the network: whose connections are whose. */
  readonly name: string;
  readonly clock: SimulatedClock;
  readonly router: Router;
  readonly handle: Handler;
}

export class SimulatedRouter {
  readonly #world: World;
  readonly #random: Random;
  readonly #nodeIds: readonly string[];
  #process: Process | null = null;
  #starts = 0;

  constructor(world: World, random: Random, nodeIds: readonly string[]) {
    this.#world = world;
    this.#random = random;
    this.#nodeIds = nodeIds;
  }

  /** The router, while it runs. */
  get router(): Router | undefined {
    return this.#process?.router;
  }

  /** Its HTTP front. */
  get handle(): Handler | undefined {
    return this.#process?.handle;
  }

  /** Starts the process, unless it runs. */
  start(): void {
    if (this.#process !== null) return;
    const name = `router ${++this.#starts}`;
    const { time, network, trace } = this.#world;
    const clock = new SimulatedClock(time, 0);
    trace.note(`${name} starts`);
    const router = new Router(this.#nodeIds.map((nodeId) =>
      new Link({
        nodeId,
        address: nodeId,
        connect: (signal) => network.connect(name, nodeId, signal),
        clock,
        random: () => this.#random.fraction(),
      })
    ));
    this.#process = { name, clock, router, handle: createHandler(router, clock) };
  }

  /** Ends the process at once. What it has sent may still arrive, even after the next one is there. */
  crash(downMs: number): void {
    const process = this.#process;
    if (process === null) return;
    this.#world.trace.note(`${process.name} crashes, for ${downMs} ms`);
    this.#process = null;
    process.clock.stop();
    for (const connection of this.#world.network.of(process.name)) {
      const lateMs = this.#random.integer(0, 2 * downMs);
      const far = lateMs + this.#random.integer(0, 1000);
      connection.break({ onItsWay: { lateMs }, noticeMs: { near: 0, far } });
    }
    this.#world.time.schedule(downMs, () => this.start());
  }

  /** Stops the process, and starts the next one. */
  async restart(): Promise<void> {
    await this.stop();
    this.start();
  }

  /** Stops the process as SIGTERM does, but for the moment in which nodes may still answer. */
  async stop(): Promise<void> {
    const process = this.#process;
    if (process === null) return;
    this.#world.trace.note(`${process.name} stops`);
    this.#process = null;
    process.router.drain();
    await process.router.close();
    process.clock.stop();
  }
}
