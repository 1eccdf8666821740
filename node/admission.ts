/**
 * The bound on a node's memory: which writes are let into the log, and which are refused because
 * the store has no room for them.
 *
 * It is a decision of this process alone, made before the log; `apply` knows nothing of it, so a
 * node that starts with a lower bound still replays all of its log. Bounded is what the store
 * holds: its entries, the ends of chunks that are too short for them, and its index. What its table
 * has reserved beyond that is garbage that will be reclaimed, and would count against a write that
 * frees memory. Sessions have a bound of their own and make room by themselves (`sessions.ts`); a
 * delete even makes them larger, by the value that it removed. So all that they may reserve is set
 * aside for them, and each byte that is deleted is free for the next write.
 *
 * A restart lays out the entries anew, and large ones among small ones may then leave longer ends
 * of chunks. So the store may hold more than before, by `RESERVED_PER_USED_MAX` at most; if that is
 * more than its bound, it counts as full.
 *
 * @module
 */
import { getHeapStatistics } from "node:v8";
import type { CommandCursor } from "../lib/command_codec.ts";
import { InsufficientStorageError } from "../lib/key_value.ts";
import { MEMORY_BYTES_MAX, MEMORY_BYTES_MIN, SESSION_BYTES_MAX } from "../lib/limits.ts";
import {
  CHUNK_BYTES,
  RESERVED_PER_USED_MAX,
  SLACK_CHUNKS_MAX,
  USED_PER_LIVE_MAX,
} from "./store/arena.ts";
import type { Shard } from "./shard.ts";

/** Bytes that an arena reserves for each live byte, at worst: garbage, and ends of chunks. */
const RESERVED_PER_LIVE_MAX = USED_PER_LIVE_MAX * RESERVED_PER_USED_MAX;
/** For each byte that it holds: its ends of chunks are counted already. */
const RESERVED_PER_HELD_MAX = USED_PER_LIVE_MAX;
const ARENA_SLACK_BYTES = SLACK_CHUNKS_MAX * CHUNK_BYTES;

/**
 * Bytes that the sessions reserve at worst. Their bound counts live bytes; beside them there are
 * the slack of two arenas, and the arrays and the index of 100,000 sessions.
 */
const SESSIONS_RESERVED_BYTES = Math.ceil(SESSION_BYTES_MAX * RESERVED_PER_LIVE_MAX) +
  2 * ARENA_SLACK_BYTES + 8 * 1024 * 1024;

/**
 * What the store holds at most, in bytes, however much a node may take: so that its table can
 * address all that it reserves, even if a restart leaves longer ends of chunks. A node that may
 * take 24 GiB has reached this bound.
 */
const STORE_BYTES_MAX = Math.floor(
  (MEMORY_BYTES_MAX - 512 * 1024 * 1024) / RESERVED_PER_LIVE_MAX,
);

/**
 * Default bound for store and sessions, in bytes: 3/4 of V8's heap limit; with several `nodes` on a
 * machine, an even share of twice that limit if that is less.
 */
export function defaultMemoryBytes(nodes = 1): number {
  // The tables are not in that heap. The limit, which V8 derives from the memory of the machine, is
  // only a measure of what a process may take there.
  const share = Math.min(3 / 4, 2 / nodes);
  return Math.max(MEMORY_BYTES_MIN, Math.floor(getHeapStatistics().heap_size_limit * share));
}

/** The part of `memoryBytes` (store and sessions) that the store may hold. */
export function storeBytesMax(memoryBytes: number): number {
  const reservedBytes = memoryBytes - SESSIONS_RESERVED_BYTES - ARENA_SLACK_BYTES;
  return Math.min(STORE_BYTES_MAX, Math.floor(reservedBytes / RESERVED_PER_HELD_MAX));
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
