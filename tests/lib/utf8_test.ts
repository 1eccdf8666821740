import { assertEquals } from "@std/assert";
import { decodeUtf8 } from "../../lib/utf8.ts";

// The short way and the long one have to agree.
const COPIES = [1, 40, 1000];

Deno.test("decodeUtf8() gives back any text, with a U+FEFF at its start", () => {
  for (
    const sample of ["", "ascii", "é", "漢字", "🦕", "\ufeffkept", "nul \0 inside", "\u{10ffff}"]
  ) {
    for (const copies of COPIES) {
      const text = sample.repeat(copies);
      assertEquals(decodeUtf8(new TextEncoder().encode(text)), text);
    }
  }
});

Deno.test("decodeUtf8() reads from start to end, wherever the array begins in its memory", () => {
  for (const copies of COPIES) {
    const text = "\ufeffé".repeat(copies);
    const encoded = new TextEncoder().encode(`12${text}34`);
    const memory = new Uint8Array(encoded.length + 16).fill(0x78);
    memory.set(encoded, 8);
    const bytes = memory.subarray(8, 8 + encoded.length);
    assertEquals(decodeUtf8(bytes, 2, bytes.length - 2), text);
    assertEquals(decodeUtf8(bytes, 2), `${text}34`);
    assertEquals(decodeUtf8(bytes, 2, 2), "");
  }
});

Deno.test("decodeUtf8() puts U+FFFD for what is not UTF-8", () => {
  for (const copies of COPIES) {
    const bytes = new Uint8Array(copies + 1).fill(0x61);
    bytes[0] = 0xff;
    assertEquals(decodeUtf8(bytes), `\ufffd${"a".repeat(copies)}`);
  }
});
