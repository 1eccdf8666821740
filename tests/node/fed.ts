/**
 * For tests of what commands do to a shard, without a log: each is encoded as the log would have
 * it, and applied at the next index.
 *
 * @module
 */
import { ByteWriter } from "../../lib/byte_writer.ts";
import { CommandCursor, encodeCommand } from "../../lib/command_codec.ts";
import { type Command, CommandKind, type Result } from "../../lib/key_value.ts";
import type { SessionsOptions } from "../../node/sessions/sessions.ts";
import { Shard } from "../../node/shard.ts";

/** A shard that is fed commands as objects. */
export class Fed {
  readonly shard: Shard;
  /** Index of the last command. */
  index: number;

  /** A new shard, or one that has had `index` commands. */
  constructor(options: Partial<SessionsOptions> = {}, shard?: Shard, index = 0) {
    this.shard = shard ?? new Shard({ hashKey: [1, 2], ...options });
    this.index = index;
  }

  apply(command: Command): Result {
    const writer = new ByteWriter();
    encodeCommand(writer, command);
    const cursor = new CommandCursor(writer.written());
    cursor.moveTo(0, writer.length);
    this.index++;
    return this.shard.lastResult(this.index, this.shard.apply(cursor, this.index)).decode();
  }

  put(client: string, seq: number, key: string, value: string): Result {
    return this.apply({ kind: CommandKind.put, client, seq, key, value });
  }

  delete(client: string, seq: number, key: string): Result {
    return this.apply({ kind: CommandKind.delete, client, seq, key, value: "" });
  }

  check(): void {
    this.shard.store.check();
    this.shard.sessions.check();
  }
}
