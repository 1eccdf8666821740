/**
 * The report of a torture as text.
 *
 * @module
 */

import type { Violation } from "../history/violation.ts";
import type { Report } from "./report.ts";
import type { InflictedFault } from "./target_cluster.ts";

/** All that a torture has to say at its end. */
export interface TortureResult {
  readonly faults: readonly InflictedFault[];
  readonly operations: number;
  readonly acknowledgedWrites: number;
  readonly violations: readonly Violation[];
  /** Keys that were there before the load, and those of them that are not there any more. */
  readonly keptKeys: number;
  readonly lostKeys: number;
  /** Ends of processes that nobody asked for. */
  readonly unexpected: readonly string[];
  readonly report: Report;
}

/** Whether every promise was kept. */
export function isKept({ violations, lostKeys, unexpected, report }: TortureResult): boolean {
  return violations.length === 0 && lostKeys === 0 && unexpected.length === 0 &&
    report.errors.healthy === 0;
}

/** Lines for the end of the run. */
export function formatResult(result: TortureResult): string {
  const { faults, report: { errors, readyAgainMs, servedAgainMs, shards } } = result;
  const count = (kind: InflictedFault["kind"]) => faults.filter((fault) => fault.kind === kind);
  const kind = (name: Violation["kind"]) =>
    result.violations.filter((violation) => violation.kind === name).length;
  const others = result.violations.length - kind("lost") - kind("doubled");
  const rows: [string, string][] = [
    ["kills", formatFaults(count("kill"))],
    ["pauses", formatFaults(count("pause"))],
    [
      "operations",
      `${format(result.operations)}, ${format(result.acknowledgedWrites)} of them ` +
      `acknowledged writes`,
    ],
    ["lost", format(kind("lost") + result.lostKeys)],
    ["doubled", format(kind("doubled"))],
    ["other wrong answers", format(others)],
    [
      "keys from before",
      `${format(result.keptKeys - result.lostKeys)} of ` +
      `${format(result.keptKeys)} are there`,
    ],
    ["errors on healthy shards", format(errors.healthy)],
    [
      "errors on hurt shards",
      `${format(errors.hurt)} through the router, ` +
      `${format(errors.straight)} straight to the node`,
    ],
    ["errors of a hurt router", format(errors.router)],
    ["unexpected ends", format(result.unexpected.length)],
    ["ready again after a kill", formatTimes(readyAgainMs)],
    ["served again after a kill", formatTimes(servedAgainMs)],
  ];
  const lines = rows.map(([name, value]) => `${name.padEnd(26)}${value}`);
  return [...lines, "", ...formatShards(shards), ...result.unexpected].join("\n");
}

function formatFaults(faults: readonly InflictedFault[]): string {
  const ofRouter = faults.filter(({ target }) => target === "router").length;
  return `${faults.length}: ${faults.length - ofRouter} of nodes, ${ofRouter} of the router`;
}

/** @param times Shortest first. */
function formatTimes(times: readonly number[]): string {
  if (times.length === 0) return "not measured";
  const at = (share: number) => formatMs(times[Math.ceil(share * times.length) - 1]);
  const late = times.filter((ms) => ms > 1000).length;
  return `median ${at(0.5)}, p90 ${at(0.9)}, longest ${at(1)}; ` +
    `${late} of ${times.length} took more than 1 s`;
}

function formatShards(shards: Report["shards"]): string[] {
  const head = ["shard", "kills", "pauses", "longest gap: hurt", "router hurt", "healthy"];
  const rows = shards.map((shard) => [
    shard.id,
    `${shard.kills}`,
    `${shard.pauses}`,
    formatMs(shard.longestHurtMs),
    formatMs(shard.longestRouterMs),
    formatMs(shard.longestHealthyMs),
  ]);
  return [head, ...rows].map((row) =>
    row.map((cell, i) => cell.padStart(head[i].length)).join("  ").trimEnd()
  );
}

function formatMs(ms: number): string {
  return Number.isFinite(ms) ? `${format(Math.round(ms))} ms` : "never";
}

function format(count: number): string {
  return count.toLocaleString("en");
}
