/**
 * Linearizability of a register whose writes answer with the value that they overwrote: whether the
 * operations on each key, as each took effect at one moment between its call and its answer, can
 * stand in one order that explains all the answers.
 *
 * Keys are independent of each other, so each is looked at by itself (Herlihy and Wing 1990: a
 * history is linearizable if that of each object is). {@linkcode findStuck} is the algorithm. A key
 * that is in no order is explained by the smallest part of its history that is not.
 *
 * @module
 */

import { explain } from "./explain.ts";
import type { Operation } from "./history.ts";
import { findStuck, type Step } from "./search.ts";
import { shrink } from "./shrink.ts";
import type { Violation } from "./violation.ts";

/** How many keys are explained; explaining takes longer than finding. */
const EXPLAINED_MAX = 10;

/**
 * The keys whose operations are in no order, the first {@linkcode EXPLAINED_MAX} of them.
 *
 * @param operations Each write once: see `mergeAttempts`. Reads without an answer and refused
 * operations are passed over.
 */
export function checkLinearizable(operations: Iterable<Operation>): Violation[] {
  const violations: Violation[] = [];
  for (const [key, ofKey] of Map.groupBy(operations, ({ key }) => key)) {
    const steps = ofKey.flatMap(stepOf);
    const stuck = findStuck(steps, true);
    if (stuck === undefined) continue;
    violations.push(explain(key, ofKey, shrink(steps, stuck)));
    if (violations.length === EXPLAINED_MAX) break;
  }
  return violations;
}

function stepOf(operation: Operation): Step[] {
  const { kind, answer } = operation;
  if (answer.kind === "refused") return [];
  if (answer.kind !== "unknown") return [{ operation, role: "answered" }];
  return kind === "get" ? [] : [{ operation, role: "unknown" }];
}
