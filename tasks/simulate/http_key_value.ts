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
    const init = { method: "POST", body: JSON.stringify(fields) };
    const response = await this.#handle(new Request(this.#base + path, init));
    const body = await response.json();
    if (response.status === 409) return { outcome: Outcome.stale, logIndex: 0, prevValue: null };
    requireDone(response, body);
    const outcome = body.mismatch
      ? Outcome.mismatch
      : body.duplicate
      ? Outcome.duplicate
      : Outcome.applied;
    return { outcome, logIndex: body.logIndex, prevValue: body.prevValue };
  }
}

function requireDone({ status }: Response, { error }: { error?: string }): void {
  if (status === 503) throw new UnavailableError(error);
  if (status === 507) throw new InsufficientStorageError(error);
  if (status !== 200) throw new Error(`${status}: ${error}`);
}
