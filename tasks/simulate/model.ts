/**
 * What a node must be, by its log alone: the rules of the store and of the sessions in their
 * plainest form, written a second time so that a mistake in the first is seen.
 *
 * @module
 */
import { CommandCursor } from "../../lib/command_codec.ts";
import { type Command, CommandKind, Outcome, type Result } from "../../lib/key_value.ts";
import { SESSION_WINDOW } from "../../lib/limits.ts";
import { decodeUtf8 } from "../../lib/utf8.ts";
import { BATCH_HEADER_BYTES } from "../../node/batch.ts";
import { quote } from "../history/violation.ts";
import type { RecordedBatch } from "./log_record.ts";

/** A write that was applied, with its result. */
interface Applied {
  readonly command: Command;
  readonly result: Result;
}

interface Session {
  top: number;
  /** By sequence number. */
  readonly applied: Map<number, Applied>;
}

const STALE: Result = { outcome: Outcome.stale, logIndex: 0, prevValue: null };

/** A node that remembers everything. */
export class Model {
  readonly #values = new Map<string, string>();
  readonly #sessions = new Map<string, Session>();

  /** Applies the commands of a batch. */
  apply({ body, firstIndex }: RecordedBatch): void {
    let index = firstIndex;
    for (const command of commandsOf(body)) this.#applyOne(command, index++);
  }

  #applyOne(command: Command, logIndex: number): void {
    const { kind, client, seq, key, value } = command;
    const session: Session = this.#sessions.get(client) ?? { top: 0, applied: new Map() };
    this.#sessions.set(client, session);
    if (seq <= session.top - SESSION_WINDOW) return;
    if (session.applied.has(seq)) return;
    const prevValue = this.#values.get(key) ?? "";
    if (kind === CommandKind.put) this.#values.set(key, value);
    else this.#values.delete(key);
    session.top = Math.max(session.top, seq);
    session.applied.set(seq, {
      command,
      result: { outcome: Outcome.applied, logIndex, prevValue },
    });
  }

  /** What is wrong with a result that a client got for `command`; null if nothing is. */
  contradicts(command: Command, result: Result): string | null {
    const expected = this.#expected(command, result.outcome);
    if (expected === null) {
      return `${nameOf(command)} was answered with ${formatResult(result)}, which cannot be`;
    }
    // Over HTTP a refusal has no position.
    const logIndex = result.outcome === Outcome.stale ? result.logIndex : expected.logIndex;
    if (logIndex === result.logIndex && expected.prevValue === result.prevValue) return null;
    return `${nameOf(command)} was answered with ${formatResult(result)}, ` +
      `expected ${formatResult(expected)}`;
  }

  /** The only result of `command` with this outcome; null if there is none. */
  #expected(command: Command, outcome: Outcome): Result | null {
    const session = this.#sessions.get(command.client);
    if (outcome === Outcome.stale) {
      // Not only what stands in the log: a node whose disk is full refuses as stale all the same.
      return session !== undefined && command.seq <= session.top - SESSION_WINDOW ? STALE : null;
    }
    const applied = session?.applied.get(command.seq);
    if (applied === undefined) return null;
    const differs = outcome === Outcome.mismatch;
    return differs === isSame(applied.command, command) ? null : applied.result;
  }
}

function formatResult({ outcome, logIndex, prevValue }: Result): string {
  const name = Object.entries(Outcome).find(([, number]) => number === outcome)?.[0];
  const before = prevValue === null ? "forgotten" : quote(prevValue);
  return `${name}, logIndex ${logIndex}, prevValue ${before}`;
}

function* commandsOf(body: Uint8Array): Generator<Command> {
  const cursor = new CommandCursor(body);
  for (let start = BATCH_HEADER_BYTES; start < body.length; start = cursor.end) {
    cursor.moveTo(start, body.length);
    const { kind, seq, clientStart, keyStart, valueStart, end } = cursor;
    yield {
      kind: kind as CommandKind,
      client: decodeUtf8(body, clientStart, keyStart),
      seq,
      key: decodeUtf8(body, keyStart, valueStart),
      value: decodeUtf8(body, valueStart, end),
    };
  }
}

function isSame(one: Command, other: Command): boolean {
  return one.kind === other.kind && one.key === other.key && one.value === other.value;
}

function nameOf({ client, seq }: Command): string {
  return `seq ${seq} of ${client}`;
}
