/**
 * The process that generates load with autocannon. Takes a {@linkcode Load} in JSON as its argument
 * and prints the result in JSON.
 *
 * @module
 */

import runAutocannon from "autocannon";
import type { AutocannonResult } from "./autocannon.ts";
import { keyOf, type Load, VALUE } from "./workload.ts";

interface Request {
  path: string;
  method: "GET" | "POST";
  headers?: Record<string, string>;
  body?: string;
}

type Run = (options: {
  url: string;
  connections: number;
  duration: number;
  requests: { setupRequest(defaults: Request): Request }[];
}) => Promise<AutocannonResult>;

/** Builds the requests of all connections, one after the other. */
function requestBuilder(load: Load): (defaults: Request) => Request {
  const { connections, keyCount, clientPrefix, ownClients } = load;
  const drawKey = () => keyOf(Math.floor(Math.random() * keyCount));
  if (load.method === "get") {
    return (defaults) => ({ ...defaults, method: "GET", path: `/get?key=${drawKey()}` });
  }
  const headers = { "content-type": "application/json" };
  let i = 0;
  return (defaults) => {
    const client = clientPrefix + (ownClients ? i : i % connections);
    const seq = ownClients ? 1 : Math.floor(i / connections) + 1;
    i++;
    const body = JSON.stringify({ client, seq, key: drawKey(), value: VALUE });
    return { ...defaults, method: "POST", path: "/put", headers, body };
  };
}

if (import.meta.main) {
  const load: Load = JSON.parse(Deno.args[0]);
  const result = await (runAutocannon as Run)({
    url: `http://127.0.0.1:${load.port}`,
    connections: load.connections,
    duration: load.seconds,
    requests: [{ setupRequest: requestBuilder(load) }],
  });
  console.log(JSON.stringify(result));
  Deno.exit(0); // its timers would keep the process for a while
}
