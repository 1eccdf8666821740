/**
 * What a node has given to its log, kept beside the log: so that a restart can be compared with
 * what was there before it, byte by byte.
 *
 * @module
 */
import { FileLog, type FileLogOptions } from "../../node/log/file_log.ts";
import { batchTime, forEachCommand } from "../../node/batch.ts";
import { type BatchVisitor, type Log, LogRefusal, type LogVisitor } from "../../node/log/log.ts";
import type { ShardBounds } from "../../node/open_node.ts";
import { Shard } from "../../node/shard.ts";
import { stateHash } from "../../node/state_hash.ts";

/** Bounds of a node that has little to remember: what has room for more is slow to set up. */
export const SMALL: ShardBounds = { sessionsMax: 64, chunkBytes: 64 * 1024 };

/** A batch as the log got it. */
export interface RecordedBatch {
  readonly body: Uint8Array;
  readonly firstIndex: number;
  readonly count: number;
}

/** The batches of one node, over all of its restarts. */
export class LogRecord {
  /** Those that can never be lost, in order. */
  readonly durable: RecordedBatch[] = [];
  /** Those that would come next: appended, and maybe there after a crash, at most one of them. */
  #open: RecordedBatch[] = [];
  readonly #fail: (problem: string) => void;

  /** `fail` is told what a log has lost or made up. */
  constructor(fail: (problem: string) => void) {
    this.#fail = fail;
  }

  /** Index of the last record that can never be lost. */
  get lastIndex(): number {
    const last = this.durable.at(-1);
    return last === undefined ? 0 : last.firstIndex + last.count - 1;
  }

  /** Hash of the state that the durable batches make, one after the other. */
  stateHash(): string {
    const shard = new Shard({ ...SMALL, hashKey: [5, 6] });
    for (const { body, firstIndex } of this.durable) {
      forEachCommand(body, firstIndex, (command, index) => shard.apply(command, index));
    }
    return stateHash(shard);
  }

  appended(batch: RecordedBatch): void {
    this.#open.push(batch);
  }

  acknowledged(batch: RecordedBatch): void {
    if (batch.firstIndex !== this.lastIndex + 1) {
      this.#fail(`batch at ${batch.firstIndex} was acknowledged after index ${this.lastIndex}`);
    }
    const last = this.durable.at(-1);
    if (last !== undefined && batchTime(batch.body) < batchTime(last.body)) {
      this.#fail(`batch at ${batch.firstIndex} has an earlier time than the one before it`);
    }
    this.#settle(batch);
  }

  /** It is not in the log, and must never be. */
  refused(batch: RecordedBatch): void {
    this.#open = this.#open.filter((other) => other !== batch);
  }

  #settle(batch: RecordedBatch): void {
    this.durable.push(batch);
    this.#open = [];
  }

  /** Takes in the batches that a restart found. */
  replay(): { visit: BatchVisitor; end: (lastIndex: number) => void } {
    let beyond: RecordedBatch | undefined;
    return {
      visit: (body, firstIndex, count) => {
        if (firstIndex <= this.lastIndex) {
          const expected = this.durable.find((batch) => batch.firstIndex === firstIndex);
          if (expected === undefined || !isBatch(expected, body, firstIndex, count)) {
            this.#fail(`batch at ${firstIndex} came back changed, or out of place`);
          }
          return;
        }
        const found = this.#open.find((batch) => isBatch(batch, body, firstIndex, count));
        if (found === undefined || beyond !== undefined) {
          this.#fail(`batch at ${firstIndex} came back, and was never written`);
        }
        beyond = found;
      },
      end: (lastIndex) => {
        if (lastIndex < this.lastIndex) {
          this.#fail(
            `records ${lastIndex + 1} to ${this.lastIndex} were acknowledged and are lost`,
          );
        }
        // What a node serves from is durable. What it has not found must never come back.
        if (beyond !== undefined) this.#settle(beyond);
        else this.#open = [];
      },
    };
  }
}

function isBatch(batch: RecordedBatch, body: Uint8Array, first: number, count: number): boolean {
  return batch.firstIndex === first && batch.count === count &&
    batch.body.length === body.length && batch.body.every((byte, i) => byte === body[i]);
}

/** Opens the log of a node, and keeps its record from then on. */
export async function openRecordedLog(
  options: FileLogOptions,
  { part, batch }: LogVisitor,
  record: LogRecord,
): Promise<Log> {
  const replay = record.replay();
  const log = await FileLog.open(options, {
    part,
    batch(body, firstIndex, count) {
      replay.visit(body, firstIndex, count);
      batch(body, firstIndex, count);
    },
  });
  replay.end(log.lastIndex);
  const append = log.append.bind(log);
  log.append = async (body, count) => {
    const batch = { body: body.slice(), firstIndex: log.lastIndex + 1, count };
    record.appended(batch);
    try {
      await append(body, count);
    } catch (error) {
      if (error instanceof LogRefusal && error.reason !== "half written") record.refused(batch);
      throw error;
    }
    record.acknowledged(batch);
  };
  return log;
}
