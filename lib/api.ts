/**
 * The HTTP front of the store: the same for a node and for the router, over whatever
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

const JSON_TYPE = { "content-type": "application/json" };
const OK: ResponseInit = { headers: JSON_TYPE };
/** Seconds after which it makes sense to ask again: a node that restarts is back by then. */
const RETRY_AFTER_S = "1";

const ALLOWED_METHOD: Record<string, string> = {
  "/put": "POST",
  "/delete": "POST",
  "/get": "GET",
  "/health": "GET",
  "/metrics": "GET",
};

/**
 * The HTTP front of `service`. It never throws and never rejects. `clock` times the deadlines of
 * request bodies.
 */
export function createHandler(service: Service, clock: Clock): Handler {
  const bodies = new RequestBodies(clock);
  return (request) => {
    try {
      const response = route(service, bodies, request);
      return response instanceof Response ? response : response.catch(errorResponse);
    } catch (error) {
      return errorResponse(error);
    }
  };
}

function route(
  service: Service,
  bodies: RequestBodies,
  request: Request,
): MaybePromise<Response> {
  const { url, method } = request;
  const pathStart = url.indexOf("/", url.indexOf("//") + 2);
  const queryStart = url.indexOf("?"); // before any slash if the target is a host and a query
  const path = pathStart < 0 ? "" : url.slice(pathStart, queryStart < 0 ? undefined : queryStart);
  const allowed = ALLOWED_METHOD[path];
  if (allowed === undefined) {
    const known = Object.keys(ALLOWED_METHOD).join(", ");
    return json(STATUS_CODE.NotFound, {
      error: `Path is ${quote(path)}, expected one of ${known}`,
    });
  }
  if (method !== allowed) return wrongMethod(path, method, allowed);
  const query = queryStart < 0 ? "" : url.slice(queryStart + 1);
  switch (path) {
    case "/get":
      return get(service, query);
    case "/put":
      return write(service, bodies, request, CommandKind.put);
    case "/delete":
      return write(service, bodies, request, CommandKind.delete);
    case "/health":
      return health(service);
    default:
      return metrics(service);
  }
}

function get(service: Service, query: string): MaybePromise<Response> {
  const key = parseKeyQuery(query);
  const value = service.get(key);
  // A node answers at once; awaiting nothing would cost it a tenth of its reads.
  return value instanceof Promise ? value.then(valueResponse) : valueResponse(value);
}

function valueResponse(value: string | null): Response {
  if (value === null) return json(STATUS_CODE.NotFound, { error: "Key is not in the store" });
  return ok(`{"value":${JSON.stringify(value)}}`);
}

async function write(
  service: Service,
  bodies: RequestBodies,
  request: Request,
  kind: CommandKind,
): Promise<Response> {
  checkSender(request);
  const command = parseCommand(await bodies.read(request), kind);
  return resultResponse(command, await service.write(command));
}

function resultResponse(command: Command, result: Result): Response {
  if (result.outcome !== Outcome.stale) return ok(resultText(result));
  return json(STATUS_CODE.Conflict, {
    error:
      `Field "seq" is ${command.seq}, expected one that the node remembers, or a higher one: ` +
      `whether this write was applied is unknown`,
  });
}

function resultText({ outcome, logIndex, prevValue }: Result): string {
  const flags = outcome === Outcome.applied
    ? ""
    : outcome === Outcome.duplicate
    ? `,"duplicate":true`
    : `,"duplicate":true,"mismatch":true`;
  return `{"success":true,"prevValue":${JSON.stringify(prevValue)},"logIndex":${logIndex}${flags}}`;
}

async function health(service: Service): Promise<Response> {
  const health = await service.health();
  const status = health.status === "ok" ? STATUS_CODE.OK : STATUS_CODE.ServiceUnavailable;
  return json(status, health);
}

async function metrics(service: Service): Promise<Response> {
  return json(STATUS_CODE.OK, await service.metrics());
}

function wrongMethod(path: string, method: string, allowed: string): Response {
  const error = `Method of ${path} is ${method}, expected ${allowed}`;
  return json(STATUS_CODE.MethodNotAllowed, { error }, { allow: allowed });
}

function errorResponse(error: unknown): Response {
  if (error instanceof BadRequestError) return json(error.status, { error: error.message });
  if (error instanceof UnavailableError) return tryLater(STATUS_CODE.ServiceUnavailable, error);
  if (error instanceof InsufficientStorageError) {
    return tryLater(STATUS_CODE.InsufficientStorage, error);
  }
  console.error(error); // a bug: the one who runs the server gets to see it, the client does not
  return json(STATUS_CODE.InternalServerError, { error: "Server failed to answer this request" });
}

function tryLater(status: number, { message }: Error): Response {
  return json(status, { error: message }, { "retry-after": RETRY_AFTER_S });
}

function json(status: number, body: unknown, headers?: Record<string, string>): Response {
  return noStore(
    new Response(JSON.stringify(body), { status, headers: { ...JSON_TYPE, ...headers } }),
  );
}

function ok(text: string): Response {
  return noStore(new Response(text, OK));
}

/** Set afterwards: two headers given to a response at once take 3 µs more, a fifth of a read. */
function noStore(response: Response): Response {
  response.headers.set("cache-control", "no-store");
  return response;
}
