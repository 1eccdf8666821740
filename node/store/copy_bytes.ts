/**
 * Copies between arrays of bytes, where most pieces are short, such as keys.
 *
 * @module
 */

/** Up to here a loop copies as fast as a native function, and needs no view of the source. */
const LOOP_LENGTH_MAX = 128;

/** Copies `from[start]` to `from[end - 1]` to `to`, from `offset` on. */
export function copyBytes(
  from: Uint8Array,
  start: number,
  end: number,
  to: Uint8Array,
  offset: number,
): void {
  if (end - start > LOOP_LENGTH_MAX) {
    to.set(from.subarray(start, end), offset);
  } else {
    for (let at = start; at < end; at++) to[offset + at - start] = from[at];
  }
}
