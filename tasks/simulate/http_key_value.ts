/**
 * The HTTP API as a {@linkcode KeyValue}: as a client would use it.
 *
 * @module
 */
import type { Handler } from "../../lib/api.ts";
import {
  type Command,
  CommandKind,
  InsufficientStorageError,
  type KeyValue,
  Outcome,
  type Result,
  UnavailableError,
} from "../../lib/key_value.ts";

/** Sends requests to `handle`: a handler in this process, or `fetch`. */
export class HttpKeyValue implements KeyValue {
  readonly #base: string;
  readonly #handle: Handler;

  constructor(base: string, handle: Handler) {
    this.#base = base;
    this.#handle = handle;
  }

  async get(key: string): Promise<string | null> {
    const url = `${this.#base}/get?key=${encodeURIComponent(key)}`;
    const response = await this.#handle(new Request(url));
    const body = await response.json();
    if (response.status === 404) return null;
    requireDone(response, body);
    return body.value;
  }

  async write({ kind, client, seq, key, value }: Command): Promise<Result> {
    const [path, fields] = kind === CommandKind.put
      ? ["/put", { client, seq, key, value }]
      : ["/delete", { client, seq, key }];
    const body = new TextEncoder().encode(JSON.stringify(fields));
    // A client says how long its body is; a `Request` that no client sends does not by itself.
    const headers = { "content-length": `${body.length}` };
    const request = new Request(this.#base + path, { method: "POST", headers, body });
    const response = await this.#handle(request);
    const result = await response.json();
    if (response.status === 409) return { outcome: Outcome.stale, logIndex: 0, prevValue: null };
    requireDone(response, result);
    const outcome = result.mismatch
      ? Outcome.mismatch
      : result.duplicate
      ? Outcome.duplicate
      : Outcome.applied;
    return { outcome, logIndex: result.logIndex, prevValue: result.prevValue };
  }
}

function requireDone({ status }: Response, { error }: { error?: string }): void {
  if (status === 503) throw new UnavailableError(error);
  if (status === 507) throw new InsufficientStorageError(error);
  if (status !== 200) throw new Error(`${status}: ${error}`);
}
