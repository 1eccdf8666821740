import { assert, assertEquals } from "@std/assert";
import { createHandler, type Handler } from "../../lib/api.ts";
import { systemClock } from "../../lib/clock.ts";
import { InsufficientStorageError, type Service, UnavailableError } from "../../lib/key_value.ts";
import { BODY_BYTES_MAX, KEY_BYTES_MAX, SESSION_WINDOW } from "../../lib/limits.ts";
import { MemoryNode, startMemoryCluster } from "../memory_cluster.ts";
import { waitFor } from "../process.ts";
import { BAD_REQUESTS, type BadRequest } from "./bad_requests.ts";

/** An answer as a client sees it. */
interface Answer {
  status: number;
  /** Whole, as text: the order of the fields is part of the API. */
  body: string;
}

/** The HTTP front of a service, and requests to it. */
class Front {
  readonly #handle: Handler;

  constructor(service: Service) {
    this.#handle = createHandler(service, systemClock);
  }

  async send(target: string, init?: RequestInit): Promise<Response> {
    return await this.#handle(new Request(`http://memory${target}`, init));
  }

  async get(target: string): Promise<Answer> {
    return await answerOf(await this.send(target));
  }

  /** Reads a key as a client in JavaScript would. */
  read(key: string): Promise<Answer> {
    return this.get(`/get?key=${encodeURIComponent(key)}`);
  }

  async post(target: string, body: BodyInit): Promise<Answer> {
    return await answerOf(await this.send(target, { method: "POST", body }));
  }

  put(seq: number, key: string, value: string, client = "c"): Promise<Answer> {
    return this.post("/put", JSON.stringify({ client, seq, key, value }));
  }

  delete(seq: number, key: string, client = "c"): Promise<Answer> {
    return this.post("/delete", JSON.stringify({ client, seq, key }));
  }

  /** What a write would change, on every node. */
  async state(): Promise<string> {
    const { body } = await this.get("/metrics");
    const nodes: { metrics: Record<string, number> }[] = [JSON.parse(body)].flat().map((node) =>
      "metrics" in node ? node : { metrics: node }
    );
    return nodes.map(({ metrics }) =>
      `index ${metrics.last_index}, keys ${metrics.keys}, sessions ${metrics.sessions}`
    ).join("; ");
  }
}

async function answerOf(response: Response): Promise<Answer> {
  return { status: response.status, body: await response.text() };
}

type Opened = { service: Service } & AsyncDisposable;

async function openNode(): Promise<Opened> {
  const memory = await new MemoryNode("n1").start();
  return { service: memory.node, [Symbol.asyncDispose]: () => memory.stop() };
}

