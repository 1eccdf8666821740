import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import * as fc from "fast-check";
import { BadRequestError, parseCommand, parseKeyQuery, readBody } from "../../lib/api_request.ts";
import { type Command, CommandKind } from "../../lib/key_value.ts";
import { BODY_BYTES_MAX, SEQ_MAX } from "../../lib/limits.ts";

const PIECE_BYTES = 1024;
const NO_UTF8 = "Body is not UTF-8, expected JSON in UTF-8";

/** Any text that has UTF-8, with characters of every length. */
const text = (minLength: number) => fc.string({ unit: "binary", minLength, maxLength: 60 });

function encode(value: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(value);
}

/** A request whose body comes in pieces, each made when it is asked for; `null` ends it. */
function requestOf(
  next: () => Uint8Array<ArrayBuffer> | null,
  headers?: Record<string, string>,
): Request {
  const pieces: UnderlyingDefaultSource<Uint8Array<ArrayBuffer>> = {
    pull(controller) {
      const piece = next();
      if (piece === null) controller.close();
      else controller.enqueue(piece);
    },
  };
  const body = new ReadableStream(pieces, { highWaterMark: 0 });
  return new Request("http://memory/put", { method: "POST", body, headers });
}

/** Bytes in pieces of one size, for {@linkcode requestOf}. */
function piecesOf(bytes: Uint8Array<ArrayBuffer>, pieceBytes: number) {
  let start = 0;
  return () => start < bytes.length ? bytes.subarray(start, start += pieceBytes) : null;
}

Deno.test("readBody() puts pieces of any size together, cut inside characters too", async () => {
  const expected = `{"value":"é€😀\ufffd\u2028\0"}`;
  const bytes = encode(expected);
  for (let pieceBytes = 1; pieceBytes <= bytes.length; pieceBytes++) {
    for (const headers of [undefined, { "content-length": `${bytes.length}` }]) {
      const text = await readBody(requestOf(piecesOf(bytes, pieceBytes), headers));
      assertEquals(text, expected, `${pieceBytes} bytes with ${JSON.stringify(headers)}`);
    }
  }
});

/** Where the parts of UTF-8 begin and end: whatever is wrong shows with one of these bytes. */
const EDGES = Uint8Array.fromHex("41808f909fa0bbbfc1c2dfe0edeff0f4f5ff");

Deno.test("readBody() refuses any three bytes that are not UTF-8, and no others", async () => {
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const edges = [...EDGES];
  const triples = edges.flatMap((a) => edges.flatMap((b) => edges.map((c) => [a, b, c])));
  for (const triple of triples) {
    const body = Uint8Array.from(triple);
    let expected = NO_UTF8;
    try {
      expected = strict.decode(body);
    } catch { /* it is not UTF-8 */ }
    for (const headers of [undefined, { "content-length": "3" }]) {
      const request = new Request("http://memory/put", { method: "POST", body, headers });
      const read = await readBody(request).catch((error: BadRequestError) => error.message);
      const name = triple.map((byte) => byte.toString(16)).join(" ");
      assertEquals(read, expected, `${name} with ${JSON.stringify(headers)}`);
    }
  }
});

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

Deno.test("readBody() reads no further than one piece past its bound", async () => {
  let sent = 0;
  const request = requestOf(() => {
    sent += PIECE_BYTES;
    return new Uint8Array(PIECE_BYTES);
  });
  const error = await assertRejects(
    () => readBody(request),
    BadRequestError,
    `Body has more than ${BODY_BYTES_MAX} bytes`,
  );
  assertEquals(error.status, 413);
  assertEquals(sent, BODY_BYTES_MAX + PIECE_BYTES);
});

Deno.test("readBody() reads nothing of a body that says it is too long", async () => {
  let asked = 0;
  const request = requestOf(() => {
    asked++;
    return null;
  }, { "content-length": `${BODY_BYTES_MAX + 1}` });
  const error = await assertRejects(
    () => readBody(request),
    BadRequestError,
    `Body has ${BODY_BYTES_MAX + 1} bytes, expected at most ${BODY_BYTES_MAX}`,
  );
  assertEquals([error.status, asked, request.bodyUsed], [413, 0, false]);
});

Deno.test("readBody() refuses a body that breaks off, with or without a length", async () => {
  for (const headers of [undefined, { "content-length": "500" }]) {
    const pieces = [encode(`{"client":`)];
    const request = requestOf(() => {
      const piece = pieces.pop();
      if (piece === undefined) throw new Deno.errors.ConnectionReset("Peer went away");
      return piece;
    }, headers);
    const error = await assertRejects(
      () => readBody(request),
      BadRequestError,
      "Body did not arrive whole: Peer went away",
      JSON.stringify(headers),
    );
    assertEquals(error.status, 400);
  }
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
