/**
 * What the operator of a cluster sees: lines with the coloured name of the program that printed
 * them, and one table.
 *
 *     n1      | Cut off 512 bytes …
 *     cluster | n3 was ended by SIGKILL; it starts again in 10 ms
 *
 * @module
 */

import { blue, bold, cyan, green, magenta, yellow } from "@std/fmt/colors";
import { formatAddress } from "../../lib/address.ts";
import type { ClusterConfig, NodeConfig } from "../../lib/config.ts";
import { formatSize } from "../size.ts";
import type { State } from "./supervised_process.ts";

const COLORS = [green, yellow, blue, magenta, cyan];

/** Makes the function that puts one of `names` before a line, all to the same width. */
export function prefixer(names: readonly string[]): (name: string, line: string) => string {
  const width = Math.max(...names.map((name) => name.length));
  return (name, line) => {
    const color = COLORS[names.indexOf(name) % COLORS.length];
    return `${color(`${name.padEnd(width)} |`)} ${line}`;
  };
}

/**
 * One row per node: where it is, and what it holds or why it does not serve. `states` are those of
 * the nodes, in order.
 */
export function formatNodes(nodes: readonly NodeConfig[], states: readonly State[]): string {
  const head = ["node", "address", "data", "pid", "keys", "log"];
  const rows = nodes.map(({ id, host, port, data }, i) => [
    id,
    formatAddress(host, port),
    data,
    ...describe(states[i]),
  ]);
  const widths = head.map((_, column) =>
    Math.max(...[head, ...rows].map((row) => row[column].length))
  );
  const format = (row: string[]) =>
    row.map((cell, column) => cell.padEnd(widths[column])).join("  ").trimEnd();
  return [bold(format(head)), ...rows.map(format)].join("\n");
}

/** What to do with a cluster that is up. `states` are those of the nodes, and last the router's. */
export function formatInvitation({ router }: ClusterConfig, states: readonly State[]): string {
  const state = states.at(-1)!;
  const url = `http://${formatAddress(connectable(router.host), router.port)}`;
  const body = JSON.stringify({ client: "me", seq: 1, key: "greeting", value: "hello" });
  const isServing = states.slice(0, -1).some(({ kind }) => kind === "ready");
  return [
    `router  ${url} ${state.kind === "ready" ? `(pid ${state.facts.pid})` : whyNotReady(state)}`,
    ...isServing
      ? [`try it  curl ${url}/put -d '${body}'`, `        curl '${url}/get?key=greeting'`]
      : [],
    "stop    Ctrl-C",
  ].join("\n");
}

/** The cells that say what a node holds. */
function describe(state: State): [pid: string, keys: string, log: string] {
  if (state.kind !== "ready") return ["-", "-", whyNotReady(state)];
  const { pid, keys, log_bytes } = state.facts;
  return [
    pid,
    Number(keys).toLocaleString("en"),
    formatSize(Number(log_bytes)),
  ];
}

function whyNotReady(state: Exclude<State, { kind: "ready" }>): string {
  if (state.reason === undefined) return "is still starting";
  return state.kind === "down" ? state.reason : `${state.reason}, and starts again`;
}

/** An address to connect to, for a host to listen on: a wildcard stands for every address. */
function connectable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  return host === "::" ? "::1" : host;
}
