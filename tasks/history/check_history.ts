/**
 * The whole proof over a history: each write once, and one order that explains all answers.
 *
 * With a read of every key at the end of the history this covers what is promised: an acknowledged
 * write that nothing overwrote is what that read must show, so a lost one has no order, and neither
 * has one that was applied twice, because some answer shows its value a second time.
 *
 * @module
 */

import { checkLogOrder, mergeAttempts } from "./exactly_once.ts";
import type { Operation } from "./history.ts";
import { checkLinearizable } from "./linearizability.ts";
import type { Violation } from "./violation.ts";

export interface CheckOptions {
  /** The node that owns a key: positions in a log are compared within one node. */
  readonly ownerOf: (key: string) => string | number;
}

/** Everything that is wrong with a history, at most one violation a key for want of an order. */
export function checkHistory(
  operations: Iterable<Operation>,
  { ownerOf }: CheckOptions,
): Violation[] {
  const merged = mergeAttempts(operations);
  return [
    ...merged.violations,
    ...checkLinearizable(merged.operations),
    ...checkLogOrder(merged.operations, ownerOf),
  ];
}
