/**
 * The bare `Deno.serve` handlers that every figure stands beside: what is left of an HTTP server
 * when there is no store in it. A process serves one of them, and looks at no path.
 *
 * @module
 */

import { formatReadyLine } from "../supervise/ready_line.ts";
import { endOfInput } from "../supervise/stop_request.ts";
import { type Method, VALUE } from "./workload.ts";

/** Answers as long as those of a node. */
const GET_BODY = JSON.stringify({ value: VALUE });
const PUT_BODY = JSON.stringify({ success: true, prevValue: VALUE, logIndex: 123_456 });

const HANDLERS: Record<Method, Deno.ServeHandler> = {
  get: () => new Response(GET_BODY),
  put: async (request) => {
    await request.json();
    return new Response(PUT_BODY);
  },
};

if (import.meta.main) {
  const [method, port] = Deno.args;
  const handler = HANDLERS[method as Method];
  const server = Deno.serve({ hostname: "127.0.0.1", port: Number(port), onListen() {} }, handler);
  console.log(formatReadyLine({ id: method, pid: Deno.pid }));
  await endOfInput();
  await server.shutdown();
}
