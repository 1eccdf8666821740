/**
 * `main.ts help`: what there is, and how each thing is used.
 *
 * @module
 */

import { subcommandNames, subcommands } from "./mod.ts";
import { ExitCode, misuse } from "./subcommand.ts";

export const name = "help";
export const summary = "Print this help, or that of a subcommand";
export const help = `Usage: main.ts help [SUBCOMMAND]

Prints what sixpaths can do, or how one subcommand is used.`;

export async function run(args: string[]): Promise<number> {
  const [topic, stray] = args;
  if (stray !== undefined) {
    throw misuse(`Unexpected argument "${stray}", expected one subcommand at most`);
  }
  console.log(topic === undefined ? await overview() : await helpOn(topic));
  return ExitCode.done;
}

async function overview(): Promise<string> {
  const lines = [];
  for (const [name, load] of subcommands) {
    lines.push(`  ${name.padEnd(9)}${(await load()).summary}`);
  }
  return `sixpaths: a durable, sharded key-value store

Usage: main.ts SUBCOMMAND [ARGUMENTS]

${lines.join("\n")}

Every subcommand explains itself with --help.

Exit codes:
  0  Done, or stopped as asked
  1  Failed; of check and dump also: damage found
  2  Misuse: arguments or a config that cannot be used
  3  Damaged data: a node refuses to start, or salvage could not save all of it`;
}

async function helpOn(topic: string): Promise<string> {
  const load = subcommands.get(topic);
  if (load === undefined) {
    throw misuse(`Unknown subcommand "${topic}", expected one of ${subcommandNames()}`);
  }
  return (await load()).help;
}
