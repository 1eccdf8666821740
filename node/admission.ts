/**
 * The bound on a node's memory: which writes are let into the log, and which are refused because
 * the store has no room for them.
 *
 * It is a decision of this process alone, made before the log; `apply` knows nothing of it, so a
 * node that starts with a lower bound still replays all of its log. Bounded is what the store
 * holds: its entries and its index. What its table has reserved beyond that is garbage that will be
 * reclaimed, and would count against a write that frees memory. Sessions have a bound of their own
 * and make room by themselves (`sessions.ts`); a delete even adds to them, the value that it
 * removed. So they count with all that they may take, and each byte that is deleted is free for the
 * next write.
 *
 * @module
 */
import { getHeapStatistics } from "node:v8";
import type { CommandCursor } from "../lib/command_codec.ts";
import { InsufficientStorageError } from "../lib/key_value.ts";
import { MEMORY_BYTES_MIN, SESSION_BYTES_MAX } from "../lib/limits.ts";
import type { Shard } from "./shard.ts";

/** Bytes that tables reserve for each byte that they hold, garbage included (`table.ts`). */
const RESERVED_PER_HELD = 5 / 4;

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
  return Math.floor(memoryBytes / RESERVED_PER_HELD) - SESSION_BYTES_MAX;
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
   * if it passes whole; else each command is to be put to {@linkcode refusalOf}, in order. A
   * command is never shorter than what it adds to the store.
   */
  passes(bytes: number): boolean {
    this.#growth = 0;
    return this.#shard.store.heldBytes + bytes <= this.bytesMax;
  }

  /** Why `command` is refused; null if it is admitted. */
  refusalOf(command: CommandCursor): InsufficientStorageError | null {
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
