/**
 * One node: a log, and the shard that it decides. What serves it, over HTTP or links, comes on top.
 *
 * @module
 */
import type { ByteWriter } from "../lib/byte_writer.ts";
import type { Clock } from "../lib/clock.ts";
import { type CommandCursor, encodeCommand } from "../lib/command_codec.ts";
import {
  type Command,
  CommandKind,
  type EncodedResult,
  Outcome,
  type Result,
  type Service,
} from "../lib/key_value.ts";
import { Admission } from "./admission.ts";
import { CommitQueue, type Reply } from "./commit_queue.ts";
import type { Log } from "./log/log.ts";
import type { Replay } from "./replay.ts";
import type { Shard } from "./shard.ts";
import { SnapshotScheduler, type SnapshotSchedulerOptions } from "./snapshot/snapshot_scheduler.ts";
import { stateHash } from "./state_hash.ts";

export interface NodeOptions {
  readonly log: Log;
  readonly clock: Clock;
  /** Bytes that the store may hold, see `admission.ts`. Default: no bound. */
  readonly storeBytesMax?: number;
  /** How snapshots are taken. Without it none are, and the log grows for ever. */
  readonly snapshots?: Omit<SnapshotSchedulerOptions, "log">;
}

/** A node that may be asked. */
export class Node implements Service {
  readonly #log: Log;
  readonly #shard: Shard;
  readonly #queue: CommitQueue;
  readonly #admission: Admission;
  readonly #scheduler: SnapshotScheduler | null;
  readonly #clock: Clock;
  readonly #startedAt: number;
  #puts = 0;
  #deletes = 0;
  #duplicates = 0;
  #mismatches = 0;
  #stale = 0;
  #gets = 0;
  #misses = 0;

  /** Goes on from what the replay of its log has made. */
  constructor(options: NodeOptions, { shard, time: startTime }: Replay) {
    const { log, clock, snapshots } = options;
    this.#log = log;
    this.#clock = clock;
    this.#shard = shard;
    this.#startedAt = clock.monotonic();
    this.#admission = new Admission(shard, options.storeBytesMax ?? Infinity);
    const admission = this.#admission;
    const apply = (command: CommandCursor, index: number) => this.#apply(command, index);
    const recall = (command: CommandCursor) => this.#recall(command);
    const scheduler = snapshots === undefined ? null : new SnapshotScheduler({ ...snapshots, log });
    this.#scheduler = scheduler;
    this.#queue = new CommitQueue({
      log,
      clock,
      startTime,
      admission,
      apply,
      recall,
      betweenBatches: () => scheduler?.betweenBatches(),
    });
  }

  /** Rejects when the log has failed; the node is of no use then. */
  get failed(): Promise<never> {
    return this.#queue.failed;
  }

  get keys(): number {
    return this.#shard.store.size;
  }

  get lastIndex(): number {
    return this.#log.lastIndex;
  }

  get(key: string): string | null {
    const value = this.#shard.get(key);
    this.#countGet(value !== null);
    return value;
  }

  /**
   * As {@linkcode get}, but the key is in `bytes` from `start` to `end`, and its value is appended
   * to `writer`. False if there is none.
   */
  appendValue(bytes: Uint8Array, start: number, end: number, writer: ByteWriter): boolean {
    const isFound = this.#shard.appendValue(bytes, start, end, writer);
    this.#countGet(isFound);
    return isFound;
  }

  #countGet(isFound: boolean): void {
    this.#gets++;
    if (!isFound) this.#misses++;
  }

  write(command: Command): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.submit(
        (bytes) => encodeCommand(bytes, command),
        (result, error) => result === null ? reject(error) : resolve(result.decode()),
      );
    });
  }

  /**
   * As {@linkcode write}, but `encode`, which is called at once, appends the command in its binary
   * form, and `reply` gets the answer.
   *
   * @throws {RangeError} It is not a command.
   * @throws {UnavailableError} It is not taken.
   */
  submit(encode: (bytes: ByteWriter) => void, reply: Reply): void {
    this.#queue.submit(encode, reply);
  }

  /** See {@linkcode CommitQueue.holdAnswers}. */
  holdAnswers(wait: () => Promise<void> | void): void {
    this.#queue.holdAnswers(wait);
  }

  #apply(command: CommandCursor, index: number): EncodedResult {
    const outcome = this.#shard.apply(command, index);
    this.#countWrite(command.kind, outcome);
    return this.#shard.lastResult(index, outcome);
  }

  #recall(command: CommandCursor): EncodedResult | null {
    const result = this.#shard.recall(command);
    if (result !== null) this.#countWrite(command.kind, result.outcome);
    return result;
  }

  #countWrite(kind: number, outcome: Outcome): void {
    switch (outcome) {
      case Outcome.applied:
        if (kind === CommandKind.put) this.#puts++;
        else this.#deletes++;
        break;
      case Outcome.stale:
        this.#stale++;
        break;
      case Outcome.mismatch:
        this.#mismatches++;
        // falls through: it is a duplicate too
      case Outcome.duplicate:
        this.#duplicates++;
    }
  }

  /** See `state_hash.ts`. Takes long: for tests and the simulator. */
  stateHash(): string {
    return stateHash(this.#shard);
  }

  health(): { status: "ok"; lastIndex: number } {
    return { status: "ok", lastIndex: this.lastIndex };
  }

  /**
   * Counts since the node started (`…_total`, and `dedup_hits`) or, of sessions, since its log
   * began; and what it holds now.
   */
  metrics(): Record<string, number> {
    const { store, sessions } = this.#shard;
    return {
      exec_total: this.#puts + this.#deletes,
      put_total: this.#puts,
      del_total: this.#deletes,
      dedup_hits: this.#duplicates,
      mismatch_total: this.#mismatches,
      stale_total: this.#stale,
      get_total: this.#gets,
      get_miss_total: this.#misses,
      batch_total: this.#queue.batches,
      fsync_total: this.#log.syncs,
      logged_bytes_total: this.#log.bytesAppended,
      refused_busy_total: this.#queue.refusedBusy,
      refused_disk_full_total: this.#queue.diskFull,
      refused_memory_full_total: this.#admission.refused,
      log_bytes: this.#log.bytes,
      segments: this.#log.segments,
      snapshot_running: this.#scheduler?.isRunning ? 1 : 0,
      snapshot_total: this.#scheduler?.taken ?? 0,
      snapshot_failures_total: this.#scheduler?.failures ?? 0,
      snapshot_bytes: this.#log.snapshot?.sizeBytes ?? 0,
      snapshot_index: this.#log.snapshot?.index ?? 0,
      last_index: this.#log.lastIndex,
      keys: store.size,
      store_bytes: store.reservedBytes,
      store_held_bytes: store.heldBytes,
      store_held_bytes_max: this.#admission.bytesMax,
      sessions: sessions.size,
      session_bytes: sessions.bytes,
      session_drops_total: sessions.drops,
      session_evictions_total: sessions.evictions,
      uptime_ms: Math.round(this.#clock.monotonic() - this.#startedAt),
    };
  }

  /** Takes no more writes, and resolves when those it has are durable and answered. */
  async close(): Promise<void> {
    await this.#queue.close();
    await this.#scheduler?.close();
  }

  /** Resolves when every write that was taken is durable and answered. */
  idle(): Promise<void> {
    return this.#queue.idle();
  }
}
