/**
 * Requests that the API has to refuse, each with its answer. One table for whatever serves the API:
 * a node or a router, in this process or over a socket.
 *
 * @module
 */

// In figures of their own: a slip in the product's limits is to show here.
const CLIENT_BYTES_MAX = 255;
const KEY_BYTES_MAX = 65_536;
const BODY_BYTES_MAX = 1_048_576;
const SEQ_MAX = 9_007_199_254_740_991;

/** One request and its answer. The body of the answer is `{"error": …}` and nothing else. */
export interface BadRequest {
  readonly name: string;
  readonly method: string;
  readonly target: string;
  readonly body?: Uint8Array<ArrayBuffer>;
  /** Sends the body without saying how long it is. */
  readonly chunked?: boolean;
  /** Sends the header that says how long the body is twice. */
  readonly lengthTwice?: boolean;
  /** Sent beside those that each request has; its `host` instead of the right one. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly status: number;
  /** The whole message, or its beginning where it `goesOn` in the words of the runtime. */
  readonly error: string;
  readonly goesOn?: boolean;
  /** Content of the header `Allow`. */
  readonly allow?: string;
  /** Why it is of no use over a socket. */
  readonly onlyInMemory?: string;
}

/** A write that is good until a field is changed. */
const FIELDS = { client: "c", seq: 1, key: "k", value: "v" };
const PUT_FIELDS = `"client", "seq", "key", "value"`;
const DELETE_FIELDS = `"client", "seq", "key"`;
const BEFORE_VALUE = `{"client":"c","seq":1,"key":"k","value":"`;
const NOT_JSON = "Body is not JSON: ";
const NOT_UTF8 = "Body is not UTF-8, expected JSON in UTF-8";
const NO_SURROGATES = "expected no lone surrogates: they have no UTF-8";
const PATHS = "expected one of /put, /delete, /get, /health, /metrics";

/** Each is refused, and changes nothing. */
export const BAD_REQUESTS: readonly BadRequest[] = [
  ...unparsableBodies(),
  ...wrongShapes(),
  ...missingFields(),
  ...unknownFields(),
  ...wrongTypes(),
  ...wrongSizes(),
  ...loneSurrogates(),
  ...tooLargeBodies(),
  ...wrongSenders(),
  ...unknownPaths(),
  ...wrongMethods(),
  ...wrongQueries(),
];

function unparsableBodies(): BadRequest[] {
  const whole = JSON.stringify(FIELDS);
  const texts: [string, string][] = [
    ["an empty body", ""],
    ["a body of spaces", "  \r\n\t"],
    ["a body that ends early", whole.slice(0, -1)],
    ["a body that ends inside a string", BEFORE_VALUE],
    ["text after the body", `${whole} x`],
    ["a second object after the body", whole + whole],
    ["NUL after the body", `${whole}\0`],
    ["a comma before the last brace", `${whole.slice(0, -1)},}`],
    ["single quotes", whole.replaceAll(`"`, "'")],
    ["a comment in the body", `${whole.slice(0, -1)}/* */}`],
    ["a field name without quotes", whole.replace(`"seq"`, "seq")],
    ["seq 01", whole.replace(":1,", ":01,")],
    ["seq +1", whole.replace(":1,", ":+1,")],
    ["seq 0x1", whole.replace(":1,", ":0x1,")],
    ["seq NaN", whole.replace(":1,", ":NaN,")],
    ["a line break inside a string", `${BEFORE_VALUE}\n"}`],
    ["an escape that is none", `${BEFORE_VALUE}\\x41"}`],
    ["an escape that ends early", `${BEFORE_VALUE}\\u12"}`],
    ["a byte order mark before the body", `\ufeff${whole}`],
    ["a body of 200,000 open brackets", "[".repeat(200_000)],
    ["a form instead of JSON", "client=c&seq=1&key=k&value=v"],
  ];
  const bytes: [string, number[]][] = [
    ["a byte that no UTF-8 has", [0xff]],
    ["a continuation byte on its own", [0x80]],
    ["a character of 4 bytes without its last", [0xf0, 0x9f, 0x98]],
    ["a character of 4 bytes without its last two", [0xf0, 0x9f]],
    ["an overlong NUL", [0xc0, 0x80]],
    ["a surrogate in UTF-8", [0xed, 0xa0, 0x80]],
    ["a code point above U+10FFFF", [0xf4, 0x90, 0x80, 0x80]],
  ];
  return [
    ...texts.map(([name, text]) => post(name, { body: text, error: NOT_JSON, goesOn: true })),
    post("a delete without a body", {
      target: "/delete",
      body: "",
      error: `${NOT_JSON}Unexpected end of JSON input, expected an object with ${DELETE_FIELDS}`,
    }),
    ...bytes.map(([name, inValue]) => {
      const body = concat(BEFORE_VALUE, Uint8Array.from(inValue), `"}`);
      return post(`${name} in the value`, { body, error: NOT_UTF8 });
    }),
    post("a byte order mark and bytes that no UTF-8 has", {
      body: concat(`\ufeff${BEFORE_VALUE}`, Uint8Array.of(0xff, 0x20, 0xf0, 0x9f), `"}`),
      error: NOT_UTF8,
    }),
    post("a body that ends inside a character", {
      body: concat(BEFORE_VALUE, Uint8Array.of(0xf0, 0x9f, 0x98)),
      error: NOT_UTF8,
    }),
    post("a body in UTF-16", {
      body: new Uint8Array(Uint16Array.from(`\ufeff${whole}`, (c) => c.charCodeAt(0)).buffer),
      error: NOT_UTF8,
    }),
  ];
}

