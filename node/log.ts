/**
 * The contract of a write-ahead log: batches of bytes go in, one at a time, and come out again after
 * a crash, in order, each whole. It knows nothing of keys and values.
 *
 * @module
 */

/** Called for each batch, in order. `body` is only valid during the call. */
export type BatchVisitor = (body: Uint8Array, firstIndex: number, count: number) => void;

/** A log of records, numbered from 1. */
export interface Log {
  /** Index of the last record that is durable; 0 in an empty log. */
  readonly lastIndex: number;
  /** Bytes on disk that hold frames. */
  readonly bytes: number;
  /** Bytes of frames written since the log was opened. */
  readonly bytesAppended: number;
  /** Syncs since the log was opened. */
  readonly syncs: number;
  /**
   * Visits every batch that is durable. To be called once, before the first `append`.
   *
   * @throws {DamageError} Something acknowledged is missing or changed.
   */
  replay(visit: BatchVisitor): Promise<void>;
  /**
   * Adds a batch of `count` records and resolves when it cannot be lost any more. One batch at a
   * time. `body` must stay as it is until then.
   *
   * After any other failure than these two nobody knows what is durable: every further call fails
   * with the same error.
   *
   * @throws {InsufficientStorageError} The disk is full. The batch is not in the log, which is as it
   * was; the next call tries again.
   * @throws {UnavailableError} The same, but the system is short of something else, or the batch may
   * turn up in the log after a crash.
   */
  append(body: Uint8Array, count: number): Promise<void>;
  close(): void;
}
