/**
 * Sends one request over HTTP, once.
 *
 * @module
 */

import type { Answer, Request } from "../history/history.ts";
import { Failure } from "../subcommand.ts";

/** Why a request was not answered, and may be sent again. */
export type NoAnswer = "503" | "broken connection" | "no answer in time";

export interface AttemptOptions {
  readonly client: Deno.HttpClient;
  /** Ends the attempt: it throws the reason. */
  readonly signal: AbortSignal;
  /** How long to wait for the answer, in milliseconds. */
  readonly timeoutMs: number;
}

/**
 * The answer, or why there is none.
 *
 * @param url Of a node or a router, such as `http://127.0.0.1:8080`.
 * @throws {Failure} The answer is one that a well-formed request never gets.
 */
export async function attempt(
  url: string,
  request: Request,
  { client, signal, timeoutMs }: AttemptOptions,
): Promise<Answer | NoAnswer> {
  const timeout = AbortSignal.timeout(timeoutMs);
  let response: Response;
  let text: string;
  try {
    const [path, init] = spell(request);
    const options = { ...init, client, signal: AbortSignal.any([signal, timeout]) };
    response = await fetch(url + path, options);
    text = await response.text();
  } catch (error) {
    signal.throwIfAborted();
    if (timeout.aborted) return "no answer in time";
    if (error instanceof TypeError) return "broken connection";
    throw error;
  }
  if (response.status === 503) return "503";
  const answer = read(request, response.status, text);
  if (answer !== undefined) return answer;
  const { client: name, kind, seq } = request;
  throw new Failure(
    `Wrong answer to ${kind} seq ${seq} of ${name}: ${response.status} ${text.slice(0, 300)}`,
  );
}

function spell({ client, kind, seq, key, value }: Request): [path: string, init: RequestInit] {
  if (kind === "get") return [`/get?key=${encodeURIComponent(key)}`, {}];
  const command = kind === "put" ? { client, seq, key, value } : { client, seq, key };
  return [`/${kind}`, { method: "POST", body: JSON.stringify(command) }];
}

function read(request: Request, status: number, text: string): Answer | undefined {
  if (request.kind === "get") {
    if (status === 404) return { kind: "read", value: null };
    return status === 200 ? { kind: "read", value: JSON.parse(text).value } : undefined;
  }
  if (status !== 200) return undefined;
  const { prevValue, logIndex, duplicate = false, mismatch = false } = JSON.parse(text);
  return mismatch ? undefined : { kind: "written", prevValue, logIndex, duplicate };
}
