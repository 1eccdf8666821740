/**
 * One node: a log, and the shard that it decides. What serves it, over HTTP or links, comes on top.
 *
 * @module
 */
import type { ByteWriter } from "../lib/byte_writer.ts";
import type { Clock } from "../lib/clock.ts";
import { type CommandCursor, encodeCommand } from "../lib/command_codec.ts";
import { type Command, CommandKind, Outcome, type Result, type Service } from "../lib/key_value.ts";
import { Admission } from "./admission.ts";
import { batchTime, forEachCommand } from "./batch.ts";
import { CommitQueue, type Reply } from "./commit_queue.ts";
import type { Log } from "./log.ts";
import { Shard } from "./shard.ts";

export interface NodeOptions {
  readonly log: Log;
  readonly clock: Clock;
  /** Random: so that nobody can choose keys that collide in the tables. */
  readonly hashKey: readonly [number, number];
  /** Bytes that the store may hold, see `admission.ts`. Default: no bound. */
  readonly storeBytesMax?: number;
}

/** A node that has replayed its log and may be asked. */
export class Node implements Service {
  readonly #log: Log;
  readonly #shard: Shard;
  readonly #queue: CommitQueue;
  readonly #admission: Admission;
  readonly #clock: Clock;
  readonly #startedAt: number;
  #puts = 0;
  #deletes = 0;
  #duplicates = 0;
  #mismatches = 0;
  #stale = 0;
  #gets = 0;
  #misses = 0;

  private constructor(options: NodeOptions, shard: Shard, startTime: number) {
    const { log, clock } = options;
    this.#log = log;
    this.#clock = clock;
    this.#shard = shard;
    this.#startedAt = clock.monotonic();
    this.#admission = new Admission(shard, options.storeBytesMax ?? Infinity);
    const admission = this.#admission;
    const apply = (command: CommandCursor, index: number) => this.#apply(command, index);
    const recall = (command: CommandCursor) => this.#recall(command);
    this.#queue = new CommitQueue({ log, clock, startTime, admission, apply, recall });
  }

  /**
   * Replays the log.
   *
   * @throws {DamageError} The log is not what was written.
   */
  static async start(options: NodeOptions): Promise<Node> {
    const shard = new Shard({ hashKey: options.hashKey });
    let time = 0;
    await options.log.replay((body, firstIndex, count) => {
      time = batchTime(body);
      const found = forEachCommand(
        body,
        firstIndex,
        (command, index) => shard.apply(command, index),
      );
      if (found !== count) {
        throw new Error(`Batch at ${firstIndex} has ${found} records, not ${count}`);
      }
    });
    return new Node(options, shard, time);
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
    return this.#count(this.#shard.get(key));
  }

  /** As {@linkcode get}, of a key that is bytes. */
  getBytes(bytes: Uint8Array, start: number, end: number): string | null {
    return this.#count(this.#shard.getBytes(bytes, start, end));
  }

  #count(value: string | null): string | null {
    this.#gets++;
    if (value === null) this.#misses++;
    return value;
  }

  write(command: Command): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#queue.submit(
        (bytes) => encodeCommand(bytes, command),
        (result, error) => result === null ? reject(error) : resolve(result),
      );
    });
  }

  /** As {@linkcode write}, of a command that `encode` appends in its binary form. */
  writeEncoded(encode: (bytes: ByteWriter) => void, reply: Reply): void {
    this.#queue.submit(encode, reply);
  }

  #apply(command: CommandCursor, index: number): Result {
    const outcome = this.#shard.apply(command, index);
    switch (outcome) {
      case Outcome.applied:
        if (command.kind === CommandKind.put) this.#puts++;
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
    return this.#shard.lastResult(index, outcome);
  }

  #recall(command: CommandCursor): Result | null {
    const result = this.#shard.recall(command);
    if (result !== null) this.#duplicates++;
    if (result?.outcome === Outcome.mismatch) this.#mismatches++;
    return result;
  }

  health(): { status: string; lastIndex: number } {
    return { status: "ok", lastIndex: this.lastIndex };
  }

  /** Counts since the node started (`…_total`, and `dedup_hits`), and what it holds now. */
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
      refused_disk_full_total: this.#queue.diskFull,
      refused_memory_full_total: this.#admission.refused,
      log_bytes: this.#log.bytes,
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
  close(): Promise<void> {
    return this.#queue.close();
  }

  /** Resolves when every write that was taken is durable and answered. */
  idle(): Promise<void> {
    return this.#queue.idle();
  }
}
