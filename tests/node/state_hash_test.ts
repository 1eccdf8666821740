import { assertEquals, assertNotEquals } from "@std/assert";
import { ByteWriter } from "../../lib/byte_writer.ts";
import { CommandCursor, encodeCommand } from "../../lib/command_codec.ts";
import { CommandKind } from "../../lib/key_value.ts";
import { Shard } from "../../node/shard.ts";
import { stateHash } from "../../node/state_hash.ts";

type Write = [client: string, seq: number, key: string, value: string];

const WRITES: Write[] = [["a", 1, "k1", "v1"], ["b", 1, "k2", "v2"], ["a", 2, "k1", "v3"]];

/** A shard after these writes; the first one is at index 1. */
function shardAfter(writes: Write[], options: { hashKey?: [number, number] } = {}): Shard {
  const shard = new Shard({ hashKey: [1, 2], ...options });
  writes.forEach(([client, seq, key, value], i) => {
    const writer = new ByteWriter();
    encodeCommand(writer, { kind: CommandKind.put, client, seq, key, value });
    const cursor = new CommandCursor(writer.written());
    cursor.moveTo(0, writer.length);
    shard.apply(cursor, i + 1);
  });
  return shard;
}

Deno.test("stateHash() is the same for the same commands, whatever the tables' key", () => {
  const hash = stateHash(shardAfter(WRITES));
  assertEquals(hash, stateHash(shardAfter(WRITES, { hashKey: [77, 88] })));
  assertEquals(hash.length, 16);
});

Deno.test("stateHash() changes with any key, value, client, seq, index or order", () => {
  const changed: Record<string, Write[]> = {
    "a value": [WRITES[0], WRITES[1], ["a", 2, "k1", "v4"]],
    "a key": [WRITES[0], ["b", 1, "k3", "v2"], WRITES[2]],
    "values swapped": [["a", 1, "k1", "v1"], ["b", 1, "k2", "v3"], ["a", 2, "k1", "v2"]],
    "the border of key and value": [WRITES[0], ["b", 1, "k2v", "2"], WRITES[2]],
    "a client": [WRITES[0], ["c", 1, "k2", "v2"], WRITES[2]],
    "a seq": [WRITES[0], ["b", 2, "k2", "v2"], WRITES[2]],
    "one write more": [...WRITES, ["b", 2, "k1", "v3"]],
    "a duplicate, which changes only the order of use": [...WRITES, WRITES[1]],
    "the indexes": [WRITES[1], WRITES[0], WRITES[2]],
  };
  const hash = stateHash(shardAfter(WRITES));
  for (const [what, writes] of Object.entries(changed)) {
    assertNotEquals(stateHash(shardAfter(writes)), hash, what);
  }
});
