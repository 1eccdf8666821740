/**
 * From an HTTP request to a command or a key, or to an error that says which field is wrong, what
 * it was and what is wanted.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { STATUS_CODE } from "@std/http/status";
import { errorMessage } from "./error_message.ts";
import { type Command, CommandKind } from "./key_value.ts";
import { CLIENT_BYTES_MAX, KEY_BYTES_MAX, SEQ_MAX } from "./limits.ts";

/** What a client sent is not what the API takes. */
export class BadRequestError extends Error {
  override name = "BadRequestError";
  /** 400, 403 when it may not be sent at all, 408 when too slow, or 413 when too large. */
  readonly status: number;

  constructor(message: string, status: number = STATUS_CODE.BadRequest) {
    super(message);
    this.status = status;
  }
}

const PUT_FIELDS = ["client", "seq", "key", "value"];
const DELETE_FIELDS = ["client", "seq", "key"];

/**
 * Checks who sends a write. A browser sends one for any page that asks it to, with the `Origin` of
 * that page; only pages that this server itself has served may write. And it may not come with a
 * `Host` that reads as part of the path: `request.url` is made of it.
 *
 * @throws {BadRequestError}
 */
export function checkSender({ headers, url }: Request): void {
  // Deno copies all headers of a request of which any was read. `has` makes it do so now, and what
  // is read after it comes out of that copy.
  const hasOrigin = headers.has("origin");
  const host = headers.get("host") ?? url.split("/", 3)[2]; // HTTP/2 has it in the URL alone
  if (/[/?#\\]/.test(host)) {
    throw new BadRequestError(
      `Header "Host" is ${quote(host)}, expected a host name or an IP address, and its port`,
    );
  }
  if (!hasOrigin) return;
  const origin = headers.get("origin")!;
  const hostStart = origin.indexOf("://") + 3;
  if (hostStart >= 3 && origin.slice(hostStart) === host.toLowerCase()) return;
  throw new BadRequestError(
    `Header "Origin" is ${quote(origin)}, expected ${quote(`http://${host}`)} or none: ` +
      `a page of another site may not write`,
    STATUS_CODE.Forbidden,
  );
}

/**
 * The command that a body spells in JSON.
 *
 * @throws {BadRequestError}
 */
export function parseCommand(text: string, kind: CommandKind): Command {
  const fields = kind === CommandKind.put ? PUT_FIELDS : DELETE_FIELDS;
  const body = parseJson(text, fields);
  checkFields(body, fields);
  const { client, seq, key, value } = body;
  return {
    kind,
    client: checkText("client", client, CLIENT_BYTES_MAX),
    seq: checkSeq(seq),
    key: checkText("key", key, KEY_BYTES_MAX),
    value: kind === CommandKind.put ? checkValue(value) : "",
  };
}

/**
 * The key in the query of `/get`, given without its question mark.
 *
 * @throws {BadRequestError}
 */
export function parseKeyQuery(query: string): string {
  let key: string | undefined;
  for (const parameter of query.split("&")) {
    if (parameter === "") continue;
    const equals = parameter.indexOf("=");
    const name = decode("Parameter name", equals < 0 ? parameter : parameter.slice(0, equals));
    if (name !== "key") throw unknownField("Parameter", name, ["key"]);
    if (key !== undefined) {
      throw new BadRequestError(`Parameter "key" is there twice, expected once`);
    }
    key = equals < 0 ? "" : decode(`Parameter "key"`, parameter.slice(equals + 1));
  }
  if (key === undefined) throw new BadRequestError(`Parameter "key" is missing, expected ?key=…`);
  return checkSize("Parameter", "key", key, KEY_BYTES_MAX);
}

/** Percent-decoding that refuses what is not UTF-8 instead of replacing it. */
function decode(what: string, text: string): string {
  if (!/[%+]/.test(text)) return text;
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    throw new BadRequestError(`${what} is ${quote(text)}, expected percent-encoded UTF-8`);
  }
}

function parseJson(text: string, fields: string[]): Record<string, unknown> {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch (error) {
    throw wrongBody(`not JSON: ${errorMessage(error)}`, fields);
  }
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw wrongBody(describe(body), fields);
  }
  return body as Record<string, unknown>;
}

function wrongBody(was: string, fields: string[]): BadRequestError {
  return new BadRequestError(`Body is ${was}, expected an object with ${quoteAll(fields)}`);
}

function checkFields(body: Record<string, unknown>, fields: string[]): void {
  for (const name in body) {
    if (!fields.includes(name)) throw unknownField("Field", name, fields);
  }
  for (const name of fields) {
    if (!Object.hasOwn(body, name)) {
      throw new BadRequestError(`Field "${name}" is missing, expected ${quoteAll(fields)}`);
    }
  }
}

function unknownField(what: string, name: string, expected: string[]): BadRequestError {
  return new BadRequestError(`${what} ${quote(name)} is unknown, expected ${quoteAll(expected)}`);
}

function checkSeq(seq: unknown): number {
  if (Number.isSafeInteger(seq) && (seq as number) >= 1) return seq as number;
  throw new BadRequestError(
    `Field "seq" is ${describe(seq)}, expected an integer from 1 to ${SEQ_MAX}`,
  );
}

function checkText(name: string, value: unknown, bytesMax: number): string {
  return checkSize("Field", name, checkWellFormed(name, value), bytesMax);
}

function checkValue(value: unknown): string {
  return checkWellFormed("value", value); // its size is bounded by that of the body
}

function checkWellFormed(name: string, value: unknown): string {
  if (typeof value !== "string") {
    throw new BadRequestError(`Field "${name}" is ${describe(value)}, expected a string`);
  }
  if (!value.isWellFormed()) {
    throw new BadRequestError(
      `Field "${name}" is ${quote(value)}, expected no lone surrogates: they have no UTF-8`,
    );
  }
  return value;
}

function checkSize(what: string, name: string, text: string, bytesMax: number): string {
  // Up to a third of the bound no text can have too many bytes; above, they are counted.
  const bytes = text.length * 3 <= bytesMax ? text.length : Buffer.byteLength(text);
  if (bytes >= 1 && bytes <= bytesMax) return text;
  const status = bytes > bytesMax ? STATUS_CODE.ContentTooLarge : STATUS_CODE.BadRequest;
  throw new BadRequestError(
    `${what} "${name}" has ${bytes} bytes, expected 1 to ${bytesMax}`,
    status,
  );
}

function describe(value: unknown): string {
  if (typeof value === "string") return `the string ${quote(value)}`;
  if (Array.isArray(value)) return "an array";
  if (typeof value === "object" && value !== null) return "an object";
  return String(value);
}

/** In quotes, and short: an error is read by a person. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40).toWellFormed()}…` : text);
}

function quoteAll(names: string[]): string {
  return names.map((name) => `"${name}"`).join(", ");
}
