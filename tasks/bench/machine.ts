/**
 * What the figures were measured on.
 *
 * @module
 */

import { cpus } from "node:os";
import { formatSize } from "../size.ts";

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  /** Name and release. */
  readonly os: string;
  readonly deno: string;
}

export function describeMachine(): Machine {
  const cores = cpus();
  return {
    cpu: cores[0].model.trim(),
    cores: cores.length,
    memoryBytes: Deno.systemMemoryInfo().total,
    os: `${Deno.build.os} ${Deno.osRelease()}`,
    deno: Deno.version.deno,
  };
}

/** The machine and the program that loads it, in a line. */
export function formatMachine(machine: Machine, generator: string): string {
  const { cpu, cores, memoryBytes, os, deno } = machine;
  const memory = formatSize(memoryBytes);
  return `${cpu}, ${cores} cores, ${memory}, ${os}, Deno ${deno}, load from ${generator}`;
}
