/**
 * A real cluster under its supervisor, and the means to hurt it.
 *
 * @module
 */

import { systemClock } from "../../lib/clock.ts";
import { formatAddress } from "../../lib/address.ts";
import type { ClusterConfig } from "../../lib/config.ts";
import { Failure } from "../subcommand.ts";
import { makeDataDirectories } from "../supervise/make_data_directories.ts";
import {
  type Child,
  type Program,
  programsOf,
  type Spawn,
  spawnProcess,
} from "../supervise/program.ts";
import { parseReadyLine } from "../supervise/ready_line.ts";
import { Supervisor } from "../supervise/supervisor.ts";
import type { PlannedFault } from "./plan.ts";

/** How long a process may take to be ready, in milliseconds. */
const READY_MS_MAX = 30_000;

/** Something that was done to a process. Times are monotonic, in milliseconds. */
export interface InflictedFault {
  readonly target: string;
  readonly kind: "kill" | "pause";
  readonly startedAt: number;
  /** When the process was ready again, or went on. */
  readonly endedAt: number;
}

/** A process, or the place of one that is being started again. */
class Target {
  child?: Child;
  ready = Promise.withResolvers<void>();
  /** Whether the end of the child is to be expected. */
  isKilled = false;
}

/** Runs until the end of its scope. */
export class TargetCluster implements AsyncDisposable {
  readonly config: ClusterConfig;
  readonly #targets: Map<string, Target>;
  readonly #supervisor: Supervisor;
  readonly #unexpected: string[] = [];
  #isStopping = false;

  private constructor(config: ClusterConfig) {
    const programs = programsOf(config);
    this.config = config;
    this.#targets = new Map(programs.map(({ name }) => [name, new Target()]));
    this.#supervisor = new Supervisor(programs, {
      spawn: this.#spawn,
      clock: systemClock,
      onLine: () => {},
      say: () => {},
    });
  }

  /** Starts all processes, and resolves when they are ready. */
  static async start(config: ClusterConfig): Promise<TargetCluster> {
    await makeDataDirectories(config);
    const cluster = new TargetCluster(config);
    await cluster.#supervisor.start();
    for (const name of cluster.#targets.keys()) await cluster.ready(name);
    return cluster;
  }

  get nodeIds(): string[] {
    return this.config.nodes.map(({ id }) => id);
  }

  /** Ends that nobody asked for, in a line each: the process and what it printed last. */
  get unexpected(): readonly string[] {
    return this.#unexpected;
  }

  /** Where a node or the router serves. */
  url(name: string): string {
    const { router, nodes } = this.config;
    const { host, port } = name === "router" ? router : nodes.find(({ id }) => id === name)!;
    return `http://${formatAddress(host, port)}`;
  }

  /** Resolves when a process is ready. @throws {Failure} It does not get there. */
  async ready(name: string): Promise<void> {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      const last = this.#unexpected.at(-1) ?? "it says nothing";
      late.reject(new Failure(`Process ${name} is not ready within ${READY_MS_MAX} ms: ${last}`));
    }, READY_MS_MAX);
    try {
      await Promise.race([this.#targets.get(name)!.ready.promise, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Does it as soon as the process is ready, and resolves when that is over. */
  async inflict({ target: name, kind, forMs }: PlannedFault): Promise<InflictedFault> {
    await this.ready(name);
    const target = this.#targets.get(name)!;
    const startedAt = performance.now();
    if (kind === "kill") {
      target.isKilled = true;
      target.ready = Promise.withResolvers();
      target.child!.kill("SIGKILL");
      await this.ready(name);
    } else {
      target.child!.kill("SIGSTOP");
      await new Promise((resolve) => setTimeout(resolve, forMs));
      target.child!.kill("SIGCONT");
    }
    return { target: name, kind, startedAt, endedAt: performance.now() };
  }

  /** Starts a program for the supervisor, and keeps an eye on it. */
  readonly #spawn: Spawn = (program: Program, onLine) => {
    const target = this.#targets.get(program.name)!;
    let lastLine = "";
    const child = spawnProcess(program, (line) => {
      lastLine = line;
      onLine(line);
      if (parseReadyLine(line) !== undefined) target.ready.resolve();
    });
    target.child = child;
    child.exit.then(({ code, signal }) => {
      const isExpected = target.isKilled || this.#isStopping;
      target.isKilled = false;
      if (isExpected) return;
      target.ready = Promise.withResolvers();
      const end = signal === null ? `ended with code ${code}` : `was ended by ${signal}`;
      this.#unexpected.push(`${program.name} ${end}: ${lastLine}`);
    });
    return child;
  };

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    await this.#supervisor.stop();
  }
}
