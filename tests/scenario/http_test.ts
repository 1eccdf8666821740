/**
 * The HTTP servers of a node and of a router, spoken to in bytes: also what no well-behaved client
 * would send.
 *
 * @module
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Buffer } from "node:buffer";
import { BODY_BYTES_MAX, KEY_BYTES_MAX } from "../../lib/limits.ts";
import { startNode } from "../../node/server.ts";
import { startRouter } from "../../router/server.ts";
import { BAD_REQUESTS, type BadRequest } from "../lib/bad_requests.ts";
import { temporaryDirectory, waitFor } from "../process.ts";

const HOSTNAME = "127.0.0.1";
const ANSWER_MS = 10_000;
const PIECE = "x".repeat(64 * 1024);
const WRITE = `{"client":"c","seq":1,"key":"k","value":"é😀"}`;

/** A server under test. */
interface Server {
  readonly port: number;
}

/** What came back for one request. */
interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** A connection to a server, for bytes. Leaving its scope closes it. */
class RawConnection implements AsyncDisposable {
  readonly #connection: Deno.TcpConn;
  #received = Buffer.alloc(0);
  #sending: Promise<boolean> = Promise.resolve(true);

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  static async open({ port }: Server): Promise<RawConnection> {
    const connection = await Deno.connect({ hostname: HOSTNAME, port });
    connection.setNoDelay(true);
    return new RawConnection(connection);
  }

  /** Sends this after all that was sent before. False if the server takes no more. */
  send(data: string | Uint8Array): Promise<boolean> {
    const bytes = typeof data === "string" ? Buffer.from(data) : data;
    return this.#sending = this.#sending.then((open) => open && this.#write(bytes));
  }

  async #write(bytes: Uint8Array): Promise<boolean> {
    try {
      for (let sent = 0; sent < bytes.length;) {
        sent += await this.#connection.write(bytes.subarray(sent));
      }
      return true;
    } catch {
      return false; // reset by the server, or closed by us: the answer says which
    }
  }

  /** Says that no more will be sent, and goes on listening. */
  async end(): Promise<void> {
    await this.#sending;
    await this.#connection.closeWrite();
  }

  /** The next answer; null if the server closes the connection instead. */
  async answer({ withoutBody = false } = {}): Promise<Answer | null> {
    const head = await this.#take("\r\n\r\n");
    if (head === null) return null;
    const [statusLine, ...lines] = head.trimEnd().split("\r\n");
    const headers = new Headers(lines.map((line): [string, string] => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    }));
    const length = withoutBody ? 0 : Number(headers.get("content-length") ?? 0);
    return { status: Number(statusLine.split(" ")[1]), headers, body: await this.#body(length) };
  }

  /** What was received up to and with `end`; null if the connection ends before. */
  async #take(end: string): Promise<string | null> {
    let at = this.#received.indexOf(end);
    while (at < 0) {
      if (!await this.#receive()) return null;
      at = this.#received.indexOf(end);
    }
    return this.#cut(at + end.length);
  }

  async #body(length: number): Promise<string> {
    while (this.#received.length < length) {
      if (!await this.#receive()) throw new Error("Connection ended inside the body of an answer");
    }
    return this.#cut(length);
  }

  #cut(length: number): string {
    const text = this.#received.toString("utf8", 0, length);
    this.#received = this.#received.subarray(length);
    return text;
  }

  /** Waits for more. False if the connection has ended. */
  async #receive(): Promise<boolean> {
    const bytes = new Uint8Array(64 * 1024);
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#connection.close();
    }, ANSWER_MS);
    try {
      const count = await this.#connection.read(bytes);
      if (count === null) return false;
      this.#received = Buffer.concat([this.#received, bytes.subarray(0, count)]);
      return true;
    } catch (error) {
      if (late) throw new Error(`No answer within ${ANSWER_MS} ms`, { cause: error });
      if (error instanceof Deno.errors.ConnectionReset) return false;
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.#connection.close();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error; // closed by a deadline already
    }
    await this.#sending;
  }
}

