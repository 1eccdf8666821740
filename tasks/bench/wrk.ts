/**
 * Load from `wrk`: a C program, so most of a machine is left for what is measured. It asks a Lua
 * script for each request, and runs it in one thread so that there is one count of requests: number
 * `i` comes from client `i mod connections` and has sequence number `⌊i / connections⌋ + 1`.
 *
 * @module
 */

import { join } from "@std/path";
import { firstLineOf, outputOf } from "./command.ts";
import { type Load, type LoadGenerator, type LoadResult, VALUE } from "./workload.ts";

/** Begins the line of the script that says what came of the load. */
const RESULT_START = "result ";

/**
 * Builds requests as text, which costs less than `wrk.format`. Arguments: method, connections,
 * keys, client prefix, and "own" when every write has a client of its own.
 */
const SCRIPT = `local method, clients, keys, prefix, own
local i = 0

function init(args)
  method, clients, keys = args[1], tonumber(args[2]), tonumber(args[3])
  prefix, own = args[4], args[5] == "own"
  for c = 1, #prefix do i = (i * 31 + prefix:byte(c)) % 2147483647 end
  math.randomseed(i)
  i = 0
end

local function get(key)
  return "GET /get?key=" .. key .. " HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n\\r\\n"
end

local function put(key)
  local client, seq = i % clients, math.floor(i / clients) + 1
  if own then client, seq = i, 1 end
  i = i + 1
  local body = '{"client":"' .. prefix .. client .. '","seq":' .. seq .. ',"key":"' .. key ..
    '","value":"${VALUE}"}'
  return "POST /put HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nContent-Type: application/json\\r\\n" ..
    "Content-Length: " .. #body .. "\\r\\n\\r\\n" .. body
end

function request()
  local key = "key:" .. math.random(0, keys - 1)
  if method == "get" then return get(key) end
  return put(key)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '${RESULT_START}{"requests":%d,"microseconds":%d,"status":%d,"connect":%d,"read":%d,' ..
      '"write":%d,"timeout":%d,"p50":%d,"p99":%d,"max":%d}\\n',
    summary.requests, summary.duration, errors.status, errors.connect, errors.read,
    errors.write, errors.timeout, latency:percentile(50), latency:percentile(99), latency.max))
end
`;

/** `wrk`, with its script in `directory`; undefined when it is not on the PATH. */
export async function findWrk(directory: string): Promise<LoadGenerator | undefined> {
  const line = await firstLineOf("wrk", "--version");
  if (line === undefined) return undefined;
  const script = join(directory, "requests.lua");
  await Deno.writeTextFile(script, SCRIPT);
  return {
    name: "wrk",
    description: line.replace(/ (\[|Copyright).*/, ""),
    run: async (load, signal) => parseWrk(await outputOf("wrk", wrkArgs(load, script), signal)),
  };
}

function wrkArgs(load: Load, script: string): string[] {
  const { method, connections, keyCount, clientPrefix, ownClients } = load;
  const measure = ["-t", "1", "-c", `${connections}`, "-d", `${load.seconds}s`, "--latency"];
  const forScript = [method, `${connections}`, `${keyCount}`, clientPrefix];
  if (ownClients) forScript.push("own");
  return [...measure, "-s", script, `http://127.0.0.1:${load.port}`, "--", ...forScript];
}

/**
 * Reads what the script printed at the end of a run of `wrk`.
 *
 * @throws {Error} There is no such line.
 */
export function parseWrk(output: string): LoadResult {
  const line = output.split("\n").find((line) => line.startsWith(RESULT_START));
  if (line === undefined) {
    throw new Error(`Output of wrk has no line "${RESULT_START}…", but: ${output.slice(0, 200)}`);
  }
  const result = JSON.parse(line.slice(RESULT_START.length));
  const { status, connect, read, write, timeout } = result;
  return {
    requests: result.requests,
    seconds: result.microseconds / 1e6,
    failures: status + connect + read + write + timeout,
    p50Ms: result.p50 / 1000,
    p99Ms: result.p99 / 1000,
    maxMs: result.max / 1000,
  };
}
