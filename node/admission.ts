/**
 * The bound on a node's memory: which writes are let into the log, and which are refused because
 * the store has no room for them.
 *
 * It is a decision of this process alone, made before the log; `apply` knows nothing of it, so a
 * node that starts with a lower bound still replays all of its log. Bounded is what the store
 * holds: its entries, the ends of chunks that are too short for them, and its index. What its table
 * has reserved beyond that is garbage that will be reclaimed, and would count against a write that
 * frees memory. Sessions have a bound of their own and make room by themselves (`sessions.ts`); a
 * delete even adds to them, the value that it removed. So they count with all that they may take,
 * and each byte that is deleted is free for the next write.
 *
 * A restart lays out the entries anew, by which large ones among small ones can leave longer ends
 * than before. What the store holds may so be more than it was, up to 4/3; then it counts as full.
 *
 * @module
 */
import { getHeapStatistics } from "node:v8";
import type { CommandCursor } from "../lib/command_codec.ts";
import { InsufficientStorageError } from "../lib/key_value.ts";
import { MEMORY_BYTES_MIN, SESSION_BYTES_MAX, STORE_BYTES_MAX } from "../lib/limits.ts";
import { CHUNK_BYTES } from "./arena.ts";
import type { Shard } from "./shard.ts";

/**
 * Bytes that a table reserves for each byte that it holds, garbage included, at worst: full chunks
 * are as many as their ends and their used bytes take, and those are 4/3 of the live bytes at most
 * (`Arena.reclaim()`). Entries of 100 bytes come to 5/4.
 */
const RESERVED_PER_HELD = 4 / 3;
/**
 * Bytes that an arena takes beyond that: the chunk that is written to, the one that is emptied, two
 * of garbage too little to hurry, two spare ones, and one for what a batch adds unseen.
 */
const ARENA_SLACK_BYTES = 7 * CHUNK_BYTES;

/**
 * Bytes that the sessions may take at worst. Their bound counts no ends of chunks: these are a
 * third of the used bytes at most, as at least 3/4 of a chunk are used before an entry of 1 MiB
 * does not fit. Then the slack of two arenas; and the arrays and the index of 100,000 sessions.
 */
const SESSIONS_RESERVED_BYTES = Math.ceil(SESSION_BYTES_MAX * RESERVED_PER_HELD * 4 / 3) +
  2 * ARENA_SLACK_BYTES + 8 * 1024 * 1024;

/**
 * Default bound for store and sessions, in bytes: 3/4 of V8's heap limit; with several `nodes` on a
 * machine, an even share of twice that limit if that is less.
 */
export function defaultMemoryBytes(nodes = 1): number {
  // The tables are not in that heap: the limit, which V8 takes from the memory of the machine, is
  // but a measure of what a process may take there.
  const share = Math.min(3 / 4, 2 / nodes);
  return Math.max(MEMORY_BYTES_MIN, Math.floor(getHeapStatistics().heap_size_limit * share));
}

/** The part of `memoryBytes` (store and sessions) that the store may hold. */
export function storeBytesMax(memoryBytes: number): number {
  const reservedBytes = memoryBytes - SESSIONS_RESERVED_BYTES - ARENA_SLACK_BYTES;
  return Math.min(STORE_BYTES_MAX, Math.floor(reservedBytes / RESERVED_PER_HELD));
}

/** Lets writes pass as long as the store stays within its bound. */
export class Admission {
  readonly #shard: Shard;
  /** Bytes that the store may hold. */
  readonly bytesMax: number;
  /** Bytes by which the writes that were admitted and not applied yet make the store larger. */
  #growth = 0;
  #refused = 0;

  constructor(shard: Shard, bytesMax: number) {
    this.#shard = shard;
    this.bytesMax = bytesMax;
  }

  /** Writes refused since the start. */
  get refused(): number {
    return this.#refused;
  }

  /**
   * Begins a batch of `bytes` bytes of commands, when all that was admitted before is applied. True
   * if it is admitted whole; else each command is to be put to {@linkcode admit}, in order. A
   * command is never shorter than the entry that it adds to the store. A larger index and the ends
   * of chunks may come with that, and count from the next batch on.
   */
  beginBatch(bytes: number): boolean {
    this.#growth = 0;
    return this.#shard.store.heldBytes + bytes <= this.bytesMax;
  }

  /** Admits a command of the batch, and returns null; or refuses it, and returns why. */
  admit(command: CommandCursor): InsufficientStorageError | null {
    const growth = this.#shard.growthOf(command);
    const held = this.#shard.store.heldBytes + this.#growth;
    if (growth === 0 || held + growth <= this.bytesMax) {
      this.#growth += growth;
      return null;
    }
    this.#refused++;
    return new InsufficientStorageError(
      `Memory is full: the store holds ${held} bytes and this write adds ${growth}, ` +
        `expected at most ${this.bytesMax}; it was not applied, and may be sent again after keys ` +
        `were deleted or the node was started with more --memory-max`,
    );
  }
}
