/**
 * One process under supervision: started, and started again, with a growing delay, when it dies.
 *
 *     starting ──ready line──▶ ready
 *        ▲  │                    │
 *        │  └──────exit──────────┤
 *        │                       ▼
 *        └──────delay──────── waiting          exit 2 or 3 ──▶ down (for good)
 *
 * The delay doubles with each exit, and is short again after the program has been ready for a
 * while. Damaged data, or a config that cannot be used, does not get better by trying again: a
 * program that ends because of it stays down.
 *
 * @module
 */

import type { Clock } from "../../lib/clock.ts";
import { ExitCode, isBug } from "../subcommand.ts";
import type { Child, Exit, Program, Spawn } from "./program.ts";
import { parseReadyLine } from "./ready_line.ts";

/**
 * Delay before a program that died is started again, in milliseconds: first and longest. Clients
 * are waiting, so the first is short; a program that dies again and again is left in peace soon
 * enough.
 */
const RESTART_MS_MIN = 10;
const RESTART_MS_MAX = 5000;
/** A program that was ready for as long as this, in milliseconds, gets the first delay again. */
const STEADY_MS = 10_000;

/** Where a program stands. */
export type State =
  | { readonly kind: "starting"; /** How it ended the last time. */ readonly reason?: string }
  | { readonly kind: "ready"; readonly facts: Readonly<Record<string, string>> }
  | { readonly kind: "waiting" | "down"; readonly reason: string };

export interface SupervisedProcessOptions {
  readonly spawn: Spawn;
  readonly clock: Clock;
  /** Gets each line of the program. */
  readonly onLine: (line: string) => void;
  /** Gets what there is to say about it, one line at a time. */
  readonly say: (line: string) => void;
}

/** Keeps one program running until it is stopped. */
export class SupervisedProcess {
  readonly program: Program;
  readonly #options: SupervisedProcessOptions;
  readonly #settled = Promise.withResolvers<void>();
  #state: State = { kind: "starting" };
  #child?: Child;
  /** Resolves when the present child has ended and that was dealt with. */
  #ended: Promise<void> = Promise.resolve();
  #cancelRestart = () => {};
  #readyAtMs?: number;
  #wasReady = false;
  #delayMs = RESTART_MS_MIN;
  #isStopping = false;

  constructor(program: Program, options: SupervisedProcessOptions) {
    this.program = program;
    this.#options = options;
  }

  get state(): State {
    return this.#state;
  }

  /** Resolves when the program is ready or has ended, for the first time. */
  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  /** Starts the program. */
  start(): void {
    const { reason } = this.#state as { reason?: string };
    this.#state = { kind: "starting", reason };
    this.#readyAtMs = undefined;
    try {
      this.#child = this.#options.spawn(this.#nextProgram(), (line) => this.#onLine(line));
      this.#ended = this.#child.exit.then((exit) => this.#onExit(exit));
    } catch (error) {
      if (isBug(error)) throw error;
      this.#startLater(`cannot be started: ${(error as Error).message}`);
    }
  }

  #nextProgram(): Program {
    const { args, restartArgs = [] } = this.program;
    return this.#wasReady ? { ...this.program, args: [...args, ...restartArgs] } : this.program;
  }

  /** Asks the program to end, cancels a restart, and resolves when no process is left. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#cancelRestart();
    this.#child?.kill("SIGTERM");
    await this.#ended;
  }

  /** Ends the program at once, if it still runs. */
  kill(): void {
    if (this.#child === undefined) return;
    this.#options.say(`${this.program.name} does not stop, so it is killed`);
    this.#child.kill("SIGKILL");
  }

  #onLine(line: string): void {
    const facts = this.#state.kind === "starting" ? parseReadyLine(line) : undefined;
    if (facts !== undefined) {
      this.#state = { kind: "ready", facts };
      this.#readyAtMs = this.#options.clock.monotonic();
      this.#wasReady = true;
      this.#settled.resolve();
    }
    this.#options.onLine(line);
  }

  #onExit(exit: Exit): void {
    this.#child = undefined;
    if (this.#isStopping) {
      this.#state = { kind: "down", reason: "was stopped" };
      this.#settled.resolve();
    } else if (exit.code === ExitCode.damaged) {
      const { damageAdvice = "" } = this.program;
      this.#stayDown("refuses to start on damaged data (code 3)", damageAdvice);
    } else if (exit.code === ExitCode.misuse) {
      this.#stayDown("cannot use its arguments or config (code 2)");
    } else {
      this.#startLater(
        exit.signal ? `was ended by ${exit.signal}` : `ended with code ${exit.code}`,
      );
    }
  }

  #stayDown(reason: string, advice?: string): void {
    this.#state = { kind: "down", reason };
    this.#options.say(
      `${this.program.name} ${reason} and stays down${advice ? `; ${advice}` : ""}`,
    );
    this.#settled.resolve();
  }

  #startLater(reason: string): void {
    const delayMs = this.#nextDelayMs();
    this.#state = { kind: "waiting", reason };
    this.#options.say(`${this.program.name} ${reason}; it starts again in ${delayMs} ms`);
    this.#cancelRestart = this.#options.clock.after(delayMs, () => this.start());
    this.#settled.resolve();
  }

  #nextDelayMs(): number {
    const isSteady = this.#readyAtMs !== undefined &&
      this.#options.clock.monotonic() - this.#readyAtMs >= STEADY_MS;
    const delayMs = isSteady ? RESTART_MS_MIN : this.#delayMs;
    this.#delayMs = Math.min(delayMs * 2, RESTART_MS_MAX);
    return delayMs;
  }
}
