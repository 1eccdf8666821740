/**
 * What the `check()` of a structure asserts.
 *
 * @module
 */

/** @throws {Error} What is counted and what was counted differ. */
export function expectEqual(what: string, actual: number, expected: number): void {
  if (actual !== expected) {
    throw new Error(`Broken invariant: ${what} is ${actual}, expected ${expected}`);
  }
}
