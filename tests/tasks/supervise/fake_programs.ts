/**
 * Programs that never run: the test says what they print and how they end.
 *
 * @module
 */

import type { Child, Exit, Program, Spawn } from "../../../tasks/supervise/program.ts";

export class FakeChild implements Child {
  readonly #exit = Promise.withResolvers<Exit>();
  readonly exit: Promise<Exit> = this.#exit.promise;
  /** The signals that it was sent. */
  readonly signals: string[] = [];

  constructor(readonly program: Program, readonly print: (line: string) => void) {}

  kill(signal: string): void {
    this.signals.push(signal);
  }

  /** Lets it end, and resolves when whoever waits for that has been told. */
  async end(exit: Partial<Exit>): Promise<void> {
    this.#exit.resolve({ code: 0, signal: null, ...exit });
    await new Promise(setImmediate);
  }

  ready(): void {
    this.print(`listening id=${this.program.name} keys=3 log_bytes=2048 pid=7`);
  }
}

/** A {@linkcode Spawn} that keeps what it started, oldest first. */
export function fakeSpawn(): { spawn: Spawn; children: FakeChild[] } {
  const children: FakeChild[] = [];
  const spawn: Spawn = (program, onLine) => {
    const child = new FakeChild(program, onLine);
    children.push(child);
    return child;
  };
  return { spawn, children };
}
