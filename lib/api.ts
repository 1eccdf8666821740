/**
 * The HTTP front of the store: the same for a node and for a router, over whatever
 * {@linkcode Service} it is given. JSON in and out.
 *
 * Here, and only here, results and errors become HTTP statuses.
 *
 * @module
 */
import { STATUS_CODE } from "@std/http/status";
import { BadRequestError, checkSender, parseCommand, parseKeyQuery, quote } from "./api_request.ts";
import type { Clock } from "./clock.ts";
import {
  type Command,
  CommandKind,
  InsufficientStorageError,
  type MaybePromise,
  Outcome,
  type Result,
  type Service,
  UnavailableError,
} from "./key_value.ts";
import { RequestBodies } from "./request_body.ts";

/** Answers HTTP requests; what `Deno.serve` takes. */
export type Handler = (request: Request) => MaybePromise<Response>;

/** Seconds after which it makes sense to ask again: a node that restarts is back by then. */
const RETRY_AFTER_S = "1";

/** How requests to one path are answered. `query` is the part of the URL after its `?`. */
interface Route {
  readonly method: "GET" | "POST";
  readonly answer: (front: Front, request: Request, query: string) => MaybePromise<Response>;
}

const ROUTES = new Map<string, Route>([
  ["/put", { method: "POST", answer: (front, request) => front.write(request, CommandKind.put) }],
  [
    "/delete",
    { method: "POST", answer: (front, request) => front.write(request, CommandKind.delete) },
  ],
  ["/get", { method: "GET", answer: (front, _request, query) => front.get(query) }],
  ["/health", { method: "GET", answer: (front) => front.health() }],
  ["/metrics", { method: "GET", answer: (front) => front.metrics() }],
]);

/**
 * The HTTP front of `service`. It never throws and never rejects. `clock` times the deadlines of
 * request bodies.
 */
export function createHandler(service: Service, clock: Clock): Handler {
  const front = new Front(service, clock);
  return (request) => {
    try {
      const response = front.answer(request);
      return response instanceof Response ? response : response.catch(errorResponse);
    } catch (error) {
      return errorResponse(error);
    }
  };
}

class Front {
  readonly #service: Service;
  readonly #bodies: RequestBodies;

  constructor(service: Service, clock: Clock) {
    this.#service = service;
    this.#bodies = new RequestBodies(clock);
  }

  answer(request: Request): MaybePromise<Response> {
    const { url, method } = request;
    const pathStart = url.indexOf("/", url.indexOf("//") + 2);
    const queryStart = url.indexOf("?"); // before any slash if the target is a host and a query
    const path = pathStart < 0 ? "" : url.slice(pathStart, queryStart < 0 ? undefined : queryStart);
    const route = ROUTES.get(path);
    if (route === undefined) return unknownPath(path);
    if (route.method !== method) return wrongMethod(path, method, route.method);
    return route.answer(this, request, queryStart < 0 ? "" : url.slice(queryStart + 1));
  }

  get(query: string): MaybePromise<Response> {
    const value = this.#service.get(parseKeyQuery(query));
    // A node answers at once; awaiting nothing would cost it a tenth of its reads.
    return value instanceof Promise ? value.then(valueResponse) : valueResponse(value);
  }

  async write(request: Request, kind: CommandKind): Promise<Response> {
    checkSender(request);
    const command = parseCommand(await this.#bodies.read(request), kind);
    return resultResponse(command, await this.#service.write(command));
  }

  async health(): Promise<Response> {
    const health = await this.#service.health();
    if (health.status === "ok") return json(health);
    return tryLater(STATUS_CODE.ServiceUnavailable, health);
  }

  async metrics(): Promise<Response> {
    return json(await this.#service.metrics());
  }
}

function valueResponse(value: string | null): Response {
  if (value !== null) return json({ value });
  return json({ error: "Key is not in the store" }, { status: STATUS_CODE.NotFound });
}

function resultResponse({ seq }: Command, { outcome, prevValue, logIndex }: Result): Response {
  const answer = { success: true, prevValue, logIndex };
  switch (outcome) {
    case Outcome.applied:
      return json(answer);
    case Outcome.duplicate:
      return json({ ...answer, duplicate: true });
    case Outcome.mismatch:
      return json({ ...answer, duplicate: true, mismatch: true });
    case Outcome.stale: {
      const error = `Field "seq" is ${seq}, expected one that the node remembers, or a higher ` +
        `one: whether this write was applied is unknown`;
      return json({ error }, { status: STATUS_CODE.Conflict });
    }
  }
}

function unknownPath(path: string): Response {
  const error = `Path is ${quote(path)}, expected one of ${[...ROUTES.keys()].join(", ")}`;
  return json({ error }, { status: STATUS_CODE.NotFound });
}

function wrongMethod(path: string, method: string, allow: string): Response {
  const error = `Method of ${path} is ${method}, expected ${allow}`;
  return json({ error }, { status: STATUS_CODE.MethodNotAllowed, headers: { allow } });
}

function errorResponse(error: unknown): Response {
  if (error instanceof BadRequestError) {
    return json({ error: error.message }, { status: error.status });
  }
  if (error instanceof UnavailableError) {
    return tryLater(STATUS_CODE.ServiceUnavailable, { error: error.message });
  }
  if (error instanceof InsufficientStorageError) {
    return tryLater(STATUS_CODE.InsufficientStorage, { error: error.message });
  }
  console.error(error); // a bug: the operator gets to see it, the client does not
  const status = STATUS_CODE.InternalServerError;
  return json({ error: "Server failed to answer this request" }, { status });
}

function tryLater(status: number, body: unknown): Response {
  return json(body, { status, headers: { "retry-after": RETRY_AFTER_S } });
}

function json(body: unknown, init?: ResponseInit): Response {
  const response = Response.json(body, init);
  // Set afterwards: two headers given to a response at once take 3 µs more, a fifth of a read.
  response.headers.set("cache-control", "no-store");
  return response;
}
