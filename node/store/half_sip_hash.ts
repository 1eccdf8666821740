/**
 * HalfSipHash-1-3 with 32 bits of output: a hash of bytes that nobody can steer without its key.
 *
 * A hash table whose hash is known can be flooded: an attacker picks keys that all fall into one
 * place, and every lookup becomes a walk. SipHash prevents that with a secret key, and its small
 * brother HalfSipHash does so with additions, rotations and exclusive-ors of 32 bits, which are
 * what JavaScript has. One round for each word and three at the end are the variant that the Linux
 * kernel and others use for hash tables.
 *
 * It is not a message authentication code: 32 bits can be guessed. The algorithm is that of
 * Jean-Philippe Aumasson and Daniel J. Bernstein, "SipHash: a fast short-input PRF" (INDOCRYPT
 * 2012), and of `halfsiphash.c` in their reference implementation, github.com/veorq/SipHash.
 *
 * @module
 */

/** Rounds after the last word. */
const FINAL_ROUNDS = 3;

/**
 * The hash of `bytes[start]` to `bytes[end - 1]`, from 0 to 2^32−1.
 *
 * @param k0 The first four bytes of the key, as a little-endian number of 32 bits.
 * @param k1 The last four bytes of the key.
 */
export function halfSipHash13(
  k0: number,
  k1: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): number {
  let v0 = k0 | 0;
  let v1 = k1 | 0;
  let v2 = k0 ^ 0x6c796765;
  let v3 = k1 ^ 0x74656462;

  // Whole words first, then the word that holds the last bytes and the length, then words of zero:
  // they change nothing, so the final rounds can be the same code as the others.
  const tailAt = start + ((end - start) & ~3);
  const stopAt = tailAt + 4 * (1 + FINAL_ROUNDS);
  for (let at = start; at < stopAt; at += 4) {
    let word = 0;
    if (at < tailAt) {
      word = bytes[at] | bytes[at + 1] << 8 | bytes[at + 2] << 16 | bytes[at + 3] << 24;
    } else if (at === tailAt) {
      word = (end - start) << 24;
      for (let last = end - 1; last >= tailAt; last--) word |= bytes[last] << 8 * (last - tailAt);
    } else if (at === tailAt + 4) {
      v2 ^= 0xff;
    }

    v3 ^= word;
    v0 = v0 + v1 | 0;
    v1 = (v1 << 5 | v1 >>> 27) ^ v0;
    v0 = v0 << 16 | v0 >>> 16;
    v2 = v2 + v3 | 0;
    v3 = (v3 << 8 | v3 >>> 24) ^ v2;
    v0 = v0 + v3 | 0;
    v3 = (v3 << 7 | v3 >>> 25) ^ v0;
    v2 = v2 + v1 | 0;
    v1 = (v1 << 13 | v1 >>> 19) ^ v2;
    v2 = v2 << 16 | v2 >>> 16;
    v0 ^= word;
  }
  return (v1 ^ v3) >>> 0;
}
