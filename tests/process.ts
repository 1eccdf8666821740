/**
 * Real processes for tests: `main.ts` with a subcommand, on free ports, in a directory of its own.
 *
 *     await using directory = await temporaryDirectory();
 *     const { file } = await writeFreeConfig(directory.path, 1);
 *     await using node = startMain(["node", "--id", "n1", "--config", file]);
 *     await node.line(/^listening/);
 *
 * @module
 */

import { fromFileUrl, join } from "@std/path";
import type { ClusterConfig } from "../lib/config.ts";
import { freeConfig } from "../tasks/free_config.ts";
import { killIfAlive } from "../tasks/supervise/kill_if_alive.ts";
import { forEachLine } from "../tasks/supervise/output_lines.ts";
import type { Exit } from "../tasks/supervise/program.ts";

export { freePorts } from "../tasks/free_config.ts";
export { temporaryDirectory } from "../tasks/temporary_directory.ts";

const CHECKOUT = fromFileUrl(new URL("..", import.meta.url));
const TEMPORARY = join(CHECKOUT, ".tmp");
const DEADLINE_MS = 20_000;

export interface StartOptions {
  /** Flags of `deno run`. Default: what any subcommand may need, inside the checkout. */
  permissions?: string[];
  /** Added to the environment. */
  env?: Record<string, string>;
  /** Command that runs the command which follows it, such as `nice`. Default: none. */
  within?: string[];
  /** `piped` lets {@linkcode MainProcess.closeInput} end it. Default: `null`, ended at once. */
  stdin?: "piped" | "null";
}

/** Starts `main.ts` with these arguments. */
export function startMain(args: string[], options: StartOptions = {}): MainProcess {
  return startProgram("main.ts", args, options);
}

/** Starts a program, whose path begins at the checkout, with these arguments. */
export function startProgram(
  path: string,
  args: string[],
  options: StartOptions = {},
): MainProcess {
  const permissions = options.permissions ?? defaultPermissions();
  return start(["run", "--no-prompt", ...permissions, join(CHECKOUT, path), ...args], options);
}

/** Starts `deno task` with these arguments. */
export function startTask(args: string[]): MainProcess {
  return start(["task", ...args], {});
}

/** Runs a line that we advise to people, as if pasted into a shell in the checkout. */
export async function runInShell(line: string) {
  // Whoever tests need not have `deno` on the PATH.
  const script = line.replace(/^deno /, '"$0" ');
  const args = ["-c", script, Deno.execPath()];
  const command = new Deno.Command("sh", { args, cwd: CHECKOUT, stdin: "null" });
  const { code, stdout, stderr } = await command.output();
  const [printed, complaints] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, stdout: printed.trimEnd().split("\n"), stderr: complaints };
}

function start(denoArgs: string[], options: StartOptions): MainProcess {
  const { env, within = [], stdin = "null" } = options;
  const [command, ...args] = [...within, Deno.execPath(), ...denoArgs];
  const spawning = new Deno.Command(command, {
    args,
    cwd: CHECKOUT,
    env,
    stdin,
    stdout: "piped",
    stderr: "piped",
  });
  return new MainProcess(spawning.spawn(), stdin === "piped");
}

function defaultPermissions(): string[] {
  return [
    `--allow-read=${CHECKOUT}`,
    `--allow-write=${TEMPORARY}`,
    "--allow-net=127.0.0.1",
    `--allow-run=${Deno.execPath()}`,
  ];
}

/** A process of ours. Leaving the scope of `await using` kills it. */
export class MainProcess implements AsyncDisposable {
  /** What it printed so far on each output, by line. */
  readonly stdout: string[] = [];
  readonly stderr: string[] = [];
  /** Resolves when the process has ended and all its lines are there. */
  readonly #exit: Promise<Exit>;
  readonly #process: Deno.ChildProcess;
  readonly #isInputOpen: boolean;
  readonly #waiting = new Set<() => void>();