async function openRouter(): Promise<Opened> {
  const cluster = await startMemoryCluster(3);
  await waitFor("all links up", () => cluster.links.every((link) => link.up));
  return { service: cluster.router, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
}

/** Registers a test of the HTTP front of a node, and of that of a router. */
function testFronts(sentence: string, run: (front: Front) => Promise<void>): void {
  for (const [name, open] of [["a node", openNode], ["a router", openRouter]] as const) {
    Deno.test(`HTTP front of ${name} ${sentence}`, async () => {
      await using opened = await open();
      await run(new Front(opened.service));
    });
  }
}

/** The answer to a write that was applied now. */
function applied(logIndex: number, prevValue: string): Answer {
  const body = `{"success":true,"prevValue":${JSON.stringify(prevValue)},"logIndex":${logIndex}}`;
  return { status: 200, body };
}

function initOf({ method, body, chunked, lengthTwice, headers }: BadRequest): RequestInit {
  if (body === undefined) return { method };
  if (chunked) return { method, body: new Blob([body]).stream() };
  const length = lengthTwice ? `${body.length}, ${body.length}` : `${body.length}`;
  return { method, body, headers: { host: "memory", "content-length": length, ...headers } };
}

async function assertRefused(response: Response, row: BadRequest): Promise<void> {
  const { name, status, error, goesOn = false, allow = null } = row;
  const body = JSON.parse(await response.text());
  assertEquals(response.status, status, `${name}: ${JSON.stringify(body)}`);
  assertEquals(response.headers.get("content-type"), "application/json", name);
  assertEquals(response.headers.get("cache-control"), "no-store", name);
  assertEquals(response.headers.get("allow"), allow, name);
  assertEquals(Object.keys(body), ["error"], name);
  assertEquals(goesOn ? body.error.slice(0, error.length) : body.error, error, name);
  assert(!/\n\s+at |\.ts:\d/.test(body.error), `${name}: stack trace in ${body.error}`);
}

testFronts("refuses every bad request, says why, and changes nothing", async (front) => {
  await front.put(1, "k", "before", "first");
  const before = await front.state();
  for (const row of BAD_REQUESTS) {
    await assertRefused(await front.send(row.target, initOf(row)), row);
    assertEquals(await front.state(), before, row.name);
  }
  assertEquals(await front.read("k"), { status: 200, body: `{"value":"before"}` });
});

testFronts("answers writes with the value that was there before", async (front) => {
  assertEquals(await front.put(1, "k", "v"), applied(1, ""));
  assertEquals(await front.put(2, "k", ""), applied(2, "v"));
  assertEquals(await front.put(3, "k", "w"), applied(3, ""));
  assertEquals(await front.delete(4, "k"), applied(4, "w"));
  assertEquals(await front.delete(5, "k"), applied(5, ""));
});

testFronts("knows its own pages without a header Host, as in HTTP/2", async (front) => {
  const body = `{"client":"c","seq":1,"key":"k","value":"v"}`;
  for (const [origin, status] of [["http://other", 403], ["http://memory", 200]] as const) {
    const response = await front.send("/put", { method: "POST", body, headers: { origin } });
    assertEquals((await answerOf(response)).status, status, origin);
  }
});

testFronts("answers a read with the value or with 404", async (front) => {
  const missing = { status: 404, body: `{"error":"Key is not in the store"}` };
  assertEquals(await front.read("k"), missing);
  await front.put(1, "k", "v");
  assertEquals(await front.read("k"), { status: 200, body: `{"value":"v"}` });
  await front.delete(2, "k");
  assertEquals(await front.read("k"), missing);
});

testFronts("marks its good answers as JSON that nobody may store", async (front) => {
  const body = `{"client":"c","seq":1,"key":"k","value":"v"}`;
  const requests: [target: string, init?: RequestInit][] = [
    ["/put", { method: "POST", body }],
    ["/put", { method: "POST", body }],
    ["/get?key=k"],
    ["/get?key=other"],
    ["/health"],
    ["/metrics"],
  ];
  for (const [target, init] of requests) {
    const response = await front.send(target, init);
    await response.body?.cancel();
    assertEquals(response.headers.get("content-type"), "application/json", target);
    assertEquals(response.headers.get("cache-control"), "no-store", target);
  }
});

testFronts("answers a write that comes again with what it answered first", async (front) => {
  await front.put(1, "k", "v");
  await front.put(2, "k", "w");
  const again = (logIndex: number, prevValue: string) => ({
    status: 200,
    body: `{"success":true,"prevValue":"${prevValue}","logIndex":${logIndex},"duplicate":true}`,
  });
  assertEquals(await front.put(1, "k", "v"), again(1, ""));
  assertEquals(await front.put(2, "k", "w"), again(2, "v"));
  const { body } = await front.delete(3, "k");
  const { logIndex } = JSON.parse(body);
  assertEquals(await front.delete(3, "k"), again(logIndex, "w"));
});

testFronts("says so when a sequence number comes with another write", async (front) => {
  await front.put(1, "k", "v");
  const mismatch = {
    status: 200,
    body: `{"success":true,"prevValue":"","logIndex":1,"duplicate":true,"mismatch":true}`,
  };
  assertEquals(await front.put(1, "k", "w"), mismatch, "another value");
  assertEquals(await front.delete(1, "k"), mismatch, "a delete");
  assertEquals(await front.read("k"), { status: 200, body: `{"value":"v"}` });
});

testFronts(
  "refuses with 409 what it no longer remembers, from the window's end on",
  async (front) => {
    const top = SESSION_WINDOW + 1;
    await front.put(top, "k", "v");
    const stale = await front.put(1, "k", "w");
    assertEquals(stale, {
      status: 409,
      body: JSON.stringify({
        error: `Field "seq" is 1, expected one that the node remembers, or a higher one: ` +
          `whether this write was applied is unknown`,
      }),
    });
    assertEquals((await front.put(2, "k", "w")).status, 200);
    assertEquals(await front.read("k"), { status: 200, body: `{"value":"w"}` });
  },
);

testFronts("takes sequence numbers up to 2^53 - 1, however they are spelt", async (front) => {
  for (const [i, seq] of ["1", "2.0", "3e0", "40E-1", "9007199254740991"].entries()) {
    const body = `{"client":"c","seq":${seq},"key":"k","value":"v"}`;
    assertEquals(await front.post("/put", body), applied(i + 1, i === 0 ? "" : "v"), seq);
  }
});

testFronts("gives a value back exactly as it was put", async (front) => {
  const values = [
    "",
    " ",
    `"`,
    "\\",
    "/",
    "\0",
    "\x01\b\t\n\f\r\x1f\x7f\x80",
    "\u2028\u2029",
    "\ufeffbyte order mark first",
    "\ufffd\ufffe\uffff",
    "é€😀👩‍👩‍👧",
    "e\u0301",
    "\u{10ffff}",
    "null",
    `{"value":"x"}`,
    "__proto__",
  ];
  let before = "";
  for (const [i, value] of values.entries()) {
    const name = JSON.stringify(value);
    assertEquals(JSON.parse((await front.put(i + 1, "k", value)).body).prevValue, before, name);
    const { status, body } = await front.read("k");
    assertEquals([status, JSON.parse(body)], [200, { value }], name);
    before = value;
  }
});

testFronts("understands every way to spell a text in JSON", async (front) => {
  const body = String.raw`{ "\u0063lient":"\u0063", "seq":1,
    "key":"\u006b\/\ud83d\ude00", "value":"\"\\\b\f\n\r\t\u0000\uFEFF" }`;
  assertEquals(await front.post("/put", body), applied(1, ""));
  assertEquals(JSON.parse((await front.read("k/😀")).body), { value: '"\\\b\f\n\r\t\0\ufeff' });
});

testFronts("keeps apart keys that look alike in a query", async (front) => {
  const keys = [
    " ",
    "+",
    "%",
    "%20",
    "%2B",
    "&",
    "a&b=c",
    "=",
    "#",
    "a#b",
    "?",
    "/",
    "..",
    ";",
    "key=k",
    "😀",
    "é",
    "e\u0301",
    "\0",
    "\ufeff",
    "\n",
    "__proto__",
    "constructor",
  ];
  for (const [i, key] of keys.entries()) await front.put(i + 1, key, `of ${i}`);
  for (const [i, key] of keys.entries()) {
    const expected = { status: 200, body: `{"value":"of ${i}"}` };
    assertEquals(await front.read(key), expected, JSON.stringify(key));
    const form = new URLSearchParams({ key }).toString();
    assertEquals(await front.get(`/get?${form}`), expected, `${JSON.stringify(key)} as a form`);
  }
});

testFronts("takes a plus in a query for a space, and an encoded one for a plus", async (front) => {
  await front.put(1, "a b", "space");
  await front.put(2, "a+b", "plus");
  assertEquals((await front.get("/get?key=a+b")).body, `{"value":"space"}`);
  assertEquals((await front.get("/get?key=a%20b")).body, `{"value":"space"}`);
  assertEquals((await front.get("/get?key=a%2bb")).body, `{"value":"plus"}`);
});

testFronts("writes, reads and deletes a key of 65,536 bytes", async (front) => {
  for (const [i, character] of ["x", "é", "😀"].entries()) {
    const key = character.repeat(KEY_BYTES_MAX / new TextEncoder().encode(character).length);
    const client = `c${i}`;
    assertEquals((await front.put(1, key, "v", client)).status, 200, character);
    assertEquals(await front.read(key), { status: 200, body: `{"value":"v"}` }, character);
    const { status, body } = await front.delete(2, key, client);
    assertEquals([status, JSON.parse(body).prevValue], [200, "v"], character);
  }
});

testFronts("takes a client of 255 bytes", async (front) => {
  for (const client of ["x".repeat(255), "é".repeat(127) + "x", "€".repeat(85)]) {
    assertEquals((await front.put(1, "k", "v", client)).status, 200, client[0]);
  }
});

testFronts("takes a body of exactly 1 MiB, with or without a length", async (front) => {
  const head = `{"client":"c","seq":1,"key":"k","value":"`;
  const value = "x".repeat(BODY_BYTES_MAX - head.length - 2);
  const body = new TextEncoder().encode(`${head}${value}"}`);
  assertEquals(body.length, BODY_BYTES_MAX);
  const headers = { "content-length": `${body.length}` };
  const known = await front.send("/put", { method: "POST", body, headers });
  assertEquals(await answerOf(known), applied(1, ""));
  assert((await front.read("k")).body === `{"value":"${value}"}`, "value comes back");
  const unknown = await front.send("/put", { method: "POST", body: new Blob([body]).stream() });
  const { duplicate, prevValue } = await unknown.json();
  assertEquals([unknown.status, duplicate, prevValue], [200, true, ""]);
  assert(JSON.parse((await front.delete(2, "k")).body).prevValue === value, "delete says what was");
});

Deno.test("HTTP front of a node tells its health", async () => {
  await using opened = await openNode();
  const front = new Front(opened.service);
  assertEquals(await front.get("/health"), { status: 200, body: `{"status":"ok","lastIndex":0}` });
  await front.put(1, "k", "v");
  assertEquals(await front.get("/health"), { status: 200, body: `{"status":"ok","lastIndex":1}` });
});

Deno.test("HTTP front of a node counts what it did", async () => {
  await using opened = await openNode();
  const front = new Front(opened.service);
  await front.put(1, "k", "v");
  await front.put(1, "k", "v");
  await front.delete(2, "k");
  await front.read("k");
  const metrics = JSON.parse((await front.get("/metrics")).body);
  const { exec_total, put_total, del_total, dedup_hits, get_total, keys, sessions } = metrics;
  assertEquals(
    { exec_total, put_total, del_total, dedup_hits, get_total, keys, sessions },
    {
      exec_total: 2,
      put_total: 1,
      del_total: 1,
      dedup_hits: 1,
      get_total: 1,
      keys: 0,
      sessions: 1,
    },
  );
});

/** A service that answers everything with `answer`. */
function serviceOf(answer: () => never | Promise<never>): Service {
  return { get: answer, write: answer, health: answer, metrics: answer };
}

/** One good request of each kind. */
const EACH_KIND: [target: string, init?: RequestInit][] = [
  ["/get?key=k"],
  ["/put", { method: "POST", body: `{"client":"c","seq":1,"key":"k","value":"v"}` }],
  ["/delete", { method: "POST", body: `{"client":"c","seq":1,"key":"k"}` }],
  ["/health"],
  ["/metrics"],
];

/** Asserts what is answered while every call of the service fails with `error`. */
async function assertAnsweredLater(error: Error, status: number): Promise<void> {
  const failing = [
    serviceOf(() => {
      throw error;
    }),
    serviceOf(() => Promise.reject(error)),
  ];
  for (const service of failing) {
    for (const [target, init] of EACH_KIND) {
      const response = await new Front(service).send(target, init);
      assertEquals(response.headers.get("retry-after"), "1", target);
      assertEquals(response.headers.get("cache-control"), "no-store", target);
      const expected = { status, body: JSON.stringify({ error: error.message }) };
      assertEquals(await answerOf(response), expected, target);
    }
  }
}

Deno.test("HTTP front answers 503 with Retry-After while its service is unavailable", async () => {
  await assertAnsweredLater(new UnavailableError(`Node "n2" is down`), 503);
});

Deno.test("HTTP front answers 507 with Retry-After while its service has no room", async () => {
  await assertAnsweredLater(new InsufficientStorageError(`Disk is full`), 507);
});

Deno.test("HTTP front keeps what broke inside it from the client, and prints it", async () => {
  const error = new Error("secret");
  const printed: unknown[] = [];
  const { error: print } = console;
  console.error = (...values) => printed.push(...values);
  try {
    const front = new Front(serviceOf(() => Promise.reject(error)));
    for (const [target, init] of EACH_KIND) {
      const expected = { status: 500, body: `{"error":"Server failed to answer this request"}` };
      assertEquals(await answerOf(await front.send(target, init)), expected, target);
    }
  } finally {
    console.error = print;
  }
  assertEquals(printed, EACH_KIND.map(() => error));
});

Deno.test("HTTP front answers 503 while the health of its service is not ok", async () => {
  const health = { status: "degraded" as const, nodes: [] };
  const service = { ...serviceOf(() => Promise.reject(new Error())), health: () => health };
  const response = await new Front(service).send("/health");
  assertEquals(response.headers.get("retry-after"), "1");
  const expected = { status: 503, body: `{"status":"degraded","nodes":[]}` };
  assertEquals(await answerOf(response), expected);
});