async function openNode(): Promise<Server & AsyncDisposable> {
  const directory = await temporaryDirectory();
  const node = await startNode(nodeConfig("n1", directory.path));
  return {
    port: node.httpPort,
    async [Symbol.asyncDispose]() {
      await node.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

async function openRouter(): Promise<Server & AsyncDisposable> {
  const directory = await temporaryDirectory();
  const configs = ["n1", "n2"].map((id) => nodeConfig(id, directory.path));
  const nodes = await Promise.all(configs.map((config) => startNode(config)));
  const linked = configs.map((config, i) => ({ ...config, linkPort: nodes[i].linkPort }));
  const router = startRouter({ router: { host: HOSTNAME, port: 0 }, nodes: linked });
  const isHealthy = async () => (await ask(router, get("/health")))?.status === 200;
  await waitFor("the router has a link to every node", isHealthy);
  return {
    port: router.port,
    async [Symbol.asyncDispose]() {
      await router.close();
      await Promise.all(nodes.map((node) => node.close()));
      await directory[Symbol.asyncDispose]();
    },
  };
}

function nodeConfig(id: string, directory: string) {
  return { id, host: HOSTNAME, port: 0, linkPort: 0, data: `${directory}/${id}` };
}

/** Registers a test of the HTTP server of a node, and of that of a router. */
function testServers(sentence: string, run: (server: Server) => Promise<void>): void {
  for (const [name, open] of [["a node", openNode], ["a router", openRouter]] as const) {
    Deno.test(`HTTP server of ${name} ${sentence}`, async () => {
      await using server = await open();
      await run(server);
    });
  }
}

function get(target: string, ...headers: string[]): string {
  return head("GET", target, headers);
}

function post(target: string, body: string, ...headers: string[]): string {
  const length = `Content-Length: ${Buffer.byteLength(body)}`;
  return head("POST", target, [length, ...headers]) + body;
}

function head(method: string, target: string, headers: string[]): string {
  const hasHost = headers.some((header) => /^host:/i.test(header));
  const host = hasHost ? [] : [`Host: ${HOSTNAME}`];
  const lines = [`${method} ${target} HTTP/1.1`, ...host, ...headers];
  return `${lines.join("\r\n")}\r\n\r\n`;
}

function chunk(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`;
}

/** One request on a connection of its own. */
async function ask(server: Server, request: string | Uint8Array): Promise<Answer | null> {
  await using connection = await RawConnection.open(server);
  connection.send(request);
  return await connection.answer();
}

/** What a write would change, on every node. */
async function stateOf(server: Server): Promise<string> {
  const answer = await ask(server, get("/metrics"));
  const nodes = [JSON.parse(answer!.body)].flat().map((node) => node.metrics ?? node);
  return nodes.map(({ last_index, keys }) => `index ${last_index}, keys ${keys}`).join("; ");
}

function summaryOf(answer: Answer | null): string {
  return answer === null ? "closed" : `${answer.status} ${answer.body}`;
}

function bytesOf(row: BadRequest): Uint8Array {
  const { method, target, body, chunked, lengthTwice } = row;
  if (body === undefined) return Buffer.from(head(method, target, []));
  if (!chunked) {
    const length = `Content-Length: ${body.length}`;
    const headers = Object.entries(row.headers ?? {}).map(([name, value]) => `${name}: ${value}`);
    headers.push(length, ...lengthTwice ? [length] : []);
    return Buffer.concat([Buffer.from(head(method, target, headers)), body]);
  }
  const start = `${head(method, target, ["Transfer-Encoding: chunked"])}${
    body.length.toString(16)
  }\r\n`;
  return Buffer.concat([Buffer.from(start), body, Buffer.from("\r\n0\r\n\r\n")]);
}

function assertRefused(answer: Answer | null, row: BadRequest): void {
  const { name, status, error, goesOn = false, allow = null } = row;
  assert(answer !== null, `${name}: closed without an answer`);
  assertEquals(answer.status, status, `${name}: ${answer.body}`);
  assertEquals(answer.headers.get("content-type"), "application/json", name);
  assertEquals(answer.headers.get("cache-control"), "no-store", name);
  assertEquals(answer.headers.get("allow"), allow, name);
  if (row.method === "HEAD") return; // its answer has no body
  const body = JSON.parse(answer.body);
  assertEquals(Object.keys(body), ["error"], name);
  assertEquals(goesOn ? body.error.slice(0, error.length) : body.error, error, name);
}

testServers("refuses every bad request, says why, and changes nothing", async (server) => {
  const before = await stateOf(server);
  for (const row of BAD_REQUESTS.filter((row) => row.onlyInMemory === undefined)) {
    await using connection = await RawConnection.open(server);
    connection.send(bytesOf(row));
    assertRefused(await connection.answer({ withoutBody: row.method === "HEAD" }), row);
    assertEquals(await stateOf(server), before, row.name);
  }
});

testServers("answers 413 when most of a body that is too long is still to come", async (server) => {
  const length = 10 * BODY_BYTES_MAX;
  const answer = await ask(server, head("POST", "/put", [`Content-Length: ${length}`]) + "abc");
  const error = `Body has ${length} bytes, expected at most ${BODY_BYTES_MAX}`;
  assertEquals(summaryOf(answer), `413 ${JSON.stringify({ error })}`);
  assertEquals(answer?.headers.get("connection"), "close");
});

testServers("answers 413 when a body in chunks goes on past 1 MiB", async (server) => {
  await using connection = await RawConnection.open(server);
  connection.send(head("POST", "/put", ["Transfer-Encoding: chunked"]));
  for (let sent = 0; sent <= BODY_BYTES_MAX; sent += PIECE.length) connection.send(chunk(PIECE));
  const error = `Body has more than ${BODY_BYTES_MAX} bytes, expected at most ${BODY_BYTES_MAX}`;
  assertEquals(summaryOf(await connection.answer()), `413 ${JSON.stringify({ error })}`);
});

testServers("takes a small body whose length is there twice", async (server) => {
  const length = `Content-Length: ${Buffer.byteLength(WRITE)}`;
  assertEquals((await ask(server, post("/put", WRITE, length)))?.status, 200);
});

testServers("takes a body in chunks of any size, cut inside a character", async (server) => {
  const bytes = Buffer.from(WRITE);
  await using connection = await RawConnection.open(server);
  connection.send(head("POST", "/put", ["Transfer-Encoding: chunked"]));
  for (let i = 0; i < bytes.length; i += 3) {
    const piece = bytes.subarray(i, i + 3);
    connection.send(
      Buffer.concat([Buffer.from(`${piece.length}\r\n`), piece, Buffer.from("\r\n")]),
    );
  }
  connection.send("0\r\n\r\n");
  assertEquals((await connection.answer())?.status, 200);
  assertEquals(summaryOf(await ask(server, get("/get?key=k"))), `200 {"value":"é😀"}`);
});

testServers("takes a request that comes byte by byte", async (server) => {
  await using connection = await RawConnection.open(server);
  for (const byte of Buffer.from(post("/put", WRITE))) await connection.send(Uint8Array.of(byte));
  assertEquals((await connection.answer())?.status, 200);
  assertEquals(summaryOf(await ask(server, get("/get?key=k"))), `200 {"value":"é😀"}`);
});

testServers("changes nothing when a request is cut off, at any byte", async (server) => {
  const before = await stateOf(server);
  const request = Buffer.from(post("/put", WRITE));
  const bodyStart = request.indexOf("\r\n\r\n") + 4;
  for (let length = 0; length < request.length; length++) {
    await using connection = await RawConnection.open(server);
    connection.send(request.subarray(0, length));
    await connection.end();
    const answer = summaryOf(await connection.answer());
    if (length < bodyStart) assertEquals(answer, "closed", `${length} bytes`);
    else assertStringIncludes(answer, '400 {"error":"Body did not arrive whole: ');
  }
  assertEquals(await stateOf(server), before);
});

testServers("changes nothing when a client leaves amid its request", async (server) => {
  const before = await stateOf(server);
  const whole = post("/put", WRITE);
  const chunked = head("POST", "/put", ["Transfer-Encoding: chunked"]) + chunk(WRITE.slice(0, 20));
  for (const request of [whole.slice(0, 10), whole.slice(0, -1), chunked]) {
    await using connection = await RawConnection.open(server);
    assert(await connection.send(request));
  }
  assertEquals(await stateOf(server), before);
  assertEquals((await ask(server, whole))?.status, 200);
});

testServers("answers requests that come in one piece, in their order", async (server) => {
  const body = (seq: number, value: string) =>
    JSON.stringify({ client: "c", seq, key: "k", value });
  await using connection = await RawConnection.open(server);
  connection.send(
    post("/put", body(1, "v")) + get("/get?key=k") + post("/put", "{}") +
      post("/put", body(2, "w")) + get("/get?key=k"),
  );
  const missing = `Field "client" is missing, expected "client", "seq", "key", "value"`;
  const answers: string[] = [];
  for (let i = 0; i < 5; i++) answers.push(summaryOf(await connection.answer()));
  assertEquals(answers, [
    `200 {"success":true,"prevValue":"","logIndex":1}`,
    `200 {"value":"v"}`,
    `400 ${JSON.stringify({ error: missing })}`,
    `200 {"success":true,"prevValue":"v","logIndex":2}`,
    `200 {"value":"w"}`,
  ]);
});

testServers("keeps a connection open after it refused a request on it", async (server) => {
  const stale = (seq: number) => post("/put", `{"client":"c","seq":${seq},"key":"k","value":"v"}`);
  await using connection = await RawConnection.open(server);
  const requests: [request: string, status: number][] = [
    [post("/put", "no JSON"), 400],
    [post("/put", ""), 400],
    [get("/get"), 400],
    [get("/nowhere"), 404],
    [post("/nowhere", "a body that nobody reads"), 404],
    [get("/get?key=k", "Content-Length: 5") + "12345", 404],
    [post("/get?key=k", "a body that nobody reads"), 405],
    [
      post("/put", `{"client":"c","seq":1,"key":"${"k".repeat(KEY_BYTES_MAX + 1)}","value":""}`),
      413,
    ],
    [stale(5000), 200],
    [stale(1), 409],
    [get("/get?key=k"), 200],
  ];
  for (const [request, status] of requests) {
    connection.send(request);
    assertEquals((await connection.answer())?.status, status, request.slice(0, 80));
  }
});

testServers("goes on after bytes that are no request", async (server) => {
  const garbage: [name: string, bytes: string | Uint8Array][] = [
    ["control bytes", "\x00\x01\x02\r\n\r\n"],
    ["a greeting of TLS", Uint8Array.of(0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3)],
    ["a line that is too long", `${"x".repeat(200_000)}\r\n\r\n`],
    ["two lengths", head("POST", "/put", ["Content-Length: 5", "Content-Length: 6"]) + "12345"],
    ["a negative length", head("POST", "/put", ["Content-Length: -5"])],
    ["a length and chunks", post("/put", WRITE, "Transfer-Encoding: chunked")],
    ["a chunk without a size", head("POST", "/put", ["Transfer-Encoding: chunked"]) + "zz\r\n"],
    ["a space in the target", get("/get?key=a b")],
    ["a target that is not UTF-8", Buffer.from(get("/get?key=\xff\xfe"), "latin1")],
    ["a thousand headers", get("/health", ...Array.from({ length: 1000 }, (_, i) => `X-${i}: x`))],
  ];
  const before = await stateOf(server);
  for (const [name, bytes] of garbage) {
    // The runtime answers these itself, if at all: there is no request to hand over.
    const answer = summaryOf(await ask(server, bytes));
    assert(["400 ", "closed"].includes(answer), `${name}: ${answer}`);
    assertEquals(await stateOf(server), before, name);
  }
});

testServers("refuses methods and targets that browsers never send", async (server) => {
  const noPath = (path: string) =>
    `Path is "${path}", expected one of /put, /delete, /get, /health, /metrics`;
  const requests: [request: string, status: number, error: string][] = [
    [head("TRACE", "/get?key=k", []), 405, "Method of /get is TRACE, expected GET"],
    [head("get", "/get?key=k", []), 405, "Method of /get is get, expected GET"],
    [head("OPTIONS", "*", []), 404, noPath("/*")],
    [head("CONNECT", "example.org:80", []), 404, noPath("")],
    [get("http://example.org"), 404, noPath("/")],
    [get("http://example.org?key=/get"), 404, noPath("")],
    [get("http://example.org?x=/get?key=k"), 404, noPath("")],
    [post("http://example.org?/put", WRITE), 404, noPath("")],
  ];
  for (const [request, status, error] of requests) {
    const expected = `${status} ${JSON.stringify({ error })}`;
    assertEquals(summaryOf(await ask(server, request)), expected, request);
  }
});

testServers("takes a write from a page of its own, whatever it is called", async (server) => {
  for (
    const [host, origin] of [["s", "http://s"], ["S:80", "https://s:80"], [
      "[::1]:8",
      "a://[::1]:8",
    ]]
  ) {
    const answer = await ask(server, post("/put", WRITE, `Host: ${host}`, `Origin: ${origin}`));
    assertEquals(answer?.status, 200, origin);
  }
});

testServers("changes nothing when the host of a request reads as its path", async (server) => {
  const before = await stateOf(server);
  for (const target of ["/health", "/put", "/get?key=k", "/nowhere"]) {
    for (const host of ["s/put?", "s/put#", "s/put/../", "/", "s?", "s#", "s\\put?"]) {
      const answer = await ask(server, post(target, WRITE, `Host: ${host}`));
      assert([400, 404, 405].includes(answer!.status), `${host} ${target}: ${summaryOf(answer)}`);
      assertEquals(await stateOf(server), before, `${host} ${target}`);
    }
  }
});

testServers("takes a target with a host in it, and a key that is not encoded", async (server) => {
  const body = `{"client":"c","seq":1,"key":"é#😀","value":"v"}`;
  assertEquals((await ask(server, post("http://example.org/put", body)))?.status, 200);
  for (const key of ["é#😀", encodeURIComponent("é#😀")]) {
    assertEquals(summaryOf(await ask(server, get(`/get?key=${key}`))), `200 {"value":"v"}`, key);
  }
});

testServers("asks for the body of a client that waits to be asked", async (server) => {
  await using connection = await RawConnection.open(server);
  const request = post("/put", WRITE, "Expect: 100-continue");
  const bodyStart = request.indexOf("\r\n\r\n") + 4;
  connection.send(request.slice(0, bodyStart));
  assertEquals((await connection.answer())?.status, 100);
  connection.send(request.slice(bodyStart));
  assertEquals((await connection.answer())?.status, 200);
});

testServers("closes the connection of a client that speaks HTTP/1.0", async (server) => {
  await using connection = await RawConnection.open(server);
  connection.send("GET /get?key=k HTTP/1.0\r\n\r\n");
  assertEquals((await connection.answer())?.status, 404);
  assertEquals(await connection.answer(), null);
});

testServers("carries a value of almost 1 MiB both ways", async (server) => {
  const start = `{"client":"c","seq":1,"key":"k","value":"`;
  const value = "é".repeat((BODY_BYTES_MAX - start.length - 2) >> 1);
  const written = await ask(server, post("/put", `${start}${value}"}`));
  assertEquals(summaryOf(written), `200 {"success":true,"prevValue":"","logIndex":1}`);
  assert((await ask(server, get("/get?key=k")))?.body === `{"value":"${value}"}`, "read back");
  const removed = await ask(server, post("/delete", `{"client":"c","seq":2,"key":"k"}`));
  assert(JSON.parse(removed!.body).prevValue === value, "deleted");
});

testServers(
  "reads keys as long as a head of 64 KiB holds, and writes longer ones",
  async (server) => {
    const write = (seq: number, key: string) => ({ client: "c", seq, key, value: "v" });
    const short = "k".repeat(65_000);
    const long = "k".repeat(KEY_BYTES_MAX);
    assertEquals((await ask(server, post("/put", JSON.stringify(write(1, short)))))?.status, 200);
    assertEquals((await ask(server, post("/put", JSON.stringify(write(2, long)))))?.status, 200);
    assertEquals(summaryOf(await ask(server, get(`/get?key=${short}`))), `200 {"value":"v"}`);
    // Deno.serve refuses the request itself, with no body and without handing it over.
    assertEquals(summaryOf(await ask(server, get(`/get?key=${long}`))), "400 ");
    const removed = await ask(
      server,
      post("/delete", JSON.stringify({ client: "c", seq: 3, key: long })),
    );
    assertEquals(JSON.parse(removed!.body).prevValue, "v");
  },
);
