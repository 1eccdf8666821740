/**
 * Builds the state of a node from its log: when a node starts, when a snapshot is taken, and when a
 * directory is checked, always by the same code.
 *
 * @module
 */
import { batchTime, forEachCommand } from "./batch.ts";
import { UnreadableRecordError } from "./log/damage.ts";
import type { LogVisitor } from "./log/log.ts";
import type { SessionsOptions } from "./sessions/sessions.ts";
import { Shard } from "./shard.ts";
import { SnapshotLoader } from "./snapshot/snapshot_format.ts";

/** Takes what a log has, and becomes the state after it. */
export class Replay implements LogVisitor {
  readonly shard: Shard;
  readonly #loader: SnapshotLoader;
  #time = 0;
  #records = 0;

  constructor(options: SessionsOptions) {
    this.shard = new Shard(options);
    this.#loader = new SnapshotLoader(this.shard);
  }

  /** Time of the last batch, in milliseconds since 1970; 0 if there was none. */
  get time(): number {
    return this.#time;
  }

  /** Number of records applied, without those that a snapshot stood for. */
  get records(): number {
    return this.#records;
  }

  readonly part = (kind: number, body: Uint8Array): void => {
    this.#time = this.#loader.load(kind, body)?.time ?? this.#time;
  };

  /** Parts of the snapshot are missing here, see {@linkcode SnapshotLoader.skip}. */
  skipParts(): void {
    this.#loader.skip();
  }

  /** @throws {UnreadableRecordError} The records before that one are applied. */
  readonly batch = (body: Uint8Array, firstIndex: number, count: number): void => {
    this.#time = batchTime(body);
    const found = forEachCommand(body, firstIndex, (command, index) => {
      this.shard.apply(command, index);
      this.#records++;
    });
    if (found === count) return;
    const index = firstIndex + Math.min(found, count - 1);
    throw new UnreadableRecordError(index, `batch has ${found} records, expected ${count}`);
  };
}
