/**
 * The state of one node: the store and the sessions. Commands change it in the order of the log and
 * in no other way, live and on replay, so the log alone decides what it is.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import type { CommandCursor } from "../lib/command_codec.ts";
import { ByteWriter } from "../lib/byte_writer.ts";
import { CommandKind, type EncodedResult, Outcome } from "../lib/key_value.ts";
import { Sessions, type SessionsOptions } from "./sessions/sessions.ts";
import { entryBytes, Table } from "./store/table.ts";

/** Keys, values and sessions of one node. */
export class Shard {
  readonly store: Table;
  readonly sessions: Sessions;
  readonly #key = new ByteWriter(256);

  constructor(options: SessionsOptions) {
    this.store = new Table(options);
    this.sessions = new Sessions(options);
  }

  /** The value of `key`, or null. */
  get(key: string): string | null {
    this.#key.clear();
    this.#key.text(key);
    const position = this.store.find(this.#key.buffer, 0, this.#key.length);
    return position === 0 ? null : this.store.valueText(position);
  }

  /** Appends the value of the key in `bytes` from `start` to `end`. False if there is none. */
  appendValue(bytes: Uint8Array, start: number, end: number, writer: ByteWriter): boolean {
    const position = this.store.find(bytes, start, end);
    if (position === 0) return false;
    this.store.appendValue(position, writer);
    return true;
  }

  /**
   * Applies the command that the log has at `index`. Whatever there is to decide is decided here,
   * from the command, its index and the state, and from nothing else.
   */
  apply(command: CommandCursor, index: number): Outcome {
    const { bytes, start, end, clientStart, keyStart, valueStart, seq } = command;
    const session = this.sessions.use(bytes, clientStart, keyStart);
    const fingerprint = crc32(bytes.subarray(start, end));
    const outcome = this.sessions.judge(session, seq, fingerprint);
    if (outcome !== Outcome.applied) return outcome;

    const before = this.store.find(bytes, keyStart, valueStart);
    this.sessions.remember(session, seq, index, fingerprint, this.store, before);
    if (command.kind === CommandKind.delete) {
      if (before !== 0) this.store.delete(bytes, keyStart, valueStart);
    } else if (before === 0 || !this.store.overwrite(before, bytes, valueStart, end)) {
      this.store.set(bytes, keyStart, valueStart, bytes, valueStart, end);
    }
    return outcome;
  }

  /** What {@linkcode apply} would make of a command now. Changes nothing. */
  #judge({ bytes, start, end, clientStart, keyStart, seq }: CommandCursor): Outcome {
    const session = this.sessions.find(bytes, clientStart, keyStart);
    if (session === 0) return Outcome.applied;
    return this.sessions.judge(session, seq, crc32(bytes.subarray(start, end)));
  }

  /** Bytes by which a command would enlarge the store if it were applied now; 0 if not at all. */
  growthOf(command: CommandCursor): number {
    if (command.kind === CommandKind.delete) return 0;
    if (this.#judge(command) !== Outcome.applied) return 0;
    const { bytes, keyStart, valueStart, end } = command;
    const position = this.store.find(bytes, keyStart, valueStart);
    const before = position === 0 ? 0 : this.store.entryBytes(position);
    return Math.max(0, entryBytes(valueStart - keyStart, end - valueStart) - before);
  }

  /**
   * The answer to a command that is not in the log, which {@linkcode apply} would not apply now; or
   * null if it would. Changes nothing.
   */
  recall(command: CommandCursor): EncodedResult | null {
    const outcome = this.#judge(command);
    return outcome === Outcome.applied ? null : this.lastResult(0, outcome);
  }

  /** The answer to the command that was applied last, at `index` and with `outcome`. */
  lastResult(index: number, outcome: Outcome): EncodedResult {
    return outcome === Outcome.stale ? staleResult(index) : this.sessions.lastResult(outcome);
  }
}

/** The refusal of a write at `logIndex`; 0 if it is not in the log. */
function staleResult(logIndex: number): EncodedResult {
  const result = { outcome: Outcome.stale, logIndex, prevValue: null };
  return { ...result, prevLength: -1, appendPrevValue() {}, decode: () => result };
}
