/**
 * What a person sees of the bench: a table that grows by a line with every figure, in 110 columns.
 *
 *                           conns    req/s   bare/s  ratio  range      goal            p50     p99
 *   GET, one node              64   52,345   80,123   0.65  0.61-0.70  0.65  reached   1.20    3.40
 *
 * @module
 */

import { bold, green, red, yellow } from "@std/fmt/colors";
import { formatSize } from "../size.ts";
import type { ManyKeysResult } from "./many_keys.ts";
import type { RestartResult } from "./restart.ts";
import { problemOf, type ProcessMemory, type RowResult } from "./rows.ts";
import type { SnapshotPausesResult } from "./snapshot_pauses.ts";
import { KEY_COUNT, VALUE_BYTES } from "./workload.ts";

type Style = (text: string) => string;

/** Widths of the columns; below 0 where cells stand at the left. */
const ROW_WIDTHS = [-26, 5, 7, 7, 5, -9, 4, -7, 6, 6, 6];
const ROW_HEAD = [
  "",
  "conns",
  "req/s",
  "bare/s",
  "ratio",
  "range",
  "goal",
  "",
  "p50",
  "p99",
  "syncs",
];
const VERDICT_COLUMN = 7;

const FIGURE_WIDTHS = [-42, 20, 20, -7];
const FIGURE_HEAD = ["", "figure", "goal", ""];

/** The head of the table of rows, with what its columns mean. */
export function formatRowHead(
  { rounds, sliceSeconds }: { rounds: number; sliceSeconds: number },
): string {
  const legend = `${VALUE_BYTES}-byte values, ${formatCount(KEY_COUNT)} keys, ` +
    `pairs of slices per figure: ${rounds}, each slice ${sliceSeconds} s\n` +
    "bare: a Deno.serve without a store, beside it; ratio: req/s by bare/s, median of " +
    "pairs\np50, p99: milliseconds; syncs: fsyncs per acknowledged write";
  return `${legend}\n\n${bold(alignCells(ROW_HEAD, ROW_WIDTHS))}`;
}

/** A line of the table of rows, and a second one where its figures mean nothing. */
export function formatRow(result: RowResult): string {
  const verdict = verdictOn(result.problem, result.ratio, result.goal);
  const cells = [
    result.title,
    `${result.connections}`,
    formatCount(result.rate),
    formatCount(result.baselineRate),
    result.ratio.toFixed(2),
    `${result.ratioMin.toFixed(2)}-${result.ratioMax.toFixed(2)}`,
    result.goal?.toFixed(2) ?? "",
    verdict.text,
    result.p50Ms.toFixed(2),
    result.p99Ms.toFixed(2),
    result.syncsPerWrite?.toFixed(3) ?? "",
  ];
  const line = alignCells(cells, ROW_WIDTHS, { column: VERDICT_COLUMN, style: verdict.style });
  return result.problem === undefined ? line : `${line}\n  ${red(result.problem)}`;
}

/** The table of what many keys do to a node. */
export function formatManyKeys(result: ManyKeysResult): string {
  const { get, put, replayRate, bytesPerKey, stallMs, emptyStallMs } = result;
  const speed = (ratio: number) => ratio.toFixed(2);
  const problem = problemOf(get.failures + put.failures);
  return [
    formatFigureHead(`${formatCount(result.keyCount)} keys on one node`),
    formatFigure(
      "replay of the log",
      `${formatCount(replayRate)}/s`,
      "at least 500,000/s",
      replayRate >= 500_000,
    ),
    formatFigure(
      "memory per key",
      `${formatCount(bytesPerKey)} B`,
      "at most 250 B",
      bytesPerKey <= 250,
    ),
    formatFigure("GET against 10,000 keys", speed(get.ratio), "at least 0.90", get.ratio >= 0.9),
    formatFigure("PUT against 10,000 keys", speed(put.ratio), "at least 0.90", put.ratio >= 0.9),
    formatFigure(
      `longest stall (of an empty node ${emptyStallMs.toFixed(1)} ms)`,
      `${stallMs.toFixed(1)} ms`,
      "at most 10 ms",
      stallMs <= 10,
    ),
    ...problem === undefined ? [] : [`  ${red(problem)}`],
  ].join("\n");
}

/** The table of what a snapshot does to requests. */
export function formatSnapshotPauses({ keyCount, waits, failures }: SnapshotPausesResult): string {
  const lines = waits.map(({ method, withoutMs, withMs, slices }) =>
    formatFigure(
      `${method.toUpperCase()}, ${slices} slices (without ${withoutMs.toFixed(1)} ms)`,
      `${withMs.toFixed(1)} ms`,
      "at most 20 ms more",
      withMs <= withoutMs + 20,
    )
  );
  const problem = problemOf(failures);
  return [
    formatFigureHead(`a snapshot of ${formatCount(keyCount)} keys, longest wait`),
    ...lines,
    ...problem === undefined ? [] : [`  ${red(problem)}`],
  ].join("\n");
}

/** The table of what many overwrites leave behind. */
export function formatRestart(result: RestartResult): string {
  const { writes, keyCount, snapshotBytes, logBytes, diskBytes, diskBytesGoal, startMs } = result;
  return [
    formatFigureHead(`${formatCount(writes)} overwrites of ${formatCount(keyCount)} keys`),
    formatFigure(
      `disk use (snapshot ${formatSize(snapshotBytes)}, log ${formatSize(logBytes)})`,
      formatSize(diskBytes),
      `at most ${formatSize(diskBytesGoal)}`,
      diskBytes <= diskBytesGoal,
    ),
    formatFigure(
      "start until it serves",
      `${formatCount(startMs)} ms`,
      "at most 1,000 ms",
      startMs <= 1000,
    ),
  ].join("\n");
}

function formatFigureHead(title: string): string {
  return bold(alignCells([title, ...FIGURE_HEAD.slice(1)], FIGURE_WIDTHS));
}

function formatFigure(title: string, figure: string, goal: string, isReached: boolean): string {
  const cells = [title, figure, goal, isReached ? "reached" : "missed"];
  return alignCells(cells, FIGURE_WIDTHS, { column: 3, style: isReached ? green : yellow });
}

/** Resident memory, a line for each process. */
export function formatMemory(processes: readonly ProcessMemory[]): string {
  const lines = processes.map(({ name, residentBytes }) => {
    const memory = residentBytes === undefined
      ? "unknown: no ps on the PATH"
      : formatSize(residentBytes);
    return alignCells([name, memory], FIGURE_WIDTHS);
  });
  return [bold("resident memory"), ...lines].join("\n");
}

function verdictOn(problem?: string, ratio = 0, goal?: number): { text: string; style?: Style } {
  if (problem !== undefined) return { text: "INVALID", style: red };
  if (goal === undefined) return { text: "" };
  return ratio >= goal ? { text: "reached", style: green } : { text: "missed", style: yellow };
}

/** Puts cells into columns. A style is applied last: what it adds takes no room on a terminal. */
function alignCells(
  cells: readonly string[],
  widths: readonly number[],
  styled?: { column: number; style?: Style },
): string {
  const aligned = cells.map((cell, column) => {
    const width = widths[column];
    const padded = width < 0 ? cell.padEnd(-width) : cell.padStart(width);
    return column === styled?.column && styled.style ? styled.style(padded) : padded;
  });
  return aligned.join("  ").trimEnd();
}

function formatCount(count: number): string {
  return Math.round(count).toLocaleString("en");
}
