/**
 * A client of the HTTP API that reports what it was answered, whatever that is.
 *
 * @module
 */

/** How long an answer may take, in milliseconds: longer than a router waits for a node. */
const DEADLINE_MS = 10_000;

export interface Answer {
  readonly status: number;
  readonly ok: boolean;
  readonly retryAfter: string | null;
  // deno-lint-ignore no-explicit-any
  readonly body: any;
}

/** A write, as it stands in the body of a request. */
export interface Write {
  readonly client: string;
  readonly seq: number;
  readonly key: string;
  /** Not in a delete. */
  readonly value?: string;
}

/** Asks for `path`; with a body it is a `POST`. */
export async function request(url: string, path: string, body?: unknown): Promise<Answer> {
  const init = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const response = await fetch(url + path, { ...init, signal });
  const { status, ok, headers } = response;
  return { status, ok, retryAfter: headers.get("retry-after"), body: await response.json() };
}

export function get(url: string, key: string): Promise<Answer> {
  return request(url, `/get?key=${encodeURIComponent(key)}`);
}

export function put(url: string, write: Write): Promise<Answer> {
  return request(url, "/put", write);
}

export function remove(url: string, write: Write): Promise<Answer> {
  return request(url, "/delete", write);
}
