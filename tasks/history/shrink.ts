/**
 * Makes a history without an order as small as it can be without one.
 *
 * Operations are never just left out: without a write, a read of its value would be wrong for no
 * reason. Each step here only forgets something that is known, so that whatever has no order
 * afterwards had none before:
 *
 * - what was sent after the first answer that cannot be is left out, and later answers need not
 *   have come;
 * - the operations that were done before some moment are left out, and the register may hold any
 *   value then;
 * - a read is left out; a write need not have taken effect, and its answer is not known.
 *
 * @module
 */

import { findStuck, shownBy, type Step } from "./search.ts";

/** A smallest part without an order, and the operation that does not fit. */
export interface Contradiction {
  readonly steps: readonly Step[];
  readonly stuck: Step;
}

/** What is left of `steps`, which have no order: the search never got past `near`. */
export function shrink(steps: readonly Step[], near: Step): Contradiction {
  const { prefix, stuck } = findPrefix(steps, near);
  const { window, isFromStart } = findWindow(prefix, stuck);
  const part = weaken(window, isFromStart);
  const values = new Set(part.map(shownBy));
  if (values.has("")) values.add(null); // a prevValue does not tell them apart
  const isOfUse = ({ operation: { kind, value }, role }: Step) =>
    role !== "unknown" || values.has(kind === "put" ? value : null);
  return { steps: part.filter(isOfUse), stuck };
}

/** As much as had no order first, and the step whose answer made it impossible. */
function findPrefix(
  steps: readonly Step[],
  near: Step,
): { prefix: readonly Step[]; stuck: Step } {
  const answered = steps.filter(({ role }) => role === "answered")
    .sort((one, other) => one.operation.completedAt - other.operation.completedAt);
  // Nothing before `near` is impossible by itself: the search got there.
  let [low, high] = [answered.indexOf(near), answered.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    const prefix = endAt(steps, answered[middle].operation.completedAt);
    if (findStuck(prefix, true) === undefined) low = middle + 1;
    else high = middle;
  }
  const stuck = answered[high];
  return { prefix: endAt(steps, stuck.operation.completedAt), stuck };
}

/** What was known at a moment: nothing that was sent later, and no answer that came later. */
function endAt(steps: readonly Step[], time: number): Step[] {
  return steps.flatMap((step) => {
    const { invokedAt, completedAt, kind } = step.operation;
    if (invokedAt > time) return [];
    if (completedAt <= time || step.role === "unknown") return [step];
    return kind === "get" ? [] : [{ ...step, role: "pending" } as const];
  });
}

interface Window {
  readonly window: readonly Step[];
  readonly isFromStart: boolean;
}

/** The few steps before one that have no order whatever was before; else all. */
function findWindow(steps: readonly Step[], stuck: Step): Window {
  const starts = steps.filter(({ role }) => role !== "unknown")
    .map(({ operation }) => operation.invokedAt).sort((one, other) => one - other);
  const first = starts.indexOf(stuck.operation.invokedAt);
  for (let reach = 1; reach <= first; reach *= 2) {
    const window = startAt(steps, starts[first - reach]);
    if (findStuck(window, false) !== undefined) return { window, isFromStart: false };
  }
  return { window: steps, isFromStart: true };
}

/** What may take effect after a moment at which nothing is known of the register. */
function startAt(steps: readonly Step[], time: number): Step[] {
  return steps.flatMap((step) => {
    const { invokedAt, completedAt, kind } = step.operation;
    if (invokedAt >= time || step.role === "unknown") return [step];
    if (completedAt < time || kind === "get") return [];
    return [{ ...step, role: "pending" } as const];
  });
}

/** Forgets as many steps as possible: many at once first, then fewer, in the end one by one. */
function weaken(steps: readonly Step[], isFromStart: boolean): readonly Step[] {
  let best = steps;
  for (let size = best.length >> 1; size >= 1; size = size >> 1) {
    for (let end = best.length; end > 0; end -= size) {
      const start = Math.max(0, end - size);
      const part = best.flatMap((step, i) => i >= start && i < end ? forget(step) : [step]);
      if (part.length === best.length && part.every((step, i) => step === best[i])) continue;
      if (findStuck(part, isFromStart) !== undefined) best = part;
    }
  }
  return best;
}

function forget(step: Step): Step[] {
  if (step.role === "unknown") return [step];
  return step.operation.kind === "get" ? [] : [{ ...step, role: "unknown" }];
}
