/**
 * Group commit. Writes gather in a batch while the batch before is on its way to the disk; then
 * they go together, with one sync for all. The store is changed only once the batch is durable, so
 * nobody reads a write that a crash could take back.
 *
 *     submit ─▶ gathering ──turn ends, disk is free──▶ log.append ──durable──▶ apply ─▶ answer
 *                  ▲                                      │
 *                  └────── writes arriving meanwhile ─────┘
 *
 * @module
 */
import { ByteWriter } from "../lib/byte_writer.ts";
import type { Clock } from "../lib/clock.ts";
import { CommandCursor } from "../lib/command_codec.ts";
import { InsufficientStorageError, type Result, UnavailableError } from "../lib/key_value.ts";
import {
  ANSWER_BYTES_PER_TURN,
  DISK_RETRY_MS,
  WAITING_WRITE_BYTES_MAX,
  WAITING_WRITES_MAX,
} from "../lib/limits.ts";
import type { Admission } from "./admission.ts";
import { BATCH_HEADER_BYTES, forEachCommand } from "./batch.ts";
import { isRefusal, type Log, type Refusal } from "./log.ts";

/** Gets the answer to one write: its result, or why there is none. */
export type Reply = (result: Result | null, error: unknown) => void;

/** Writes that go to the log together. */
class Batch {
  readonly bytes = new ByteWriter(64 * 1024);
  readonly replies: Reply[] = [];

  constructor() {
    this.clear();
  }

  clear(): void {
    this.bytes.clear(BUFFER_BYTES_KEPT);
    this.bytes.uint53(0); // the time, set when the batch is closed
    this.replies.length = 0;
  }
}

/** A buffer that an unusual batch made larger than this is freed afterwards. */
const BUFFER_BYTES_KEPT = 1024 * 1024;

export interface CommitQueueOptions {
  readonly log: Log;
  readonly clock: Clock;
  /** Of the last batch in the log: times never run backwards. In milliseconds since 1970. */
  readonly startTime: number;
  /** Asked about every batch before it goes to the log. */
  readonly admission: Pick<Admission, "passes" | "refusalOf">;
  /** Applies a durable command and answers it. */
  readonly apply: (command: CommandCursor, index: number) => Result;
  /** The result of a command that was applied before; null if it was not. */
  readonly recall: (command: CommandCursor) => Result | null;
  /** Called when a batch is answered; the next one waits for what it returns. */
  readonly betweenBatches: () => Promise<void> | void;
}

/** See the module's own comment. */
export class CommitQueue {
  readonly #options: CommitQueueOptions;
  #gathering = new Batch();
  #committing = new Batch();
  #running = false;
  #closed = false;
  #time: number;
  #batches = 0;
  #failure: unknown;
  /** Why the log refused the last batch, null if it did not, and when it is asked again. */
  #refusal: Refusal | null = null;
  #retryAtMs = 0;
  #diskFull = 0;
  readonly #whenIdle: (() => void)[] = [];

  /** Rejects with the error of the log when that has failed; never resolves. */
  readonly failed: Promise<never>;
  #reportFailure!: (error: unknown) => void;

