/**
 * Compares two servers on a machine whose speed drifts: one is measured right after the other, in
 * short slices, several times. Each pair of slices gives a ratio, and the median of the ratios is
 * the figure.
 *
 *     baseline  row   baseline  row   baseline  row
 *     └──── 0.62 ──┘  └──── 0.66 ──┘  └──── 0.64 ──┘   →  0.64 (0.62 to 0.66)
 *
 * @module
 */

import { median } from "./statistics.ts";
import { type LoadResult, rateOf } from "./workload.ts";

/** One slice of each server. */
export interface Pair {
  readonly baseline: LoadResult;
  readonly row: LoadResult;
}

/** What came of all slices. Figures other than the extremes are medians. */
export interface Comparison {
  /** Answers per second. */
  readonly rate: number;
  readonly baselineRate: number;
  /** Of the rate by the baseline's, pair by pair. */
  readonly ratio: number;
  readonly ratioMin: number;
  readonly ratioMax: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly baselineP50Ms: number;
  readonly baselineP99Ms: number;
  /** Of all slices, the baseline's included. Where there is one, the figures mean nothing. */
  readonly failures: number;
}

/** Measures pairs, the baseline first. */
export async function measurePairs(rounds: number, measure: {
  baseline: () => Promise<LoadResult>;
  row: () => Promise<LoadResult>;
}): Promise<Comparison> {
  const pairs: Pair[] = [];
  for (let round = 0; round < rounds; round++) {
    const baseline = await measure.baseline();
    pairs.push({ baseline, row: await measure.row() });
  }
  return compare(pairs);
}

/** Sums pairs up. There is at least one. */
export function compare(pairs: readonly Pair[]): Comparison {
  const medianOf = (figure: (pair: Pair) => number) => median(pairs.map(figure));
  const ratios = pairs.map(({ baseline, row }) => rateOf(row) / rateOf(baseline));
  return {
    rate: medianOf(({ row }) => rateOf(row)),
    baselineRate: medianOf(({ baseline }) => rateOf(baseline)),
    ratio: median(ratios),
    ratioMin: Math.min(...ratios),
    ratioMax: Math.max(...ratios),
    p50Ms: medianOf(({ row }) => row.p50Ms),
    p99Ms: medianOf(({ row }) => row.p99Ms),
    baselineP50Ms: medianOf(({ baseline }) => baseline.p50Ms),
    baselineP99Ms: medianOf(({ baseline }) => baseline.p99Ms),
    failures: pairs.reduce((sum, { baseline, row }) => sum + baseline.failures + row.failures, 0),
  };
}
