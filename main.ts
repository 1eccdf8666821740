/**
 * The one entry point: finds the subcommand, runs it, and turns how it ended into an exit code.
 *
 * @module
 */

import { ConfigError } from "./lib/config.ts";
import { subcommandNames, subcommands } from "./tasks/mod.ts";
import { ExitCode, Failure, isBug, misuse } from "./tasks/subcommand.ts";

async function main([name, ...args]: string[]): Promise<number> {
  try {
    return await dispatch(name, args);
  } catch (error) {
    return report(
      name !== undefined && subcommands.has(name) ? `sixpaths ${name}` : "sixpaths",
      error,
    );
  }
}

async function dispatch(name: string | undefined, args: string[]): Promise<number> {
  if (name === undefined) throw misuse(`Missing subcommand, expected one of ${subcommandNames()}`);
  const load = subcommands.get(isHelpFlag(name) ? "help" : name);
  if (load === undefined) {
    throw misuse(`Unknown subcommand "${name}", expected one of ${subcommandNames()}`);
  }
  const subcommand = await load();
  if (!args.some(isHelpFlag)) return await subcommand.run(args);
  console.log(subcommand.help);
  return ExitCode.done;
}

function isHelpFlag(argument: string): boolean {
  return argument === "--help" || argument === "-h";
}

/** Tells the operator in a line who failed and why; only a bug shows its stack. */
function report(who: string, error: unknown): ExitCode {
  if (error instanceof ConfigError) {
    for (const problem of error.problems) console.error(`${who}: ${problem}`);
    return ExitCode.misuse;
  }
  if (error instanceof Failure) {
    const { subject, message, exitCode } = error;
    console.error(`${subject === undefined ? who : `sixpaths ${subject}`}: ${message}`);
    return exitCode;
  }
  if (isBug(error)) console.error(`${who}: Unexpected error:`, error);
  else console.error(`${who}: ${(error as Error).message}`);
  return ExitCode.failed;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
