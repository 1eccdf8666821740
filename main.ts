/**
 * The one entry point: finds the subcommand, runs it, and turns how it ended into an exit code.
 *
 * @module
 */

import { ConfigError } from "./lib/config.ts";
import { subcommandNames, subcommands } from "./tasks/mod.ts";
import { ExitCode, Failure, isBug } from "./tasks/subcommand.ts";

async function main(args: string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || isHelpFlag(name)) return await printOverview(name === undefined);
  const load = subcommands.get(name);
  if (load === undefined) {
    console.error(`sixpaths: Unknown subcommand "${name}", expected one of ${subcommandNames()}`);
    return ExitCode.misuse;
  }
  const subcommand = await load();
  if (rest.some(isHelpFlag)) {
    console.log(subcommand.help);
    return ExitCode.done;
  }
  try {
    return await subcommand.run(rest);
  } catch (error) {
    return report(name, error);
  }
}

function isHelpFlag(argument: string): boolean {
  return argument === "--help" || argument === "-h";
}

async function printOverview(isMisuse: boolean): Promise<number> {
  const { overview } = await import("./tasks/help.ts");
  if (!isMisuse) {
    console.log(await overview());
    return ExitCode.done;
  }
  console.error(await overview());
  return ExitCode.misuse;
}

/** Tells the operator in a line what went wrong; only a bug shows its stack. */
function report(name: string, error: unknown): ExitCode {
  if (error instanceof ConfigError) {
    for (const problem of error.problems) console.error(`sixpaths ${name}: ${problem}`);
    return ExitCode.misuse;
  }
  if (error instanceof Failure) {
    console.error(`sixpaths ${error.subject ?? name}: ${error.message}`);
    return error.exitCode;
  }
  if (isBug(error)) console.error(`sixpaths ${name}: Unexpected error:`, error);
  else console.error(`sixpaths ${name}: ${(error as Error).message}`);
  return ExitCode.failed;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
