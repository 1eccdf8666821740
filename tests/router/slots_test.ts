import { assertEquals } from "@std/assert";
import { assignSlots, SLOT_COUNT, slotOf } from "../../router/slots.ts";

Deno.test("slotOf() is the slot of Redis Cluster", () => {
  // The check value of CRC-16/XMODEM, and a key of the Redis Cluster documentation.
  assertEquals(slotOf("123456789"), 0x31c3);
  assertEquals(slotOf("foo"), 12182);
});

Deno.test("slotOf() of keys with one hash tag is one slot", () => {
  const slot = slotOf("user1000");
  for (const key of ["{user1000}.following", "{user1000}.followers", "x{user1000}{y}"]) {
    assertEquals(slotOf(key), slot, key);
  }
});

Deno.test("assignSlots() gives every node its even share, in one piece", () => {
  for (const nodes of [1, 2, 3, 6, 7, 100]) {
    const owners = [...assignSlots(nodes)];
    assertEquals(owners, [...owners].sort((a, b) => a - b), `${nodes} nodes in order`);
    for (let node = 0; node < nodes; node++) {
      const share = owners.filter((owner) => owner === node).length;
      const fair = SLOT_COUNT / nodes;
      assertEquals(Math.abs(share - fair) < 1, true, `node ${node} of ${nodes} has ${share} slots`);
    }
  }
});
