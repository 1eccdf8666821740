/**
 * The contract of the store, kept by the node and by the router alike: a command goes in, a result
 * comes out. Keys, values and client ids are text; their sizes are counted in UTF-8 bytes.
 *
 * @module
 */
import type { ByteWriter } from "./byte_writer.ts";

/** What a command does. The numbers are part of the record format. */
export const CommandKind = { put: 1, delete: 2 } as const;
export type CommandKind = typeof CommandKind[keyof typeof CommandKind];

/** One write. `client` and `seq` make it safe to send again: it is applied once. */
export interface Command {
  readonly kind: CommandKind;
  /** Who writes: 1 to 255 bytes, chosen by the client, unique to it. */
  readonly client: string;
  /** Rises by one with each write of a client: an integer from 1 to 2^53−1. */
  readonly seq: number;
  /** 1 byte to 64 KiB. */
  readonly key: string;
  /** The value to put; `""` in a delete. */
  readonly value: string;
}

/** How a command ended. The numbers are part of the link protocol. */
export const Outcome = {
  /** Applied now. */
  applied: 1,
  /** Applied before; this is the remembered result. */
  duplicate: 2,
  /** As `duplicate`, but the remembered write was a different one: the caller has a bug. */
  mismatch: 3,
  /** Refused: `seq` is below what the session remembers; nobody can tell whether it was applied. */
  stale: 4,
} as const;
export type Outcome = typeof Outcome[keyof typeof Outcome];

/** The answer to a {@linkcode Command}. */
export interface Result {
  readonly outcome: Outcome;
  /**
   * Position of the write in the log of its node, from 1; for `stale` that of the refusal, or 0 if
   * that is not in the log.
   */
  readonly logIndex: number;
  /** The value that was overwritten or deleted; `""` if there was none, `null` if forgotten. */
  readonly prevValue: string | null;
}

/**
 * A {@linkcode Result} whose `prevValue` is still in bytes, for those who pass it on without looking
 * at it. Valid during the call that it is handed to.
 */
export interface EncodedResult {
  readonly outcome: Outcome;
  readonly logIndex: number;
  /** Length of `prevValue` in bytes; −1 if it is `null`. */
  readonly prevLength: number;
  /** Appends `prevValue`, which must not be `null`. */
  appendPrevValue(writer: ByteWriter): void;
  /** The result as it may be kept. */
  decode(): Result;
}

/** A value now, or later: reads of a node need not wait, those of a router do. */
export type MaybePromise<T> = T | Promise<T>;

/** A store of keys and values. */
export interface KeyValue {
  /**
   * The value of `key`, or `null` when there is none.
   *
   * @throws {UnavailableError} The owner of the key cannot answer now.
   */
  get(key: string): MaybePromise<string | null>;
  /**
   * Applies a command once, however often it is sent, and resolves when it cannot be lost.
   *
   * @throws {UnavailableError} It is unknown whether the command was or will be applied; send the
   * same command again to find out.
   * @throws {InsufficientStorageError} There is no room for it.
   */
  write(command: Command): Promise<Result>;
}

/** What a service offers beside the store itself. Both answers are JSON values. */
export interface Service extends KeyValue {
  health(): MaybePromise<{ status: "ok" | "degraded" }>;
  metrics(): MaybePromise<unknown>;
}

/** The store, or the part of it that owns a key, cannot answer now; trying again later may help. */
export class UnavailableError extends Error {
  override name = "UnavailableError";
}

/**
 * The owner of the key has no room for this write: it was not applied and will not be, unless an
 * earlier copy of it, which got no answer, is still on its way. The same command may be sent again
 * when there is room.
 */
export class InsufficientStorageError extends Error {
  override name = "InsufficientStorageError";
}
