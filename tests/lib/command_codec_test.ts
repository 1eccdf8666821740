import { assertEquals, assertInstanceOf, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { ByteWriter } from "../../lib/byte_writer.ts";
import { COMMAND_HEADER_BYTES, CommandCursor, encodeCommand } from "../../lib/command_codec.ts";
import { type Command, CommandKind } from "../../lib/key_value.ts";
import { SEQ_MAX } from "../../lib/limits.ts";

function encode(...commands: Command[]): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(16);
  for (const command of commands) encodeCommand(writer, command);
  return writer.written();
}

function decode({ bytes, kind, clientStart, keyStart, valueStart, end, seq }: CommandCursor) {
  const text = (from: number, to: number) =>
    new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(from, to));
  return {
    kind,
    client: text(clientStart, keyStart),
    seq,
    key: text(keyStart, valueStart),
    value: text(valueStart, end),
  };
}

Deno.test("encodeCommand() writes the bytes of the example", () => {
  const command = { kind: CommandKind.put, client: "c", seq: 1, key: "k", value: "v" };
  assertEquals(
    encode(command).toHex(),
    "01000100" + "01000000" + "01000000" + "0100000000000000" + "636b76",
  );
});

Deno.test("CommandCursor reads back any commands, one after the other", () => {
  const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 60 })
    .filter((text) => text.isWellFormed());
  const command = fc.record({
    kind: fc.constant(CommandKind.put),
    client: text,
    seq: fc.integer({ min: 1, max: SEQ_MAX }),
    key: text,
    value: fc.oneof(fc.constant(""), text),
  });
  fc.assert(fc.property(fc.array(command), (commands) => {
    const bytes = encode(...commands);
    const cursor = new CommandCursor(bytes);
    let start = 0;
    for (const command of commands) {
      cursor.moveTo(start, bytes.length);
      assertEquals<Command>(decode(cursor) as Command, command);
      start = cursor.end;
    }
    assertEquals(start, bytes.length);
  }));
});

Deno.test("CommandCursor refuses what is not a command", () => {
  const whole = encode({ kind: CommandKind.put, client: "c", seq: 1, key: "k", value: "v" });
  const spoilt: Record<string, [offset: number, byte: number]> = {
    "no kind": [0, 0],
    "unknown kind": [0, 3],
    "unknown flag": [1, 1],
    "no client": [2, 0],
    "client too long": [3, 1],
    "no key": [4, 0],
    "key too long": [6, 2],
    "key past the end": [4, 3],
    "value past the end": [8, 2],
    "value of 4 GiB": [11, 0xff],
    "delete with a value": [0, 2],
    "seq 0": [12, 0],
    "seq above 2^53": [19, 1],
  };
  for (const [what, [offset, byte]] of Object.entries(spoilt)) {
    const bytes = whole.slice();
    bytes[offset] = byte;
    assertThrows(
      () => new CommandCursor(bytes).moveTo(0, bytes.length),
      RangeError,
      "malformed",
      what,
    );
  }
  for (let length = 0; length < whole.length; length++) {
    const cursor = new CommandCursor(whole);
    assertThrows(() => cursor.moveTo(0, length), RangeError, "Command", `${length} bytes`);
  }
});

/** A put of these bytes as client, key and value. */
function encodeBytes(client: number[], key: number[], value: number[]): Uint8Array {
  const bytes = encode({ kind: CommandKind.put, client: "c", seq: 1, key: "k", value: "v" });
  bytes[2] = client.length;
  bytes[4] = key.length;
  bytes[8] = value.length;
  return Uint8Array.from([...bytes.subarray(0, COMMAND_HEADER_BYTES), ...client, ...key, ...value]);
}

Deno.test("CommandCursor.requireUtf8() looks at client, key and value each by itself", () => {
  const [e1, e2] = new TextEncoder().encode("\u00e9");
  const whole = [e1, e2];
  const takes = (client: number[], key: number[], value: number[]) => {
    const bytes = encodeBytes(client, key, value);
    const cursor = new CommandCursor(bytes);
    cursor.moveTo(0, bytes.length);
    try {
      cursor.requireUtf8();
      return true;
    } catch (error) {
      assertInstanceOf(error, RangeError);
      assertEquals(error.message, "Command is malformed: client, key or value is not UTF-8");
      return false;
    }
  };
  assertEquals(takes(whole, whole, whole), true);
  assertEquals(takes(whole, whole, []), true);
  for (const wrong of [[e1], [e2], [0xff], [0xed, 0xa0, 0x80]]) {
    assertEquals(
      [takes(wrong, whole, whole), takes(whole, wrong, whole), takes(whole, whole, wrong)],
      [false, false, false],
      `${wrong}`,
    );
  }
  assertEquals(takes([e1], [e2], whole), false, "a character from the client into the key");
  assertEquals(takes(whole, [e1], [e2]), false, "a character from the key into the value");
  // The byte after the command is none of its own.
  const cursor = new CommandCursor(Uint8Array.from([...encodeBytes(whole, whole, []), e2]));
  cursor.moveTo(0, cursor.bytes.length);
  cursor.requireUtf8();
});
