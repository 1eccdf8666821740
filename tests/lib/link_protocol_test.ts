import { assertEquals, assertThrows } from "@std/assert";
import { ByteWriter } from "../../lib/byte_writer.ts";
import { Outcome, type Result } from "../../lib/key_value.ts";
import {
  decodeJson,
  decodeResult,
  decodeValue,
  encodeResult,
  FrameType,
} from "../../lib/link_protocol.ts";
import { Frame } from "../../lib/wire.ts";
import { encoded } from "../encoded_result.ts";

/** A frame as it is received, among other bytes. */
function received(type: number, encode: (writer: ByteWriter) => void): Frame {
  const writer = new ByteWriter();
  writer.text("before");
  const start = writer.length;
  writer.uint32(0);
  writer.uint32(1);
  writer.uint8(type);
  encode(writer);
  writer.uint32At(start, writer.length - start - 4);
  writer.text("after");
  const frame = new Frame(writer.written().slice());
  frame.moveTo(start, frame.bytes.length);
  return frame;
}

Deno.test("decodeResult() reads what encodeResult() wrote", () => {
  const results: Result[] = [
    { outcome: Outcome.applied, logIndex: 1, prevValue: "" },
    { outcome: Outcome.duplicate, logIndex: Number.MAX_SAFE_INTEGER, prevValue: "\ufeffé🙂" },
    { outcome: Outcome.stale, logIndex: 0, prevValue: null },
  ];
  for (const result of results) {
    const reply = received(FrameType.result, (writer) => encodeResult(writer, encoded(result)));
    assertEquals(decodeResult(reply), result);
  }
});

Deno.test("decodeResult() refuses a result that is too short", () => {
  const reply = received(FrameType.result, (writer) => writer.text("123456789"));
  assertThrows(
    () => decodeResult(reply),
    RangeError,
    "Result has 9 bytes, expected at least 10",
  );
});

Deno.test("decodeValue() tells an empty value from none", () => {
  assertEquals(decodeValue(received(FrameType.value, () => {})), "");
  assertEquals(
    decodeValue(received(FrameType.value, (writer) => writer.text("\ufeffé"))),
    "\ufeffé",
  );
  assertEquals(decodeValue(received(FrameType.missing, () => {})), null);
});

Deno.test("A reply of another type is no answer", () => {
  const other = received(FrameType.welcome, () => {});
  assertEquals(
    [decodeValue(other), decodeResult(other), decodeJson(other)],
    [undefined, undefined, undefined],
  );
});

Deno.test("decodeJson() refuses what is not JSON", () => {
  const reply = received(FrameType.json, (writer) => writer.text("{"));
  assertThrows(() => decodeJson(reply), RangeError, "Reply is not JSON");
});