  constructor(process: Deno.ChildProcess, isInputOpen: boolean) {
    this.#process = process;
    this.#isInputOpen = isInputOpen;
    this.#exit = Promise.all([
      process.status,
      this.#gather(process.stdout, this.stdout),
      this.#gather(process.stderr, this.stderr),
    ]).then(([{ code, signal }]) => ({ code, signal }));
  }

  get pid(): number {
    return this.#process.pid;
  }

  /**
   * The first line on either output, printed already or to come, that matches; with its groups.
   *
   * @throws {Error} The process ended, or the deadline passed, without such a line.
   */
  async line(pattern: RegExp, deadlineMs = DEADLINE_MS): Promise<RegExpMatchArray> {
    const found = Promise.withResolvers<RegExpMatchArray>();
    const look = () => {
      for (const line of [...this.stdout, ...this.stderr]) {
        const match = line.match(pattern);
        if (match !== null) found.resolve(match);
      }
    };
    const fail = (reason: string) =>
      found.reject(new Error(`No line ${pattern} ${reason}; printed was:\n${this.#output()}`));
    const timer = setTimeout(() => fail(`within ${deadlineMs} ms`), deadlineMs);
    this.#exit.then(({ code, signal }) => fail(`before the end (${signal ?? `code ${code}`})`));
    this.#waiting.add(look);
    look();
    try {
      return await found.promise;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(look);
    }
  }

  /**
   * How the process ends, once it has and all its lines are there.
   *
   * @throws {Error} The deadline passed first.
   */
  async exit(deadlineMs = DEADLINE_MS): Promise<Exit> {
    const late = Promise.withResolvers<never>();
    const fail = () =>
      late.reject(new Error(`No end within ${deadlineMs} ms; printed was:\n${this.#output()}`));
    const timer = setTimeout(fail, deadlineMs);
    try {
      return await Promise.race([this.#exit, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Sends a signal; does nothing when the process has ended. */
  kill(signal: Deno.Signal): void {
    killIfAlive(this.#process, signal);
  }

  /** Ends the standard input of a process that was started with it piped. */
  async closeInput(): Promise<void> {
    await this.#process.stdin.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill("SIGKILL");
    await this.#exit;
    if (this.#isInputOpen) await this.#process.stdin.close().catch(() => {});
  }

  #gather(output: ReadableStream<Uint8Array<ArrayBuffer>>, lines: string[]): Promise<void> {
    return forEachLine(output, (line) => {
      lines.push(line);
      for (const look of this.#waiting) look();
    });
  }

  #output(): string {
    return [...this.stdout, ...this.stderr].join("\n");
  }
}

/** Whether a process of this id exists. */
export function isAlive(pid: number): boolean {
  try {
    Deno.kill(pid, 0 as unknown as Deno.Signal);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/**
 * Waits until `condition` holds, looking every few milliseconds.
 *
 * @throws {Error} The deadline passed first; names what was waited for.
 */
export async function waitFor(
  what: string,
  condition: () => boolean | Promise<boolean>,
  deadlineMs = DEADLINE_MS,
): Promise<void> {
  const endMs = performance.now() + deadlineMs;
  while (!await condition()) {
    if (performance.now() > endMs) throw new Error(`Not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Writes the config of a cluster on free ports, with its data beside it, into a directory. */
export async function writeFreeConfig(
  directory: string,
  nodeCount: number,
): Promise<{ file: string; config: ClusterConfig }> {
  const config = freeConfig(directory, nodeCount);
  const file = join(directory, "cluster.json");
  await Deno.writeTextFile(file, JSON.stringify(config));
  return { file, config };
}

/** Makes `path` a symbolic link to `target`. `Deno.symlink` would take permission for all files. */
export async function makeLink(path: string, target: string): Promise<void> {
  const { success } = await new Deno.Command("ln", { args: ["-s", target, path] }).output();
  if (!success) throw new Error(`Cannot make "${path}" a link to "${target}"`);
}
