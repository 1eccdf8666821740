/**
 * Decoding of UTF-8 that keeps every character. By default a decoder drops a U+FEFF with which a
 * text begins, and a key or a value would come back changed.
 *
 * @module
 */
import { Buffer } from "node:buffer";

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
/** Up to here `Buffer` is twice as fast: a call of the decoder costs more. */
const SHORT_BYTES_MAX = 256;
// Deno's takes any array of bytes, and to make a `Buffer` of one would cost more than to decode.
const { toString } = Buffer.prototype;

/** The text in `bytes` from `start` to `end`. What is not UTF-8 becomes U+FFFD. */
export function decodeUtf8(
  bytes: Uint8Array,
  start: number = 0,
  end: number = bytes.length,
): string {
  return end - start <= SHORT_BYTES_MAX
    ? toString.call(bytes, "utf8", start, end)
    : decoder.decode(bytes.subarray(start, end));
}
