/**
 * Medians and percentiles of a handful of figures.
 *
 * @module
 */

/**
 * The middle one of `figures` by size; of an even number the mean of the two in the middle.
 *
 * @throws {RangeError} There are none.
 */
export function median(figures: readonly number[]): number {
  if (figures.length === 0) throw new RangeError("Cannot take the median of 0 figures");
  const sorted = figures.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * The smallest of `sorted` that at least a `share` (0 to 1) of them do not pass.
 *
 * @throws {RangeError} There are none.
 */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  if (sorted.length === 0) throw new RangeError("Cannot take a percentile of 0 figures");
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)];
}
