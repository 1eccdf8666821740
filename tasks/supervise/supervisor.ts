/**
 * Runs all programs of a cluster until they are to stop.
 *
 * @module
 */

import type { Clock } from "../../lib/clock.ts";
import type { Program, Spawn } from "./program.ts";
import { parseReadyLine } from "./ready_line.ts";
import { type State, SupervisedProcess } from "./supervised_process.ts";

/** How long a program may take to end when it is asked to, in milliseconds. Then it is killed. */
export const STOP_MS_MAX = 4000;
/**
 * How long the start waits for the programs, in milliseconds. A long log takes longer to replay.
 */
const START_MS_MAX = 30_000;

export interface SupervisorOptions {
  readonly spawn: Spawn;
  readonly clock: Clock;
  /** Gets each line that a program prints, but not the ready lines of the start. */
  readonly onLine: (program: Program, line: string) => void;
  /** Gets what there is to say about the programs, one line at a time. */
  readonly say: (line: string) => void;
}

/** Keeps several programs running, each as a {@linkcode SupervisedProcess}. */
export class Supervisor {
  readonly #clock: Clock;
  readonly #processes: readonly SupervisedProcess[];
  #isStarting = true;

  constructor(programs: readonly Program[], { spawn, clock, onLine, say }: SupervisorOptions) {
    this.#clock = clock;
    this.#processes = programs.map((program) =>
      new SupervisedProcess(program, {
        spawn,
        clock,
        onLine: (line) => {
          if (!this.#isStarting || parseReadyLine(line) === undefined) onLine(program, line);
        },
        say,
      })
    );
  }

  /** Where the programs stand, in their order. */
  get states(): State[] {
    return this.#processes.map((process) => process.state);
  }

  /**
   * Starts all programs at once. Resolves when each is ready or has ended, or when that takes too
   * long; whatever is not ready by then is still being started.
   */
  async start(): Promise<void> {
    const deadline = Promise.withResolvers<void>();
    const cancel = this.#clock.after(START_MS_MAX, deadline.resolve);
    for (const process of this.#processes) process.start();
    const settled = Promise.all(this.#processes.map((process) => process.settled));
    await Promise.race([settled, deadline.promise]);
    cancel();
    this.#isStarting = false;
  }

  /** Stops all programs at once, and resolves when no process is left. */
  async stop(): Promise<void> {
    const cancel = this.#clock.after(STOP_MS_MAX, () => {
      for (const process of this.#processes) process.kill();
    });
    await Promise.all(this.#processes.map((process) => process.stop()));
    cancel();
  }
}
