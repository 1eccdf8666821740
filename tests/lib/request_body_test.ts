import { assertEquals, assertRejects } from "@std/assert";
import { BadRequestError } from "../../lib/api_request.ts";
import { UnavailableError } from "../../lib/key_value.ts";
import {
  BODY_BYTES_MAX,
  BODY_TIMEOUT_MS,
  LARGE_BODIES_BYTES_MAX,
  SMALL_BODY_BYTES_MAX,
} from "../../lib/limits.ts";
import { RequestBodies } from "../../lib/request_body.ts";
import { ManualClock } from "../manual_clock.ts";
import { until } from "../until.ts";

const PIECE_BYTES = 1024;
const NOT_UTF8 = "Body is not UTF-8, expected JSON in UTF-8";

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

/** The headers of a body of so many bytes: it says so not at all, once, or twice. */
function lengthsOf(bytes: number): (Record<string, string> | undefined)[] {
  return [undefined, { "content-length": `${bytes}` }, { "content-length": `${bytes}, ${bytes}` }];
}

/** Bytes in pieces of one size, for {@linkcode requestOf}. */
function piecesOf(bytes: Uint8Array<ArrayBuffer>, pieceBytes: number) {
  let start = 0;
  return () => start < bytes.length ? bytes.subarray(start, start += pieceBytes) : null;
}

/** Reads the body of one request. */
function readBody(request: Request): Promise<string> {
  return new RequestBodies(new ManualClock()).read(request);
}

Deno.test("RequestBodies.read() joins pieces of any size, cut inside characters too", async () => {
  const expected = `{"value":"é€😀\ufffd\u2028\0"}`;
  const bytes = encode(expected);
  for (let pieceBytes = 1; pieceBytes <= bytes.length; pieceBytes++) {
    for (const headers of lengthsOf(bytes.length)) {
      const text = await readBody(requestOf(piecesOf(bytes, pieceBytes), headers));
      assertEquals(text, expected, `${pieceBytes} bytes with ${JSON.stringify(headers)}`);
    }
  }
});

/** Where the parts of UTF-8 begin and end: whatever is wrong shows with one of these bytes. */
const EDGES = Uint8Array.fromHex("41808f909fa0bbbfc1c2dfe0edeff0f4f5ff");

Deno.test("RequestBodies.read() refuses triples that are not UTF-8, and no others", async () => {
  const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const edges = [...EDGES];
  const triples = edges.flatMap((a) => edges.flatMap((b) => edges.map((c) => [a, b, c])));
  for (const triple of triples) {
    const body = Uint8Array.from(triple);
    let expected = NOT_UTF8;
    try {
      expected = strict.decode(body);
    } catch { /* it is not UTF-8 */ }
    for (const headers of lengthsOf(3)) {
      const request = new Request("http://memory/put", { method: "POST", body, headers });
      const read = await readBody(request).catch((error: BadRequestError) => error.message);
      const name = triple.map((byte) => byte.toString(16)).join(" ");
      assertEquals(read, expected, `${name} with ${JSON.stringify(headers)}`);
    }
  }
});

Deno.test("RequestBodies.read() reads no further than one piece past its bound", async () => {
  for (const length of [null, "20, 20", "2097152, 2097152", "many"]) {
    let sent = 0;
    const request = requestOf(() => {
      sent += PIECE_BYTES;
      return sent > 2 * BODY_BYTES_MAX ? null : new Uint8Array(PIECE_BYTES);
    }, length === null ? undefined : { "content-length": length });
    const error = await assertRejects(
      () => readBody(request),
      BadRequestError,
      `Body has more than ${BODY_BYTES_MAX} bytes`,
    );
    assertEquals(error.status, 413);
    assertEquals(sent, BODY_BYTES_MAX + PIECE_BYTES);
  }
});

Deno.test("RequestBodies.read() reads nothing of a body that says it is too long", async () => {
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

Deno.test("RequestBodies.read() refuses a body that breaks off, with a length or not", async () => {
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

/** A body of which `sentBytes` are sent, and no more until it is let go. */
class UnfinishedBody {
  isTaken = false;
  isLetGo = false;
  readonly request: Request;

  constructor(sentBytes: number, headers?: Record<string, string>) {
    const pieces = sentBytes / PIECE_BYTES;
    let sent = 0;
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: (controller) => {
        if (sent++ < pieces) controller.enqueue(new Uint8Array(PIECE_BYTES));
        else this.isTaken = true;
      },
      cancel: () => {
        this.isLetGo = true;
      },
    }, { highWaterMark: 0 });
    this.request = new Request("http://memory/put", { method: "POST", body, headers });
  }
}

const LARGE = [
  undefined,
  { "content-length": `${SMALL_BODY_BYTES_MAX + 1}` },
  { "content-length": "20, 20" },
];

Deno.test("RequestBodies gives up a large body without an end, and leaves no timer", async () => {
  for (const headers of LARGE) {
    const clock = new ManualClock();
    const held = new UnfinishedBody(0, headers);
    const reading = new RequestBodies(clock).read(held.request);
    const refused = assertRejects(() => reading, BadRequestError, "within 30000 ms");
    clock.advance(BODY_TIMEOUT_MS - 1);
    assertEquals(held.isLetGo, false);
    clock.advance(1);
    assertEquals((await refused).status, 408);
    assertEquals([held.isLetGo, clock.pending], [true, 0]);
  }
});

Deno.test("RequestBodies takes large bodies up to a sum, and more when they are gone", async () => {
  const clock = new ManualClock();
  const bodies = new RequestBodies(clock);
  const reading: Promise<unknown>[] = [];
  for (let bytes = 0; bytes < LARGE_BODIES_BYTES_MAX; bytes += BODY_BYTES_MAX) {
    const unfinished = new UnfinishedBody(BODY_BYTES_MAX);
    const read = bodies.read(unfinished.request);
    reading.push(assertRejects(() => read, BadRequestError, "within 30000 ms"));
    await until(() => unfinished.isTaken, "all that was sent is taken", 10_000);
  }
  const tooMuch = new UnfinishedBody(PIECE_BYTES);
  await assertRejects(
    () => bodies.read(tooMuch.request),
    UnavailableError,
    "Too many large bodies",
  );
  assertEquals(tooMuch.isLetGo, true);
  const post = (body: string, headers?: Record<string, string>) =>
    bodies.read(new Request("http://memory/put", { method: "POST", body, headers }));
  assertEquals(await post("small", { "content-length": "5" }), "small");
  clock.advance(BODY_TIMEOUT_MS);
  await Promise.all(reading);
  assertEquals((await post("x".repeat(BODY_BYTES_MAX))).length, BODY_BYTES_MAX);
  assertEquals(clock.pending, 0);
});
