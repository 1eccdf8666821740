/**
 * A process that serves the HTTP API of a node with no store behind it: every answer is a constant.
 * Takes a port as its argument.
 *
 * @module
 */

import { createHandler } from "../../lib/api.ts";
import { Outcome, type Result, type Service } from "../../lib/key_value.ts";
import { formatReadyLine } from "../supervise/ready_line.ts";
import { endOfInput } from "../supervise/stop_request.ts";
import { VALUE } from "./workload.ts";

const RESULT: Result = { outcome: Outcome.applied, logIndex: 123_456, prevValue: VALUE };

/** Answers as long as those of a node. */
const CONSTANT: Service = {
  get: () => VALUE,
  write: () => Promise.resolve(RESULT),
  health: () => ({ status: "ok" }),
  metrics: () => ({}),
};

if (import.meta.main) {
  const port = Number(Deno.args[0]);
  const server = Deno.serve(
    { hostname: "127.0.0.1", port, onListen() {} },
    createHandler(CONSTANT),
  );
  console.log(formatReadyLine({ id: "api", pid: Deno.pid }));
  await endOfInput();
  await server.shutdown();
}
