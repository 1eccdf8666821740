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
import { Buffer } from "node:buffer";
import { ByteWriter } from "../lib/byte_writer.ts";
import type { Clock } from "../lib/clock.ts";
import { CommandCursor } from "../lib/command_codec.ts";
import {
  type EncodedResult,
  InsufficientStorageError,
  UnavailableError,
} from "../lib/key_value.ts";
import {
  ANSWER_BYTES_PER_TURN,
  DISK_RETRY_MS,
  WAITING_WRITE_BYTES_MAX,
  WAITING_WRITES_MAX,
} from "../lib/limits.ts";
import type { Admission } from "./admission.ts";
import { BATCH_HEADER_BYTES, forEachCommand } from "./batch.ts";
import { type Log, LogRefusal } from "./log/log.ts";

/** Gets the answer to one write, once: its result, or why there is none. */
export type Reply = (result: EncodedResult | null, error: unknown) => void;

/** Writes that go to the log together. */
class Batch {
  readonly bytes = new ByteWriter(64 * 1024);
  readonly replies: Reply[] = [];
  #cursor = new CommandCursor(this.bytes.buffer);

  constructor() {
    this.clear();
  }

  /** Moves over the commands, for one reader at a time. */
  get cursor(): CommandCursor {
    const { buffer } = this.bytes;
    if (this.#cursor.bytes !== buffer) this.#cursor = new CommandCursor(buffer);
    return this.#cursor;
  }

  /**
   * Appends the command that `encode` writes.
   *
   * @throws {RangeError} It is not one command: once in the log, it would stop every replay.
   * Nothing was appended, as with whatever `encode` throws.
   */
  add(encode: (bytes: ByteWriter) => void, reply: Reply): void {
    const { bytes } = this;
    const start = bytes.length;
    try {
      encode(bytes);
      const { cursor } = this;
      cursor.moveTo(start, bytes.length);
      if (cursor.end !== bytes.length) {
        throw new RangeError(
          `Command has ${cursor.end - start} bytes, expected ${bytes.length - start}`,
        );
      }
    } catch (error) {
      bytes.truncate(start); // half a command would make the whole batch unreadable
      throw error;
    }
    this.replies.push(reply);
  }

  /**
   * Takes out the reply to a write, to be called. If anything throws on the way through the batch,
   * the replies that were not taken out are those that nobody has called.
   */
  take(index: number): Reply {
    const reply = this.replies[index];
    this.replies[index] = TAKEN;
    return reply;
  }

  clear(): void {
    this.bytes.clear(BUFFER_BYTES_KEPT);
    this.bytes.uint53(0); // the time, set when the batch is closed
    this.replies.length = 0;
    this.#cursor = this.cursor; // the old one would keep a buffer that was let go
  }
}

/** Stands where a reply was taken out. */
const TAKEN: Reply = () => {};

/** A buffer that an unusual batch made larger than this is freed afterwards. */
const BUFFER_BYTES_KEPT = 1024 * 1024;

/**
 * Work after which the event loop gets a turn while a batch is answered, so that no batch keeps
 * reads waiting for more than a few milliseconds. It is counted in bytes of commands; each command
 * costs as much as 2 KiB of them beside its own, so that 512 of the smallest make a turn.
 */
const WORK_PER_TURN = 1024 * 1024;
const WORK_PER_COMMAND = WORK_PER_TURN / 512;
/** The bytes of an answer cost little work, but those of a turn wait in memory until it ends. */
const WORK_PER_ANSWER_BYTE = WORK_PER_TURN / ANSWER_BYTES_PER_TURN;

export interface CommitQueueOptions {
  readonly log: Log;
  readonly clock: Clock;
  /** Time of the last batch in the log, in milliseconds since 1970. Batch times never decrease. */
  readonly startTime: number;
  /** Asked about every batch before it goes to the log. */
  readonly admission: Pick<Admission, "beginBatch" | "admit">;
  /** Applies a durable command and answers it. */
  readonly apply: (command: CommandCursor, index: number) => EncodedResult;
  /** The result of a command that would not be applied if it were now; null if it would. */
  readonly recall: (command: CommandCursor) => EncodedResult | null;
  /** Called when a batch is answered; the next one waits for what it returns. */
  readonly betweenBatches: () => Promise<void> | void;
}

/** Why a write is not applied; it may be sent again. */
type Refusal = InsufficientStorageError | UnavailableError;

/** Takes writes, commits them in batches, and answers each of them once. */
export class CommitQueue {
  readonly #options: CommitQueueOptions;
  #gathering = new Batch();
  #committing = new Batch();
  #running = false;
  #closed = false;
  #time: number;
  #batches = 0;
  #failure: unknown;
  /** Why the log refused the last batch; null if it did not. */
  #refusal: Refusal | null = null;
  /** When it is asked again after a refusal, by the monotonic clock. */
  #retryAtMs = 0;
  #refusedBusy = 0;
  #diskFull = 0;
  readonly #whenIdle: (() => void)[] = [];
  #answersMayWait: () => Promise<void> | void = () => {};

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

