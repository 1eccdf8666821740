/**
 * What a checker found, in words.
 *
 * @module
 */

import type { Answer, Operation } from "./history.ts";

/**
 * - `lost`: an acknowledged write is not there.
 * - `doubled`: a write was applied more than once.
 * - `stale read`: a read shows what was overwritten before the read was sent; a later operation
 *   shows that the newer value is not lost.
 * - `phantom`: a value that nobody wrote, or not yet.
 * - `log order`: positions in the log of a node contradict each other or the order of events.
 * - `no order`: none of the above alone, but no order of the operations explains all answers.
 */
export type ViolationKind =
  | "lost"
  | "doubled"
  | "stale read"
  | "phantom"
  | "log order"
  | "no order";

/** A history that no correct store can have. */
export interface Violation {
  readonly kind: ViolationKind;
  readonly key: string;
  /** In a sentence. */
  readonly summary: string;
  /** The operations that contradict each other, in the order in which they were sent. */
  readonly story: readonly Operation[];
}

/** Several lines: what went wrong, and the operations that show it. */
export function formatViolation({ kind, key, summary, story }: Violation): string {
  const times = story.map(({ invokedAt, completedAt }) =>
    `${formatTime(invokedAt)} to ${formatTime(completedAt)}`
  );
  const width = Math.max(...times.map((time) => time.length));
  const lines = story.map((operation, i) =>
    `  ${times[i].padStart(width)}  ${formatOperation(operation)}`
  );
  return [`${kind}: key ${quote(key)}: ${summary}`, ...lines].join("\n");
}

/** Such as `c1 seq 5 put "v": prevValue "", logIndex 7`. */
export function formatOperation({ client, kind, seq, value, answer }: Operation): string {
  const what = kind === "get" ? kind : `seq ${seq} ${kind}`;
  return `${client} ${what}${kind === "put" ? ` ${quote(value)}` : ""}: ${formatAnswer(answer)}`;
}

function formatAnswer(answer: Answer): string {
  switch (answer.kind) {
    case "read":
      return answer.value === null ? "no value" : quote(answer.value);
    case "written": {
      const { prevValue, logIndex, duplicate } = answer;
      const before = prevValue === null ? "forgotten" : quote(prevValue);
      return `prevValue ${before}, logIndex ${logIndex}${duplicate ? ", duplicate" : ""}`;
    }
    case "unknown":
      return "no answer that tells";
    case "refused":
      return "refused";
  }
}

function formatTime(time: number): string {
  return Number.isFinite(time) ? `${Math.round(time * 1000) / 1000}` : "?";
}

/** Text in quotes, cut short when it is long. */
export function quote(text: string): string {
  return JSON.stringify(text.length <= 60 ? text : `${text.slice(0, 59)}…`);
}
