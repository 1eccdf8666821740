/**
 * Runs a program to its end and hands back what it printed.
 *
 * @module
 */

import { Failure } from "../subcommand.ts";

/**
 * What `program` prints on its standard output.
 *
 * @throws {Failure} It ended with another code than 0; its last line on standard error says why.
 * @throws The reason of `signal`, by which the program is ended.
 */
export async function outputOf(
  program: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  signal.throwIfAborted();
  const command = new Deno.Command(program, { args: [...args], stdin: "null", signal });
  const { code, stdout, stderr } = await command.output();
  signal.throwIfAborted();
  if (code === 0) return new TextDecoder().decode(stdout);
  const lines = new TextDecoder().decode(stderr).trim().split("\n");
  throw new Failure(`Program "${program}" ended with code ${code}, expected 0: ${lines.at(-1)}`);
}

/** The first line that a program prints, on either output; undefined when it is not installed. */
export async function firstLineOf(
  program: string,
  ...args: string[]
): Promise<string | undefined> {
  try {
    const { stdout, stderr } = await new Deno.Command(program, { args }).output();
    const decoder = new TextDecoder();
    return (decoder.decode(stdout) + decoder.decode(stderr)).split("\n")[0];
  } catch (error) {
    // A program that was not found when permissions were resolved may not be run either.
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable) {
      return undefined;
    }
    throw error;
  }
}
