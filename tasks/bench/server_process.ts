/**
 * Servers that run for a part of the bench: started as processes, ready when they say so, stopped
 * at the end of their scope.
 *
 * @module
 */

import { Failure } from "../subcommand.ts";
import { type Program, spawnProcess } from "../supervise/program.ts";
import { parseReadyLine } from "../supervise/ready_line.ts";
import { STOP_MS_MAX } from "../supervise/supervisor.ts";

/** A process that serves. */
export interface ServerProcess extends AsyncDisposable {
  readonly name: string;
  readonly pid: number;
}

/**
 * Starts a program and resolves when it prints its ready line.
 *
 * @throws {Failure} It ended instead; the message has what it printed last.
 * @throws The reason of `signal`.
 */
export async function startServer(program: Program, signal: AbortSignal): Promise<ServerProcess> {
  signal.throwIfAborted();
  const ready = Promise.withResolvers<Record<string, string>>();
  let lastLine = "no output";
  const child = spawnProcess(program, (line) => {
    lastLine = line;
    const facts = parseReadyLine(line);
    if (facts !== undefined) ready.resolve(facts);
  });
  const abort = () => ready.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  child.exit.then(({ code }) =>
    ready.reject(new Failure(`Server ${program.name} ended with code ${code}: ${lastLine}`))
  );
  const stop = async () => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
    await child.exit;
    clearTimeout(timer);
  };
  try {
    const { pid } = await ready.promise;
    return { name: program.name, pid: Number(pid), [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