function wrongShapes(): BadRequest[] {
  const shapes: [body: string, was: string][] = [
    [`[${JSON.stringify(FIELDS)}]`, "an array"],
    [`"put"`, `the string "put"`],
    [JSON.stringify("x".repeat(41)), `the string "${"x".repeat(40)}…"`],
    ["1", "1"],
    ["-0.5", "-0.5"],
    ["null", "null"],
    ["true", "true"],
    ["false", "false"],
  ];
  return shapes.map(([body, was]) =>
    post(`a body that is ${was}`, {
      body,
      error: `Body is ${was}, expected an object with ${PUT_FIELDS}`,
    })
  );
}

function missingFields(): BadRequest[] {
  const without = (name: string, fields: object) =>
    JSON.stringify({ ...fields, [name]: undefined });
  const { value: _, ...deleteFields } = FIELDS;
  return [
    ...Object.keys(FIELDS).map((name) =>
      post(`a put without ${name}`, {
        body: without(name, FIELDS),
        error: `Field "${name}" is missing, expected ${PUT_FIELDS}`,
      })
    ),
    ...Object.keys(deleteFields).map((name) =>
      post(`a delete without ${name}`, {
        target: "/delete",
        body: without(name, deleteFields),
        error: `Field "${name}" is missing, expected ${DELETE_FIELDS}`,
      })
    ),
    post("an empty object", {
      body: "{}",
      error: `Field "client" is missing, expected ${PUT_FIELDS}`,
    }),
  ];
}

function unknownFields(): BadRequest[] {
  const names: [name: string, quoted?: string][] = [
    ["ttl"],
    ["Value"],
    ["key "],
    [""],
    ["__proto__"],
    ["constructor"],
    ["toString"],
    ["hasOwnProperty"],
    ["x".repeat(1000), `"${"x".repeat(40)}…"`],
    ["\ud800", `"\\ud800"`],
  ];
  return [
    ...names.map(([name, quoted = JSON.stringify(name)]) =>
      post(`an unknown field ${quoted}`, {
        body: `${JSON.stringify(FIELDS).slice(0, -1)},${JSON.stringify(name)}:{"client":"c"}}`,
        error: `Field ${quoted} is unknown, expected ${PUT_FIELDS}`,
      })
    ),
    post("a field misspelt instead of a field", {
      body: `{"client":"c","seq":1,"kye":"k","value":"v"}`,
      error: `Field "kye" is unknown, expected ${PUT_FIELDS}`,
    }),
    post("all fields in __proto__", {
      body: `{"__proto__":${JSON.stringify(FIELDS)}}`,
      error: `Field "__proto__" is unknown, expected ${PUT_FIELDS}`,
    }),
    post("a delete with a value", {
      target: "/delete",
      body: JSON.stringify(FIELDS),
      error: `Field "value" is unknown, expected ${DELETE_FIELDS}`,
    }),
  ];
}

function wrongTypes(): BadRequest[] {
  const noStrings: [json: string, was: string][] = [
    ["1", "1"],
    ["null", "null"],
    ["true", "true"],
    [`["k"]`, "an array"],
    ["{}", "an object"],
  ];
  const noSeqs: [json: string, was: string][] = [
    ["0", "0"],
    ["-0", "0"],
    ["-1", "-1"],
    ["1.5", "1.5"],
    ["0.9999999", "0.9999999"],
    ["9007199254740992", "9007199254740992"],
    ["9007199254740993", "9007199254740992"],
    ["-9007199254740991", "-9007199254740991"],
    ["1e308", "1e+308"],
    ["1e999999999", "Infinity"],
    ["-1e400", "-Infinity"],
    ["1e-400", "0"],
    [`"1"`, `the string "1"`],
    [`""`, `the string ""`],
    ["null", "null"],
    ["true", "true"],
    ["[1]", "an array"],
    [`{"valueOf":1}`, "an object"],
  ];
  return [
    ...["client", "key", "value"].flatMap((name) =>
      noStrings.map(([json, was]) =>
        post(`${name} ${json}`, {
          body: bodyWith(name, json),
          error: `Field "${name}" is ${was}, expected a string`,
        })
      )
    ),
    ...noSeqs.map(([json, was]) =>
      post(`seq ${json}`, {
        body: bodyWith("seq", json),
        error: `Field "seq" is ${was}, expected an integer from 1 to ${SEQ_MAX}`,
      })
    ),
    post("a value of 100,000 nested arrays", {
      body: bodyWith("value", "[".repeat(100_000) + "]".repeat(100_000)),
      error: `Field "value" is an array, expected a string`,
    }),
    post("a delete with seq 0", {
      target: "/delete",
      body: `{"client":"c","seq":0,"key":"k"}`,
      error: `Field "seq" is 0, expected an integer from 1 to ${SEQ_MAX}`,
    }),
  ];
}

