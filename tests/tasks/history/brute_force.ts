/**
 * Linearizability by its definition: tries every order of a few operations.
 *
 * @module
 */

import type { Operation } from "../../../tasks/history/history.ts";

/** Whether operations on one key can stand in an order that explains all their answers. */
export function isLinearizable(operations: readonly Operation[]): boolean {
  return canGoOn(
    operations.filter(({ kind, answer }) =>
      answer.kind !== "refused" && !(kind === "get" && answer.kind === "unknown")
    ),
    null,
  );
}

/** Whether there is an order of the operations that are left, from the value `now` on. */
function canGoOn(left: readonly Operation[], now: string | null): boolean {
  if (left.every(({ answer }) => answer.kind === "unknown")) return true;
  return left.some((next) => {
    const others = left.filter((operation) => operation !== next);
    if (others.some((other) => other.completedAt < next.invokedAt)) return false;
    const { kind, value, answer } = next;
    if (answer.kind === "read" && answer.value !== now) return false;
    if (answer.kind === "written" && ![null, now ?? ""].includes(answer.prevValue)) return false;
    return canGoOn(others, kind === "get" ? now : kind === "put" ? value : null);
  });
}
