/**
 * The bare `Deno.serve` handlers that every figure stands beside: what is left of an HTTP server
 * when there is no store in it; and the HTTP API of a node with no store behind it. A process
 * serves one of them.
 *
 * @module
 */

import { createHandler } from "../../lib/api.ts";
import { systemClock } from "../../lib/clock.ts";
import { Outcome, type Result, type Service } from "../../lib/key_value.ts";
import { formatReadyLine } from "../supervise/ready_line.ts";
import { endOfInput } from "../supervise/stop_request.ts";
import { type Method, VALUE } from "./workload.ts";

/** What a process serves: bare answers to requests of a method, or the API alone. */
export type Baseline = Method | "api";

/** Answers as long as those of a node. */
const GET_BODY = JSON.stringify({ value: VALUE });
const PUT_BODY = JSON.stringify({ success: true, prevValue: VALUE, logIndex: 123_456 });
const RESULT: Result = { outcome: Outcome.applied, logIndex: 123_456, prevValue: VALUE };
const SERVICE: Service = {
  get: () => VALUE,
  write: () => Promise.resolve(RESULT),
  health: () => ({ status: "ok" }),
  metrics: () => ({}),
};

const HANDLERS: Record<Baseline, Deno.ServeHandler> = {
  get: () => new Response(GET_BODY),
  put: async (request) => {
    await request.json();
    return new Response(PUT_BODY);
  },
  api: createHandler(SERVICE, systemClock),
};

if (import.meta.main) {
  const [baseline, port] = Deno.args;
  const handler = HANDLERS[baseline as Baseline];
  const server = Deno.serve({ hostname: "127.0.0.1", port: Number(port), onListen() {} }, handler);
  console.log(formatReadyLine({ id: baseline, pid: Deno.pid }));
  await endOfInput();
  await server.shutdown();
}
