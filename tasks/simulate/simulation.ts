/**
 * One run: a cluster of real nodes and a real router on simulated disks, clocks and networks,
 * clients that use it, and faults. First things go wrong, then nothing does any more and everything
 * that was begun must come to its end.
 *
 *     plan ─▶ nodes, router, clients, faults ─▶ events, one by one ─▶ trace
 *                                                                  └▶ the promises not kept
 *
 * Everything that happens is an event of simulated time, and the next one is not taken before all
 * that the last one set off has come to rest. So a run depends on its plan and on nothing else.
 *
 * @module
 */
import { setImmediate } from "node:timers";
import type { KeyValue } from "../../lib/key_value.ts";
import { assignSlots, slotOf } from "../../router/slots.ts";
import { History } from "../history/history.ts";
import { Random } from "../random.ts";
import { HttpKeyValue } from "./http_key_value.ts";
import { inject } from "./inject.ts";
import type { Plan, Route } from "./plan.ts";
import { brokenPromise } from "./promises.ts";
import { SimulatedClient } from "./simulated_client.ts";
import { SimulatedNetwork } from "./simulated_network.ts";
import { SimulatedNode } from "./simulated_node.ts";
import { SimulatedRouter } from "./simulated_router.ts";
import { SimulatedTime } from "./simulated_time.ts";
import { Trace } from "./trace.ts";
import type { FaultKind, World } from "./world.ts";

/** How a run ended. */
export interface RunResult {
  /** What was not kept, in words; null if all was. */
  readonly problem: string | null;
  readonly trace: Trace;
  readonly simulatedMs: number;
  readonly faults: ReadonlyMap<FaultKind, number>;
  /** Requests of clients, counting what was sent again. */
  readonly operations: number;
}

/** Simulated time within which all must come to its end once nothing goes wrong any more. */
const PROGRESS_MS = 60_000;

/** Runs `plan` from its beginning to its end, or to the first broken promise. */
export async function simulate(plan: Plan): Promise<RunResult> {
  const simulation = new Simulation(plan);
  const printed = console.error;
  console.error = (...what) => simulation.fail(`an error was printed: ${what.map(String)}`);
  try {
    return await simulation.run();
  } finally {
    console.error = printed;
  }
}

class Simulation {
  readonly #plan: Plan;
  readonly #random: Random;
  readonly #world: World;
  readonly #time = new SimulatedTime();
  readonly #trace = new Trace(this.#time);
  readonly #faults = new Map<FaultKind, number>();
  readonly #history = new History(() => this.#time.nowMs);
  readonly #nodes: readonly SimulatedNode[];
  readonly #router: SimulatedRouter;
  readonly #clients: readonly SimulatedClient[];
  readonly #owners: Uint16Array;
  #problem: string | null = null;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#random = new Random(`run ${plan.seed}`);
    const network = new SimulatedNetwork({
      time: this.#time,
      trace: this.#trace,
      random: this.#random.fork("network"),
      delayMsMax: plan.delayMsMax,
    });
    this.#world = {
      time: this.#time,
      trace: this.#trace,
      network,
      fail: (problem) => this.fail(problem),
      count: (fault) => this.#faults.set(fault, (this.#faults.get(fault) ?? 0) + 1),
    };
    const ids = Array.from({ length: plan.nodes }, (_, i) => `n${i + 1}`);
    this.#nodes = ids.map((id) =>
      new SimulatedNode(this.#world, plan, { id, random: this.#random.fork(id) })
    );
    this.#router = new SimulatedRouter(this.#world, this.#random.fork("router"), ids);
    this.#owners = assignSlots(plan.nodes);
    this.#clients = plan.clients.map((client) =>
      new SimulatedClient({
        world: this.#world,
        plan,
        client,
        random: this.#random.fork(client.name),
        history: this.#history,
        target: (route, key) => this.#target(route, key),
        inTrouble: () => this.#time.nowMs < plan.troubleMs,
      })
    );
  }

  fail(problem: string): void {
    if (this.#problem !== null) return;
    this.#trace.note(`BROKEN ${problem}`);
    this.#problem = problem;
  }

  async run(): Promise<RunResult> {
    let ended = false;
    this.#play().then(() => ended = true, (error) => this.fail(`a bug: ${error.stack}`));
    await restOfTurn();
    const limitMs = this.#plan.troubleMs + PROGRESS_MS;
    while (!ended && this.#problem === null) {
      if (!this.#time.step(limitMs)) this.fail("it did not come to its end");
      await restOfTurn();
    }
    const operations = this.#history.operations.length;
    this.#problem ??= this.#brokenPromise();
    return {
      problem: this.#problem,
      trace: this.#trace,
      simulatedMs: this.#time.nowMs,
      faults: this.#faults,
      operations,
    };
  }

  async #play(): Promise<void> {
    this.#scheduleFaults();
    for (const node of this.#nodes) node.start();
    this.#router.start();
    await Promise.all(this.#clients.map((client) => client.run()));
    await this.#until(() => this.#time.nowMs >= this.#plan.troubleMs);
    await this.#restartAll();
    const reader = this.#clients[0];
    for (let key = 1; key <= this.#plan.keys; key++) await reader.readLast(`k${key}`);
  }

  #scheduleFaults(): void {
    for (const fault of this.#plan.faults) {
      const random = this.#random.fork(JSON.stringify(fault));
      const target = {
        world: this.#world,
        random,
        node: this.#nodes[fault.node],
        router: this.#router,
      };
      if (fault.atMs === 0) inject(fault, target); // before anything starts
      else this.#time.schedule(fault.atMs, () => inject(fault, target));
    }
    this.#time.schedule(this.#plan.troubleMs, () => {
      this.#trace.note("from now on nothing goes wrong");
      this.#world.network.unblock();
      for (const node of this.#nodes) node.heal();
    });
  }

  /** Stops everything in good order and starts it again: all must be as it was. */
  async #restartAll(): Promise<void> {
    await this.#until(() => this.#nodes.every((node) => node.opened !== undefined));
    await this.#router.stop();
    await Promise.all(this.#nodes.map((node) => node.stop()));
    for (const node of this.#nodes) node.start();
    this.#router.start();
    await this.#until(() => this.#nodes.every((node) => node.opened !== undefined));
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#time.schedule(10, resolve));
  }

  #target(route: Route, key: string): KeyValue | undefined {
    const node = this.#nodes[this.#ownerOf(key)];
    switch (route) {
      case "router":
        return this.#router.router;
      case "node":
        return node.opened?.node;
      case "router's HTTP":
        return this.#router.handle && new HttpKeyValue("http://router", this.#router.handle);
      case "node's HTTP":
        return node.handle && new HttpKeyValue(`http://${node.id}`, node.handle);
    }
  }

  #ownerOf(key: string): number {
    return this.#owners[slotOf(key)];
  }

  #brokenPromise(): string | null {
    return brokenPromise({
      logs: this.#nodes.map((node) => node.record.durable),
      told: this.#clients.flatMap((client) => client.told),
      history: this.#history,
      ownerOf: (key) => this.#ownerOf(key),
    });
  }
}

/** Resolves when all that was set off has come to rest. */
function restOfTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
