/**
 * What `simulate` prints.
 *
 * @module
 */
import { type Fault, formatFault, type Plan } from "./plan.ts";
import type { Shrunk } from "./shrink.ts";
import type { RunResult } from "./simulation.ts";
import type { FaultKind } from "./world.ts";

/** Lines of the trace that a story ends with. */
const STORY_LINES = 60;

/** Adds up the runs. */
export class Tally {
  runs = 0;
  #simulatedMs = 0;
  #operations = 0;
  readonly #faults = new Map<FaultKind, number>();

  add({ simulatedMs, operations, faults }: RunResult): void {
    this.runs++;
    this.#simulatedMs += simulatedMs;
    this.#operations += operations;
    for (const [kind, count] of faults) {
      this.#faults.set(kind, (this.#faults.get(kind) ?? 0) + count);
    }
  }

  /** In a line. */
  progress(tookMs: number): string {
    const perSecond = (this.runs / tookMs * 1000).toFixed(1);
    return `${this.runs} runs, ${perSecond} a second, every promise kept`;
  }

  /** All of it; `tookMs` is how long the runs took. */
  format(tookMs: number): string {
    const faults = [...this.#faults].sort(([, one], [, other]) => other - one);
    const total = faults.reduce((sum, [, count]) => sum + count, 0);
    const width = String(total).length;
    const perSecond = (this.runs / tookMs * 1000).toFixed(1);
    return [
      `runs            ${this.runs} in ${formatTime(tookMs)}, ${perSecond} a second`,
      `simulated time  ${formatTime(this.#simulatedMs)}`,
      `operations      ${this.#operations}`,
      `faults          ${total}`,
      ...faults.map(([kind, count]) => `  ${String(count).padStart(width)}  ${kind}`),
    ].join("\n");
  }
}

function formatTime(ms: number): string {
  const seconds = ms / 1000;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  const hours = seconds / 3600;
  return hours < 2 ? `${(seconds / 60).toFixed(1)} min` : `${hours.toFixed(1)} h`;
}

/** How a run failed, by what is left of it: who did what, and the end of its trace. */
export function formatStory(original: Plan, { plan, result }: Shrunk): string {
  const lines = result.trace.lines;
  const left = `${sizeOf(plan)}, of ${sizeOf(original)}`;
  return [
    `seed ${plan.seed} breaks a promise: ${result.problem}`,
    "",
    original === plan ? `what was in it: ${sizeOf(plan)}` : `what is left of it: ${left}`,
    `  ${plan.nodes} nodes, ${plan.keys} keys, segments of ${plan.segmentBytes} bytes`,
    ...plan.clients.map(({ name, operations, inFlight, routes }) =>
      `  client ${name}: ${operations} operations, ${inFlight} at once, by ${
        [...new Set(routes)].join(", ")
      }`
    ),
    ...plan.faults.map((fault: Fault) => `  ${formatFault(fault)}`),
    "",
    `the last ${Math.min(STORY_LINES, lines.length)} of ${lines.length} lines of its trace (ms):`,
    ...lines.slice(-STORY_LINES),
    "",
    `replay it: deno task simulate --seed ${plan.seed} --runs 1`,
  ].join("\n");
}

function sizeOf({ faults, clients }: Plan): string {
  const operations = clients.reduce((sum, client) => sum + client.operations, 0);
  return `${faults.length} faults, ${clients.length} clients, ${operations} operations`;
}
