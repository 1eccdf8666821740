/**
 * Placement: which node owns a key. A key hashes to one of 16,384 slots, and a slot belongs to a
 * node. The slot is the one of Redis Cluster: CRC-16 of the key, or of its `{hash tag}`, so keys
 * with the same tag are on the same node. In one corner the library differs from Redis: a key with
 * an empty tag, as in `a{}{b}`, is hashed from its first brace on where Redis hashes all of it.
 *
 * @module
 */
import slotOfKey from "cluster-key-slot";

/** How many slots there are. All keys of a slot belong to the same node. */
export const SLOT_COUNT = 16_384;

/**
 * The owner of each slot, as the number of a node, from 0. The slots of an owner are adjacent, and
 * no owner has more than one slot more than another.
 */
export function assignSlots(nodeCount: number): Uint16Array {
  const owners = new Uint16Array(SLOT_COUNT);
  for (let slot = 0; slot < SLOT_COUNT; slot++) {
    owners[slot] = Math.floor(slot * nodeCount / SLOT_COUNT);
  }
  return owners;
}

/** The slot of `key`. */
export function slotOf(key: string): number {
  return slotOfKey(key);
}
