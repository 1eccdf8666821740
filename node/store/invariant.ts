/**
 * The assertion that the `check()` methods of tables, arenas and sessions are made of.
 *
 * @module
 */

/** @throws {Error} `what` is not as expected. */
export function expectEqual(what: string, actual: number, expected: number): void {
  if (actual !== expected) {
    throw new Error(`Broken invariant: ${what} is ${actual}, expected ${expected}`);
  }
}