/** Texts that are empty, or one character too long, in characters of 1, 2, 3 and 4 bytes. */
function wrongSizes(): BadRequest[] {
  const fields: [name: string, bytesMax: number][] = [
    ["client", CLIENT_BYTES_MAX],
    ["key", KEY_BYTES_MAX],
  ];
  return fields.flatMap(([name, bytesMax]) =>
    ["", "x", "é", "€", "😀"].map((character) => {
      const size = byteLength(character);
      const count = size === 0 ? 0 : Math.floor(bytesMax / size) + 1;
      return post(`${name} of ${count * size} bytes in characters of ${size}`, {
        body: bodyWith(name, JSON.stringify(character.repeat(count))),
        status: count === 0 ? 400 : 413,
        error: `Field "${name}" has ${count * size} bytes, expected 1 to ${bytesMax}`,
      });
    })
  );
}

function loneSurrogates(): BadRequest[] {
  const texts = [String.raw`\ud800`, String.raw`a\udc00`, String.raw`\ude00\ud83d`];
  return ["client", "key", "value"].flatMap((name) =>
    texts.map((text) =>
      post(`${name} with a lone surrogate, ${text}`, {
        body: bodyWith(name, `"${text}"`),
        error: `Field "${name}" is "${text}", ${NO_SURROGATES}`,
      })
    )
  );
}

function tooLargeBodies(): BadRequest[] {
  // A write that would be good if it were shorter: the bound alone refuses it.
  const body = JSON.stringify(FIELDS).padEnd(BODY_BYTES_MAX + 1);
  const wanted = `expected at most ${BODY_BYTES_MAX}`;
  return [
    post("a body of 1 MiB and a byte", {
      body,
      status: 413,
      error: `Body has ${BODY_BYTES_MAX + 1} bytes, ${wanted}`,
    }),
    post("a body of 1 MiB and a byte without a length", {
      body,
      chunked: true,
      status: 413,
      error: `Body has more than ${BODY_BYTES_MAX} bytes, ${wanted}`,
    }),
    post("a body of 1 MiB and a byte with its length twice", {
      body,
      lengthTwice: true,
      status: 413,
      error: `Body has more than ${BODY_BYTES_MAX} bytes, ${wanted}`,
    }),
  ];
}

/** Writes that a browser sends for a page of another site, or that hide where they go. */
function wrongSenders(): BadRequest[] {
  const body = JSON.stringify(FIELDS);
  const origins = [
    "null",
    "http://example.org",
    "https://example.org:8080",
    "http://s.example",
    "http://s.example.org",
    "http://s.example:81",
    "http://example.org, http://s.example:80",
    "s.example:80",
    "",
  ];
  const hosts = ["s/put?", "s\\put", "s#"];
  return [
    ...origins.map((origin) =>
      post(`a write with the origin ${origin}`, {
        body,
        headers: { host: "s.example:80", origin },
        status: 403,
        error: `Header "Origin" is "${origin}", expected "http://s.example:80" or none: ` +
          `a page of another site may not write`,
      })
    ),
    post("a delete from a page of another site", {
      target: "/delete",
      body: `{"client":"c","seq":1,"key":"k"}`,
      headers: { host: "s", origin: "http://example.org" },
      status: 403,
      error: `Header "Origin" is "http://example.org", expected "http://s" or none: ` +
        `a page of another site may not write`,
    }),
    ...hosts.map((host) =>
      post(`a write with the host ${host}`, {
        body,
        headers: { host },
        error: `Header "Host" is ${JSON.stringify(host)}, ` +
          `expected a host name or an IP address, and its port`,
      })
    ),
  ];
}

function unknownPaths(): BadRequest[] {
  const targets = [
    "/",
    "/Put",
    "/put/",
    "/get/?key=k",
    "//get?key=k",
    "/get/k",
    "/%67et?key=k",
    "/get;key=k",
    "/health/",
    "/metrics.json",
    "/__proto__",
    "/constructor",
    "/favicon.ico",
  ];
  return targets.flatMap((target) => {
    const error = `Path is "${target.split("?")[0]}", ${PATHS}`;
    return [
      { name: `GET ${target}`, method: "GET", target, status: 404, error },
      post(`POST ${target}`, { target, body: JSON.stringify(FIELDS), status: 404, error }),
    ];
  });
}

