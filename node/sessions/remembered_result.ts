/**
 * A result where it is remembered, for whoever answers with it.
 *
 * @module
 */
import type { ByteWriter } from "../../lib/byte_writer.ts";
import { type EncodedResult, Outcome, type Result } from "../../lib/key_value.ts";
import type { SessionResults } from "./session_results.ts";

/** The result in a row of a session. One object is moved over all that are answered with. */
export class RememberedResult implements EncodedResult {
  readonly #results: SessionResults;
  #session = 0;
  #row = 0;
  outcome: Outcome = Outcome.applied;

  constructor(results: SessionResults) {
    this.#results = results;
  }

  moveTo(outcome: Outcome, session: number, row: number): this {
    this.outcome = outcome;
    this.#session = session;
    this.#row = row;
    return this;
  }

  get logIndex(): number {
    return this.#results.logIndexOf(this.#session, this.#row);
  }

  get prevLength(): number {
    return this.#results.prevLengthOf(this.#session, this.#row);
  }

  appendPrevValue(writer: ByteWriter): void {
    this.#results.appendPrevValue(this.#session, this.#row, writer);
  }

  decode(): Result {
    const prevValue = this.#results.prevTextOf(this.#session, this.#row);
    return { outcome: this.outcome, logIndex: this.logIndex, prevValue };
  }
}
