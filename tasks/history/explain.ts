/**
 * Puts a name to a contradiction: which operation cannot be, and what that says about the store.
 *
 * That the history is wrong is proven before; the name is a judgement from the operation that fits
 * nowhere and the write that it contradicts. A value that comes back, for one, is a newer write
 * lost or an older one applied again, and which of the two is told by who had seen the newer one.
 *
 * @module
 */

import { isAcknowledged, type Operation } from "./history.ts";
import { shown, type Step } from "./search.ts";
import type { Contradiction } from "./shrink.ts";
import { quote, type Violation, type ViolationKind } from "./violation.ts";

/** What is wrong with a key, from all that happened to it, and the story that shows it. */
export function explain(key: string, all: readonly Operation[], found: Contradiction): Violation {
  const { operation } = found.stuck;
  const value = shown(operation);
  const writers = value === undefined ? [] : all.filter((other) => leaves(other, value));
  const overwriter = value === undefined ? undefined : findOverwriter(operation, value, all);
  const { kind, summary } = judge(operation, { value, writers, overwriter, all });
  // Writes whose answers were forgotten, to no avail, would only be in the way of the reader.
  const isTold = ({ role, operation }: Step) => role !== "unknown" || !isAcknowledged(operation);
  const story = new Set(found.steps.filter(isTold).map((step) => step.operation));
  if (value) { for (const writer of writers.slice(0, 2)) story.add(writer); }
  if (overwriter !== undefined) story.add(overwriter);
  const inOrder = [...story].sort((one, other) => one.invokedAt - other.invokedAt);
  return { kind, key, summary, story: inOrder };
}

interface Circumstances {
  /** What the operation shows to have been there; undefined if nothing. */
  readonly value: string | null | undefined;
  /** Who wrote that. */
  readonly writers: readonly Operation[];
  /** Who replaced it before the operation was sent, or answered that it did. */
  readonly overwriter?: Operation;
  /** All operations on the key. */
  readonly all: readonly Operation[];
}

interface Judgement {
  readonly kind: ViolationKind;
  readonly summary: string;
}

function judge(operation: Operation, circumstances: Circumstances): Judgement {
  const { value, overwriter } = circumstances;
  if (value === undefined) {
    return { kind: "no order", summary: `${nameOf(operation)} fits nowhere among the others` };
  }
  const shows = `${nameOf(operation)} shows ${value === null ? "no value" : quote(value)}`;
  const origin = value ? judgeOrigin(operation, shows, circumstances) : undefined;
  if (origin !== undefined) return origin;
  if (overwriter === undefined) {
    return { kind: "no order", summary: `${shows}, and no order of the others explains that` };
  }
  const summary = `${shows}, although ${nameOf(overwriter)} had replaced it`;
  return { kind: judgeReplaced(operation, overwriter, circumstances), summary };
}

/** Whether the value that an operation shows can come from one of its writers at all. */
function judgeOrigin(
  operation: Operation,
  shows: string,
  { writers }: Circumstances,
): Judgement | undefined {
  if (writers.length === 0) return { kind: "phantom", summary: `${shows}, which nobody wrote` };
  const earlier = writers.filter((writer) => writer.invokedAt <= operation.completedAt);
  if (earlier.length === 0) {
    return { kind: "phantom", summary: `${shows} before anybody wrote it` };
  }
  if (earlier.some((writer) => writer !== operation)) return undefined;
  return { kind: "doubled", summary: `${shows}, its own, as the value before it` };
}

/** What an operation proves that shows a value which had been replaced. */
function judgeReplaced(
  operation: Operation,
  overwriter: Operation,
  { value, all }: Circumstances,
): ViolationKind {
  if (operation.kind === "get") {
    const isThere = (newer: string | null | undefined) =>
      newer && newer !== value &&
      all.some((other) => leaves(other, newer) && other.completedAt < operation.invokedAt);
    const isNewerSeen = all.some((other) =>
      other.invokedAt >= operation.completedAt && isThere(shown(other))
    );
    return isNewerSeen ? "stale read" : "lost";
  }
  const wasSeen = overwriter.kind === "put" &&
    all.some((other) => shown(other) === overwriter.value);
  return wasSeen && isLaterInLog(operation, overwriter) ? "doubled" : "lost";
}

/** The acknowledged write that took the place of the value that an operation shows. */
function findOverwriter(
  operation: Operation,
  value: string | null,
  all: readonly Operation[],
): Operation | undefined {
  const others = all.filter((other) =>
    other !== operation && isAcknowledged(other) && !leaves(other, value)
  );
  const twin = value ? others.find((other) => shown(other) === value) : undefined;
  if (twin !== undefined) return twin;
  const written = all.filter((other) =>
    leaves(other, value) && other.completedAt < operation.invokedAt
  ).reduce((latest, { completedAt }) => Math.max(latest, completedAt), -Infinity);
  return others.findLast((other) =>
    other.completedAt <= operation.invokedAt && other.invokedAt >= written
  );
}

/** Whether a register may hold `value` after an operation: `null` and `""` are one here. */
function leaves({ kind, value }: Operation, wanted: string | null): boolean {
  return kind === "put" ? value === (wanted ?? "") : kind === "delete" && !wanted;
}

function isLaterInLog(one: Operation, other: Operation): boolean {
  return isAcknowledged(one) && isAcknowledged(other) &&
    one.answer.logIndex > other.answer.logIndex;
}

function nameOf({ client, kind, seq }: Operation): string {
  return kind === "get" ? `a read of ${client}` : `seq ${seq} of ${client}`;
}