  constructor(options: CommitQueueOptions) {
    this.#options = options;
    this.#time = options.startTime;
    this.failed = new Promise((_, reject) => this.#reportFailure = reject);
    this.failed.catch(() => {}); // each waiting write is told as well
  }

  /** Batches made durable since the start. */
  get batches(): number {
    return this.#batches;
  }

  /** Writes refused since the start because the disk was full. */
  get diskFull(): number {
    return this.#diskFull;
  }

  /**
   * Adds one write: `encode` appends its command. `reply` is called when it is durable and applied,
   * or when the log has refused it or failed.
   *
   * @throws {UnavailableError} Too many writes wait, or the log has failed. Nothing was added.
   */
  submit(encode: (bytes: ByteWriter) => void, reply: Reply): void {
    const { bytes, replies } = this.#gathering;
    if (this.#failure !== undefined) throw new UnavailableError("Node has stopped: its log failed");
    if (this.#closed) throw new UnavailableError("Node stops, and takes no more writes");
    if (replies.length >= WAITING_WRITES_MAX || bytes.length >= WAITING_WRITE_BYTES_MAX) {
      throw new UnavailableError(
        `Too much waits for the log: ${replies.length} writes of ${bytes.length} bytes`,
      );
    }
    const before = bytes.length;
    try {
      encode(bytes);
    } catch (error) {
      bytes.truncate(before); // half a command would make the whole batch unreadable
      throw error;
    }
    replies.push(reply);
    if (this.#running) return;
    this.#running = true;
    // Not at once: the other requests that arrived in this turn of the event loop come along.
    this.#options.clock.afterTurn(() => this.#run());
  }

  /** Takes no more writes, and resolves when those it has are answered. */
  close(): Promise<void> {
    this.#closed = true;
    return this.idle();
  }

  /** Resolves when no write waits any more. */
  idle(): Promise<void> {
    if (!this.#running) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  async #run(): Promise<void> {
    try {
      while (this.#gathering.replies.length > 0) {
        await this.#commit();
        await this.#options.betweenBatches();
        // The answers leave first, and the writes that they bring in return join the next batch.
        await new Promise<void>((resolve) => this.#options.clock.afterTurn(resolve));
      }
    } catch (error) {
      this.#stop(error);
    }
    this.#running = false;
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }

  async #commit(): Promise<void> {
    const batch = this.#gathering;
    this.#gathering = this.#committing;
    this.#committing = batch;
    const { log, clock } = this.#options;
    if (this.#refusal !== null && clock.monotonic() < this.#retryAtMs) {
      return this.#refuse(batch, this.#refusal);
    }
    if (!this.#admit(batch)) return;
    this.#time = Math.max(this.#time, clock.now());
    batch.bytes.uint53At(0, this.#time);
    const firstIndex = log.lastIndex + 1;
    const body = batch.bytes.written();
    try {
      await log.append(body, batch.replies.length);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      this.#retryAtMs = clock.monotonic() + DISK_RETRY_MS;
      return this.#refuse(batch, error);
    }
    this.#refusal = null;
    this.#batches++;
    await this.#answer(batch, firstIndex);
    batch.clear();
  }

  /**
   * Applies what is durable and answers it. Small commands can have large answers (a retry returns
   * the value that it overwrote once), so it yields after `ANSWER_BYTES_PER_TURN` to let them
   * leave.
   */
  async #answer({ bytes, replies }: Batch, firstIndex: number): Promise<void> {
    const { apply, clock } = this.#options;
    const body = bytes.written();
    const command = new CommandCursor(body);
    let answerBytes = 0;
    for (let start = BATCH_HEADER_BYTES, i = 0; start < body.length; start = command.end, i++) {
      command.moveTo(start, body.length);
      const result = apply(command, firstIndex + i);
      replies[i](result, null);
      answerBytes += result.prevValue === null ? 0 : result.prevValue.length;
      if (answerBytes < ANSWER_BYTES_PER_TURN) continue;
      answerBytes = 0;
      await new Promise<void>((resolve) => clock.afterTurn(resolve));
    }
  }

  /** Refuses the writes that memory has no room for. False if no others are left. */
  #admit({ bytes, replies }: Batch): boolean {
    const { admission } = this.#options;
    if (admission.passes(bytes.length)) return true;
    let end = BATCH_HEADER_BYTES;
    let admitted = 0;
    // Here and not on arrival: all that came before is applied, so it is known what is new.
    forEachCommand(bytes.written(), 0, (command, index) => {
      const refusal = admission.refusalOf(command);
      if (refusal !== null) return replies[index](null, refusal);
      bytes.buffer.copyWithin(end, command.start, command.end);
      end += command.end - command.start;
      replies[admitted++] = replies[index];
    });
    bytes.truncate(end);
    replies.length = admitted;
    return admitted > 0;
  }

  /**
   * Answers a batch that the log did not take. A write in it that was applied before, and is sent
   * again, gets its result all the same: so who is refused knows that it was not applied.
   */
  #refuse(batch: Batch, refusal: Refusal): void {
    this.#refusal = refusal;
    const { replies } = batch;
    forEachCommand(batch.bytes.written(), 0, (command, index) => {
      const result = this.#options.recall(command);
      if (result === null && refusal instanceof InsufficientStorageError) this.#diskFull++;
      replies[index](result, result === null ? refusal : null);
    });
    batch.clear();
  }

  /** Nothing is acknowledged after a failure: whether the last batch is durable is unknown. */
  #stop(error: unknown): void {
    this.#failure = error;
    const unavailable = new UnavailableError(
      "Node has stopped: its log failed, so it is unknown whether this write is durable",
      { cause: error },
    );
    for (const batch of [this.#committing, this.#gathering]) {
      for (const reply of batch.replies) reply(null, unavailable);
      batch.clear();
    }
    this.#reportFailure(error);
  }
}
