/**
 * Decides when a node has a snapshot taken, and sees it through: the log is cut between two batches,
 * the snapshot is taken while the node goes on, and the log drops what it stands for.
 *
 *     log grown enough ─▶ log.cut ─▶ take: snapshot of all before the cut ─▶ log.drop
 *       between batches                elsewhere, as long as it takes
 *
 * A snapshot that fails does no harm: the log has everything, and it is tried again when the log
 * has grown by as much again.
 *
 * @module
 */
import { errorMessage } from "../../lib/error_message.ts";
import { SNAPSHOT_GROWTH_BYTES_MIN } from "../../lib/limits.ts";
import { type Log, LogRefusal, type SnapshotInfo } from "../log/log.ts";

/**
 * Takes a snapshot of the log up to `index`, where it was cut. Resolves when it is durable and was
 * read back. Rejects soon when `signal` is aborted: the node stops.
 */
export type TakeSnapshot = (index: number, signal: AbortSignal) => Promise<SnapshotInfo>;

export interface SnapshotSchedulerOptions {
  readonly log: Log;
  readonly take: TakeSnapshot;
  /** Told of each failure, in one line. */
  readonly report: (line: string) => void;
  /** Default: `SNAPSHOT_GROWTH_BYTES_MIN`. */
  readonly growthBytesMin?: number;
}

/** Has the snapshots of one node taken, one at a time. */
export class SnapshotScheduler {
  readonly #options: SnapshotSchedulerOptions;
  readonly #log: Log;
  readonly #growthBytesMin: number;
  readonly #stopping = new AbortController();
  /** The snapshot that is being taken. Never rejects. */
  #running: Promise<void> | null = null;
  /** Bytes that the log had appended when it was last cut, or could not be cut. */
  #cutAtBytes: number;
  #taken = 0;
  #failures = 0;

  constructor(options: SnapshotSchedulerOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#growthBytesMin = options.growthBytesMin ?? SNAPSHOT_GROWTH_BYTES_MIN;
    this.#cutAtBytes = -this.#log.bytes; // what it begins with counts
  }

  /** Whether a snapshot is being taken. */
  get isRunning(): boolean {
    return this.#running !== null;
  }

  /** Snapshots taken since the start. */
  get taken(): number {
    return this.#taken;
  }

  /** Snapshots that failed since the start. */
  get failures(): number {
    return this.#failures;
  }

  /**
   * To be called between two batches: begins a snapshot if one is due. The next batch has to wait
   * for what this returns, if anything: the cut of the log.
   *
   * @throws {Error} The log has failed.
   */
  betweenBatches(): Promise<void> | undefined {
    const isDue = this.#log.bytesAppended - this.#cutAtBytes >= this.#growthBytes();
    if (isDue && this.#running === null) return this.#begin();
  }

  /** Breaks off what is being taken. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #begin(): Promise<void> {
    this.#cutAtBytes = this.#log.bytesAppended;
    try {
      const index = await this.#log.cut();
      this.#running = this.#take(index).finally(() => this.#running = null);
    } catch (error) {
      if (!(error instanceof LogRefusal)) throw error;
      this.#fail(error);
    }
  }

  async #take(index: number): Promise<void> {
    const { signal } = this.#stopping;
    try {
      const snapshot = await this.#options.take(index, signal);
      await this.#drop(snapshot, signal);
      this.#taken++;
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    }
  }

  /** If this fails, the snapshot stays, and the log drops with the next one what is left. */
  async #drop(snapshot: SnapshotInfo, signal: AbortSignal): Promise<void> {
    try {
      await this.#log.drop(snapshot);
    } catch (error) {
      if (signal.aborted) return;
      const reason = errorMessage(error);
      this.#options.report(
        `${reason}; the snapshot was taken, and the removal is tried again with the next one`,
      );
    }
  }

  #fail(error: unknown): void {
    this.#failures++;
    const reason = errorMessage(error);
    this.#options.report(
      `snapshot failed: ${reason}; the log is kept, and it is tried again when that has grown more`,
    );
  }

  /** Growth of the log, in bytes, that is due a snapshot: both stay in proportion. */
  #growthBytes(): number {
    return Math.max(this.#growthBytesMin, this.#log.snapshot?.sizeBytes ?? 0);
  }
}
