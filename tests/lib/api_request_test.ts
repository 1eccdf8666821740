import { assertEquals, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { BadRequestError, parseCommand, parseKeyQuery } from "../../lib/api_request.ts";
import { type Command, CommandKind } from "../../lib/key_value.ts";
import { SEQ_MAX } from "../../lib/limits.ts";

/** Any text that has UTF-8, with characters of every length. */
const text = (minLength: number) => fc.string({ unit: "binary", minLength, maxLength: 60 });

Deno.test("parseCommand() reads any command", () => {
  const command = fc.record({
    kind: fc.constant(CommandKind.put),
    client: text(1),
    seq: fc.integer({ min: 1, max: SEQ_MAX }),
    key: text(1),
    value: text(0),
  });
  fc.assert(fc.property(command, (expected) => {
    const { kind: _, ...fields } = expected;
    assertEquals<Command>(parseCommand(JSON.stringify(fields), CommandKind.put), expected);
  }));
});

Deno.test("parseCommand() gives a delete no value", () => {
  const { value, kind } = parseCommand(`{"client":"c","seq":1,"key":"k"}`, CommandKind.delete);
  assertEquals([kind, value], [CommandKind.delete, ""]);
});

Deno.test("parseCommand() takes the fields in any order", () => {
  const text = `{"value":"v","key":"k","seq":1,"client":"c"}`;
  const expected = { kind: CommandKind.put, client: "c", seq: 1, key: "k", value: "v" };
  assertEquals<Command>(parseCommand(text, CommandKind.put), expected);
});

Deno.test("parseKeyQuery() reads any key that was percent-encoded", () => {
  fc.assert(
    fc.property(text(1), (key) => {
      assertEquals(parseKeyQuery(`key=${encodeURIComponent(key)}`), key);
      assertEquals(parseKeyQuery(new URLSearchParams({ key }).toString()), key);
    }),
    { numRuns: 500 },
  );
});

Deno.test("parseKeyQuery() reads what needs no encoding as it is", () => {
  for (const key of ["k", "a=b", "?", "#", "/", "é😀", `"<>\\^{|}`, "key"]) {
    assertEquals(parseKeyQuery(`key=${key}`), key, key);
  }
});

Deno.test("parseKeyQuery() decodes a key once", () => {
  assertEquals(parseKeyQuery("key=%2520"), "%20");
  assertEquals(parseKeyQuery("key=%252B"), "%2B");
});

Deno.test("parseKeyQuery() quotes no more than the beginning of a long key", () => {
  const error = assertThrows(() => parseKeyQuery(`key=${"a".repeat(1000)}%`), BadRequestError);
  assertEquals(
    error.message,
    `Parameter "key" is "${"a".repeat(40)}…", expected percent-encoded UTF-8`,
  );
});
