import { assertEquals } from "@std/assert";
import { readableResult, ResultEncoder } from "../../../node/sessions/result_codec.ts";
import { SessionResults } from "../../../node/sessions/session_results.ts";

// These pin what snapshots have on disk.

function newResults(): SessionResults {
  const results = new SessionResults(1);
  results.create(1, new Uint8Array(2), 0, 2);
  return results;
}

Deno.test("ResultEncoder.encode() writes the bytes of the example, and they are read back", () => {
  const results = newResults();
  results.insert(1, 0, 7, 300, 0xa1b2c3d4);
  const target = results.addPrevValue(1, 0, 3);
  target.set(new TextEncoder().encode("abc"), results.prevOffsetOf(1, 0));
  const bytes = new ResultEncoder(results).encode(1, 0);
  assertEquals(
    bytes.toHex(),
    "0700000000000000" + "2c01000000000000" + "d4c3b2a1" + "00000000" + "616263",
  );
  const readable = { seq: 7, logIndex: 300, prevValue: "abc" };
  assertEquals(readableResult(bytes, 0, bytes.length), readable);
});

Deno.test("ResultEncoder.encode() tells a forgotten value from an empty one", () => {
  const results = newResults();
  results.insert(1, 0, 1, 1, 5);
  const encoder = new ResultEncoder(results);
  const readBack = () => {
    const bytes = encoder.encode(1, 0);
    return readableResult(bytes, 0, bytes.length).prevValue;
  };
  assertEquals(readBack(), "");
  results.markForgotten(1, 0);
  assertEquals(readBack(), null);
});
