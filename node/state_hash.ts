/**
 * A hash of all that a node holds: keys, values and sessions. Two shards with the same hash answer
 * every command alike, so "replayed", "loaded from a snapshot" and "as it was live" can be
 * compared.
 *
 * The hash of the entries is a sum, so it does not depend on the order in which a table has them.
 * The sessions count with their place in the order of use, because that decides which one is
 * evicted.
 *
 * It finds mistakes, not forgeries: the two hash keys are known.
 *
 * @module
 */
import { ByteWriter } from "../lib/byte_writer.ts";
import { CLIENT_BYTES_MAX } from "../lib/limits.ts";
import { halfSipHash13 } from "./store/half_sip_hash.ts";
import type { Sessions } from "./sessions/sessions.ts";
import type { Shard } from "./shard.ts";

/** Adds up 64 bits of hash per item, in two halves. */
class HashSum {
  #low = 0;
  #high = 0;

  add(item: ByteWriter): void {
    this.#low = this.#low + halfSipHash13(1, 2, item.buffer, 0, item.length) >>> 0;
    this.#high = this.#high + halfSipHash13(3, 4, item.buffer, 0, item.length) >>> 0;
  }

  toString(): string {
    return [this.#high, this.#low].map((half) => half.toString(16).padStart(8, "0")).join("");
  }
}

/** The first byte of what is hashed, so that one kind of item cannot pass for another. */
const ItemKind = { entry: 1, session: 2, result: 3, counts: 4 } as const;

/** The hash of the state, as 16 hexadecimal digits. Takes about a second per million keys. */
export function stateHash({ store, sessions }: Shard): string {
  const sum = new HashSum();
  const item = new ByteWriter();
  for (const entry of store.packedEntries()) {
    item.clear();
    item.uint8(ItemKind.entry);
    item.bytes(entry); // with both lengths: where the key ends and the value begins counts too
    sum.add(item);
  }
  addSessions(sum, item, sessions);
  return sum.toString();
}

function addSessions(sum: HashSum, item: ByteWriter, sessions: Sessions): void {
  const client = new Uint8Array(CLIENT_BYTES_MAX);
  let place = 0;
  for (const session of sessions.numbers()) {
    const clientLength = sessions.copyClient(session, client);
    const { top, latest, floor } = sessions.stateOf(session);
    item.clear();
    item.uint8(ItemKind.session);
    for (const number of [++place, top, latest, floor]) item.uint53(number);
    item.bytes(client, 0, clientLength);
    sum.add(item);
    for (const result of sessions.resultsOf(session)) {
      item.clear();
      item.uint8(ItemKind.result);
      item.uint53(place);
      item.bytes(result);
      sum.add(item);
    }
  }
  item.clear();
  item.uint8(ItemKind.counts);
  for (const number of [sessions.evictions, sessions.drops, sessions.bytes]) item.uint53(number);
  sum.add(item);
}
