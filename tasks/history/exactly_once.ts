/**
 * Each write once: what its own answers say, and what the positions in the logs say.
 *
 * A write that is sent several times is one write. It takes effect at one moment, between the first
 * time that it was sent and the first time that it was acknowledged, and all its answers are the
 * same. Two writes of one node never have the same position in its log, and a write that was sent
 * after another was acknowledged stands after it.
 *
 * @module
 */

import { type Acknowledged, isAcknowledged, type Operation } from "./history.ts";
import { formatOperation, type Violation } from "./violation.ts";

/** The operations with each write in it once, and what the answers to repeated ones contradict. */
export interface Merged {
  /** Without those that had no effect and told nothing. */
  readonly operations: Operation[];
  readonly violations: Violation[];
}

/**
 * Makes one operation out of all with the same client and `seq`.
 *
 * @throws {RangeError} A client used a `seq` for two different writes: the test has a bug.
 */
export function mergeAttempts(operations: Iterable<Operation>): Merged {
  const merged: Operation[] = [];
  const attempts = new Map<string, Operation[]>();
  for (const operation of operations) {
    if (operation.answer.kind === "refused") continue;
    if (operation.kind === "get") {
      if (operation.answer.kind === "read") merged.push(operation);
      continue;
    }
    const id = `${operation.seq} ${operation.client}`;
    const others = attempts.get(id);
    if (others === undefined) attempts.set(id, [operation]);
    else others.push(operation);
  }
  const violations: Violation[] = [];
  for (const writes of attempts.values()) {
    merged.push(writes.length === 1 ? writes[0] : mergeWrites(writes, violations));
  }
  return { operations: merged, violations };
}

function mergeWrites(attempts: Operation[], violations: Violation[]): Operation {
  const [first] = attempts;
  const other = attempts.find((one) => !isSameWrite(first, one));
  if (other !== undefined) {
    throw new RangeError(
      `History has two writes with one seq: ${formatOperation(first)}; ${formatOperation(other)}`,
    );
  }
  const answered = attempts.filter(isAcknowledged)
    .toSorted((one, other) => one.completedAt - other.completedAt);
  for (const later of answered.slice(1)) {
    const summary = contradiction(answered[0], later);
    if (summary === undefined) continue;
    violations.push({ kind: "doubled", key: first.key, summary, story: [answered[0], later] });
  }
  const invokedAt = Math.min(...attempts.map((attempt) => attempt.invokedAt));
  return { ...(answered[0] ?? first), invokedAt };
}

function isSameWrite(one: Operation, other: Operation): boolean {
  return one.kind === other.kind && one.key === other.key && one.value === other.value;
}

/** Why two answers to one write cannot both be right. */
function contradiction(first: Acknowledged, later: Acknowledged): string | undefined {
  const name = `seq ${first.seq} of ${first.client}`;
  const [before, after] = [first.answer, later.answer];
  if (before.logIndex !== after.logIndex) {
    return `${name} was acknowledged at logIndex ${before.logIndex} and at ${after.logIndex}`;
  }
  const prevValues = [before.prevValue, after.prevValue];
  if (!prevValues.includes(null) && prevValues[0] !== prevValues[1]) {
    return `${name} was acknowledged with two different prevValues`;
  }
  if (!after.duplicate && first.completedAt < later.invokedAt) {
    return `${name} was sent again after it was acknowledged, and not known as a duplicate`;
  }
}

/**
 * Positions in the logs that cannot be. Each write must be in `operations` once.
 *
 * @param ownerOf The node that owns a key.
 */
export function checkLogOrder(
  operations: readonly Operation[],
  ownerOf: (key: string) => string | number,
): Violation[] {
  const logs = Map.groupBy(operations.filter(isAcknowledged), ({ key }) => ownerOf(key));
  return [...logs].flatMap(([owner, writes]) => checkLog(owner, writes));
}

function checkLog(owner: string | number, writes: Acknowledged[]): Violation[] {
  const violations: Violation[] = [];
  const report = (summary: string, ...story: Acknowledged[]) => {
    violations.push({ kind: "log order", key: story[1].key, summary, story });
  };
  writes.sort((one, other) => one.answer.logIndex - other.answer.logIndex);
  let latest: Acknowledged | undefined; // of those that stand before, the one that was sent last
  for (const [i, write] of writes.entries()) {
    const { logIndex } = write.answer;
    const previous = writes[i - 1];
    if (previous?.answer.logIndex === logIndex) {
      report(`two writes of node ${owner} have logIndex ${logIndex}`, previous, write);
    } else if (latest !== undefined && write.completedAt < latest.invokedAt) {
      report(
        `seq ${latest.seq} of ${latest.client} was sent after seq ${write.seq} of ` +
          `${write.client} was acknowledged, but stands before it in the log of node ${owner}`,
        write,
        latest,
      );
    }
    if (latest === undefined || write.invokedAt > latest.invokedAt) latest = write;
  }
  return violations;
}