  /** Writes refused since the start because too many waited. */
  get refusedBusy(): number {
    return this.#refusedBusy;
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
   * @throws {RangeError} What `encode` appended is not one command. Nothing was added.
   */
  submit(encode: (bytes: ByteWriter) => void, reply: Reply): void {
    const { bytes, replies } = this.#gathering;
    if (this.#failure !== undefined) throw new UnavailableError("Node has stopped: its log failed");
    if (this.#closed) throw new UnavailableError("Node stops, and takes no more writes");
    if (replies.length >= WAITING_WRITES_MAX || bytes.length >= WAITING_WRITE_BYTES_MAX) {
      this.#refusedBusy++;
      throw new UnavailableError(
        `Too much waits for the log: ${replies.length} writes of ${bytes.length} bytes`,
      );
    }
    this.#gathering.add(encode, reply);
    if (this.#running) return;
    this.#running = true;
    // Not at once: the other requests that arrived in this turn of the event loop come along.
    this.#options.clock.afterTurn(() => this.#run());
  }

  /**
   * Has `wait` called after each turn in which writes were answered. No more are until what it
   * returns has resolved.
   */
  holdAnswers(wait: () => Promise<void> | void): void {
    this.#answersMayWait = wait;
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
        // The answers leave first, and the writes that clients send in return join the next batch.
        await this.#turn();
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
    if (!this.#admit(batch)) return batch.clear();
    this.#time = Math.max(this.#time, clock.now());
    batch.bytes.uint53At(0, this.#time);
    const firstIndex = log.lastIndex + 1;
    const body = batch.bytes.written();
    try {
      await log.append(body, batch.replies.length);
    } catch (error) {
      if (!(error instanceof LogRefusal)) throw error;
      this.#retryAtMs = clock.monotonic() + DISK_RETRY_MS;
      return this.#refuse(batch, refusalOf(error));
    }
    this.#refusal = null;
    this.#batches++;
    await this.#answer(batch, (command, i) => this.#options.apply(command, firstIndex + i), null);
  }

  /**
   * Gives each write of a batch the result that `resultOf` has for it, or else the refusal. Takes
   * more than one turn of the event loop if that is much work, or the answers are large: small
   * commands can have large ones (a retry returns the value that it overwrote once), and they
   * leave between turns. Nothing else is applied meanwhile.
   */
  async #answer(
    batch: Batch,
    resultOf: (command: CommandCursor, i: number) => EncodedResult | null,
    refusal: Refusal | null,
  ): Promise<void> {
    const command = batch.cursor;
    const end = batch.bytes.length;
    let work = 0;
    for (let start = BATCH_HEADER_BYTES, i = 0; start < end; start = command.end, i++) {
      command.moveTo(start, end);
      const result = resultOf(command, i);
      work += WORK_PER_COMMAND + command.end - start +
        WORK_PER_ANSWER_BYTE * Math.max(0, result?.prevLength ?? 0);
      batch.take(i)(result, result === null ? refusal : null);
      if (work < WORK_PER_TURN || command.end === end) continue;
      await this.#turn();
      work = 0;
    }
    batch.clear();
  }

  /** Lets the answers so far leave. */
  async #turn(): Promise<void> {
    await new Promise<void>((resolve) => this.#options.clock.afterTurn(resolve));
    await this.#answersMayWait();
  }

  /** Refuses the writes that memory has no room for. False if no others are left. */
  #admit(batch: Batch): boolean {
    const { admission } = this.#options;
    const { bytes, replies } = batch;
    if (admission.beginBatch(bytes.length)) return true;
    let end = BATCH_HEADER_BYTES;
    let admitted = 0;
    const identities = new Set<string>();
    // Here and not on arrival: all that came before is applied, so it is known what is new.
    forEachCommand(bytes.written(), 0, (command, index) => {
      const identity = identityOf(command);
      // A second copy of a write in this very batch will find the first applied, and add nothing.
      const refusal = identities.has(identity) ? null : admission.admit(command);
      const reply = batch.take(index);
      if (refusal !== null) return void reply(null, refusal);
      identities.add(identity);
      bytes.buffer.copyWithin(end, command.start, command.end);
      end += command.end - command.start;
      replies[admitted++] = reply;
    });
    bytes.truncate(end);
    replies.length = admitted;
    return admitted > 0;
  }

  /**
   * Answers a batch that the log did not take. A write in it that was or may have been applied
   * before, and is sent again, gets its result all the same: a client that is refused knows that
   * its write was not applied.
   */
  #refuse(batch: Batch, refusal: Refusal): Promise<void> {
    this.#refusal = refusal;
    const recall = (command: CommandCursor) => {
      const result = this.#options.recall(command);
      if (result === null && refusal instanceof InsufficientStorageError) this.#diskFull++;
      return result;
    };
    return this.#answer(batch, recall, refusal);
  }

  /** Nothing is acknowledged after a failure: whether the last batch is durable is unknown. */
  #stop(error: unknown): void {
    this.#failure = error;
    const unavailable = new UnavailableError(
      "Node has stopped: its log failed, so it is unknown whether this write is durable",
      { cause: error },
    );
    this.#reportFailure(error);
    for (const batch of [this.#committing, this.#gathering]) {
      for (let i = 0; i < batch.replies.length; i++) batch.take(i)(null, unavailable);
      batch.clear();
    }
  }
}

/** What the writes of a batch are told that the log has refused. */
function refusalOf(error: LogRefusal): Refusal {
  const options = { cause: error };
  const rest = `(${error.message}): the write was not applied, and may be sent again later`;
  switch (error.reason) {
    case "disk full":
      return new InsufficientStorageError(`Disk is full ${rest}`, options);
    case "too many files":
      return new UnavailableError(`Too many files are open ${rest}`, options);
    case "half written":
      return new UnavailableError(
        "Disk is full, and cannot take back a part of a batch: whether this write will be " +
          "applied is unknown until there is space",
        options,
      );
  }
}

/** Tells writes apart as sessions do: by client and sequence number. */
function identityOf({ bytes, clientStart, keyStart, seq }: CommandCursor): string {
  const { buffer, byteOffset, byteLength } = bytes;
  return `${seq} ${
    Buffer.from(buffer, byteOffset, byteLength).toString("latin1", clientStart, keyStart)
  }`;
}
