/**
 * The contract of a write-ahead log: batches of bytes go in, one at a time, and come out again
 * after a crash, in order, each whole. A snapshot may stand for the oldest ones. The log knows
 * nothing of keys and values.
 *
 * @module
 */
/**
 * Called for each batch, in order. `body` is only valid during the call. An
 * `UnreadableRecordError` that it throws counts as damage at the place of the batch.
 */
export type BatchVisitor = (body: Uint8Array, firstIndex: number, count: number) => void;

/** Called for each part of a snapshot, in order. `body` is only valid during the call. */
export type PartVisitor = (kind: number, body: Uint8Array) => void;

/** Gets what a log has: all parts of the snapshot, if it begins with one, then the batches. */
export interface LogVisitor {
  readonly part: PartVisitor;
  readonly batch: BatchVisitor;
}

/** A snapshot that is durable. */
export interface SnapshotInfo {
  /** Index of the last record in it. */
  readonly index: number;
  readonly sizeBytes: number;
}

/** Why a log refused a batch: `half written` is a full disk that kept a part of it. */
export type RefusalReason = "disk full" | "too many files" | "half written";

/**
 * The system was short of something, and the log did not take a batch. It is as it was, and may
 * take the next one; but a batch that is half written may turn up in it after a crash. The message
 * is that of the system.
 */
export class LogRefusal extends Error {
  override name = "LogRefusal";
  readonly reason: RefusalReason;

  constructor(reason: RefusalReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.reason = reason;
  }
}

/** A log of records, numbered from 1, of which all that is durable was visited. */
export interface Log {
  /** Index of the last record that is durable; 0 in an empty log. */
  readonly lastIndex: number;
  /** Bytes on disk that hold frames, without those that the snapshot stands for. */
  readonly bytes: number;
  /** Bytes of frames written since the log was opened. */
  readonly bytesAppended: number;
  /** Syncs since the log was opened. */
  readonly syncs: number;
  /** Pieces that it is cut into. */
  readonly segments: number;
  /** What stands for the first records; null if the log begins with record 1. */
  readonly snapshot: SnapshotInfo | null;
  /**
   * Adds a batch of `count` records and resolves when it cannot be lost any more. One batch at a
   * time. `body` must stay as it is until then.
   *
   * After any failure but a refusal nobody knows what is durable: every further call fails with the
   * same error.
   *
   * @throws {LogRefusal} The log did not take the batch; the next call tries again.
   */
  append(body: Uint8Array, count: number): Promise<void>;
  /**
   * Ends a segment, so that the records up to the index that this resolves with will not be touched
   * any more and can be read for a snapshot. Not while a batch is being appended; fails as that
   * does.
   */
  cut(): Promise<number>;
  /**
   * Removes what a snapshot stands for. May be called while a batch is being appended. A failure
   * harms nothing: what is left is removed the next time.
   */
  drop(snapshot: SnapshotInfo): Promise<void>;
  close(): void;
}