/** Every path with every method but its own. */
function wrongMethods(): BadRequest[] {
  const methods = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "BREW"];
  const paths: [path: string, allow: string][] = [
    ["/put", "POST"],
    ["/delete", "POST"],
    ["/get", "GET"],
    ["/health", "GET"],
    ["/metrics", "GET"],
  ];
  return paths.flatMap(([path, allow]) =>
    methods.filter((method) => method !== allow).map((method) => ({
      name: `${method} ${path}`,
      method,
      target: path === "/get" ? "/get?key=k" : path,
      body: ["GET", "HEAD"].includes(method) ? undefined : encode(JSON.stringify(FIELDS)),
      status: 405,
      error: `Method of ${path} is ${method}, expected ${allow}`,
      allow,
    }))
  );
}

function wrongQueries(): BadRequest[] {
  const missing = `Parameter "key" is missing, expected ?key=…`;
  const empty = `Parameter "key" has 0 bytes, expected 1 to ${KEY_BYTES_MAX}`;
  const twice = `Parameter "key" is there twice, expected once`;
  const unknown = (quoted: string) => `Parameter ${quoted} is unknown, expected "key"`;
  const broken = (quoted: string) => `Parameter "key" is ${quoted}, expected percent-encoded UTF-8`;
  const queries: [query: string, error: string][] = [
    ["", missing],
    ["?", missing],
    ["?&&", missing],
    ["?key", empty],
    ["?key=", empty],
    ["?&key=&", empty],
    ["?key=a&key=b", twice],
    ["?key=a&key=a", twice],
    ["?key=a&key", twice],
    ["?Key=a", unknown(`"Key"`)],
    ["?x", unknown(`"x"`)],
    ["?=a", unknown(`""`)],
    ["?key=a&x=1", unknown(`"x"`)],
    ["?a+b=c", unknown(`"a b"`)],
    ["?%C3%A9=a", unknown(`"é"`)],
    ["?key=a&constructor=b", unknown(`"constructor"`)],
    ["?key=a?key=b&value=c", unknown(`"value"`)],
    [`?${"x".repeat(100)}=a`, unknown(`"${"x".repeat(40)}…"`)],
    ["?key=%", broken(`"%"`)],
    ["?key=a%2", broken(`"a%2"`)],
    ["?key=%zz", broken(`"%zz"`)],
    ["?key=%u0041", broken(`"%u0041"`)],
    ["?key=%ff", broken(`"%ff"`)],
    ["?key=%c0%80", broken(`"%c0%80"`)],
    ["?key=%ed%a0%80", broken(`"%ed%a0%80"`)],
    ["?key=%f0%9f%98", broken(`"%f0%9f%98"`)],
    ["?key=%f4%90%80%80", broken(`"%f4%90%80%80"`)],
  ];
  return [
    ...queries.map(([query, error]) => ({
      name: `GET /get${query}`,
      method: "GET",
      target: `/get${query}`,
      status: 400,
      error,
    })),
    {
      name: "a key of 65,537 bytes in the query",
      method: "GET",
      target: `/get?key=${"k".repeat(KEY_BYTES_MAX + 1)}`,
      status: 413,
      error: `Parameter "key" has ${KEY_BYTES_MAX + 1} bytes, expected 1 to ${KEY_BYTES_MAX}`,
      onlyInMemory: "Deno.serve itself refuses so long a head",
    },
  ];
}

interface PostOptions extends Partial<Omit<BadRequest, "body">> {
  readonly body: string | Uint8Array<ArrayBuffer>;
  readonly error: string;
}

/** A `POST /put` that is answered with 400, unless the options say otherwise. */
function post(name: string, { body, ...options }: PostOptions): BadRequest {
  const bytes = typeof body === "string" ? encode(body) : body;
  return { name, method: "POST", target: "/put", status: 400, ...options, body: bytes };
}

/** The JSON of a good put in which the field `name` has the value that `json` spells. */
function bodyWith(name: string, json: string): string {
  const fields = Object.entries(FIELDS).map(([field, value]) =>
    `"${field}":${field === name ? json : JSON.stringify(value)}`
  );
  return `{${fields.join(",")}}`;
}

function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

function byteLength(text: string): number {
  return encode(text).length;
}

function concat(...parts: (string | Uint8Array<ArrayBuffer>)[]): Uint8Array<ArrayBuffer> {
  const pieces = parts.map((part) => typeof part === "string" ? encode(part) : part);
  return Uint8Array.from(pieces.flatMap((piece) => [...piece]));
}
