/**
 * The subcommands of `main.ts`. Each is loaded only when it is asked for, so that a node does not
 * carry the supervisor around.
 *
 * @module
 */

import type { Subcommand } from "./subcommand.ts";

/** How to load each subcommand, by name, in the order of the help. */
export const subcommands = new Map<string, () => Promise<Subcommand>>([
  ["cluster", () => import("./cluster.ts")],
  ["node", () => import("./node.ts")],
  ["router", () => import("./router.ts")],
  ["clean", () => import("./clean.ts")],
  ["check", () => import("./check.ts")],
  ["dump", () => import("./dump.ts")],
  ["salvage", () => import("./salvage.ts")],
  ["simulate", () => import("./simulate.ts")],
  ["torture", () => import("./torture.ts")],
  ["bench", () => import("./bench.ts")],
  ["help", () => import("./help.ts")],
]);

/** The names of all subcommands, for a message. */
export function subcommandNames(): string {
  return [...subcommands.keys()].join(", ");
}
