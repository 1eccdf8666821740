import { assertEquals } from "@std/assert";
import { halfSipHash13 } from "../../../node/store/half_sip_hash.ts";

// The first 16 and the last of the 64 vectors that the Linux kernel publishes for HalfSipHash-1-3
// (`test_vectors_hsiphash` in `lib/test_siphash.c`, 32-bit case): entry n is the hash of the n
// bytes 0, 1, … n−1 under the key bytes 0 to 7.
const VECTORS = new Map(
  // deno-fmt-ignore
  [
    0x5814c896, 0xe7e864ca, 0xbc4b0e30, 0x01539939, 0x7e059ea6, 0x88e3d89b, 0xa0080b65, 0x9d38d9d6,
    0x577999b1, 0xc839caed, 0xe4fa32cf, 0x959246ee, 0x6b28096c, 0x66dd9cd6, 0x16658a7c, 0xd0257b04,
  ].entries(),
).set(63, 0x87178304);
const K0 = 0x03020100;
const K1 = 0x07060504;
const INPUT = Uint8Array.from({ length: 64 }, (_, index) => index);

Deno.test("halfSipHash13() agrees with the published vectors", () => {
  for (const [length, expected] of VECTORS) {
    assertEquals(halfSipHash13(K0, K1, INPUT, 0, length), expected, `of ${length} bytes`);
  }
});

Deno.test("halfSipHash13() reads its range only, at any alignment", () => {
  for (const [length, expected] of VECTORS) {
    for (let start = 0; start < 8; start++) {
      const bytes = new Uint8Array(start + length + 8).fill(0xff);
      bytes.set(INPUT.subarray(0, length), start);
      assertEquals(
        halfSipHash13(K0, K1, bytes, start, start + length),
        expected,
        `of ${length} bytes from ${start}`,
      );
    }
  }
});

Deno.test("halfSipHash13() depends on every bit of the key and of the input", () => {
  const bytes = INPUT.slice(0, 11);
  const hashes = new Set([halfSipHash13(K0, K1, bytes, 0, bytes.length)]);
  for (let bit = 0; bit < 32; bit++) {
    hashes.add(halfSipHash13(K0 ^ 1 << bit, K1, bytes, 0, bytes.length));
    hashes.add(halfSipHash13(K0, K1 ^ 1 << bit, bytes, 0, bytes.length));
  }
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    bytes[bit >> 3] ^= 1 << (bit & 7);
    hashes.add(halfSipHash13(K0, K1, bytes, 0, bytes.length));
    bytes[bit >> 3] ^= 1 << (bit & 7);
  }
  assertEquals(hashes.size, 1 + 64 + 8 * bytes.length);
});
