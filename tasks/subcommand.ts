/**
 * What a subcommand is, how its arguments are read, and how it ends.
 *
 * A subcommand is a module with the four exports of {@linkcode Subcommand}. It says that it cannot
 * go on by throwing a {@linkcode Failure}; `main.ts` turns that into one line and an exit code. It
 * does so with other errors too, unless they are bugs ({@linkcode isBug}): those keep their stack
 * trace.
 *
 * @module
 */

import { parseArgs } from "node:util";

/** One thing that `main.ts` can do. */
export interface Subcommand {
  readonly name: string;
  /** What it does, in one line. */
  readonly summary: string;
  /** What `--help` prints. */
  readonly help: string;
  /** Does it. Resolves with the exit code when it is done. */
  run(args: string[]): Promise<number>;
}

/** How a process of ours ends. The numbers are part of the command line. */
export const ExitCode = {
  done: 0,
  failed: 1,
  /** Arguments or a config that cannot be used: trying again cannot help. */
  misuse: 2,
  /**
   * The data is damaged, and a node will not serve it, or it cannot be salvaged whole: trying again
   * cannot help. Who is asked to look for damage (`check`, `dump`) and finds it ends with `failed`.
   */
  damaged: 3,
} as const;
export type ExitCode = typeof ExitCode[keyof typeof ExitCode];

export interface FailureOptions extends ErrorOptions {
  /** Default: `ExitCode.failed`. */
  exitCode?: ExitCode;
  /** Who failed, such as `node n1`. Default: the name of the subcommand. */
  subject?: string;
}

/** An end that was to be reckoned with. The message is one line for the operator. */
export class Failure extends Error {
  override name = "Failure";
  readonly exitCode: ExitCode;
  readonly subject?: string;

  constructor(message: string, options: FailureOptions = {}) {
    super(message, options);
    this.exitCode = options.exitCode ?? ExitCode.failed;
    this.subject = options.subject;
  }
}

/** The failure of someone who called us with arguments that cannot be used. */
export function misuse(message: string): Failure {
  return new Failure(message, { exitCode: ExitCode.misuse });
}

/**
 * The failure of a process that a supervisor started, when Deno does not let it do something: its
 * flags are not the operator's to change, and are the same the next time.
 */
export function notCapable(cause: Error, options: FailureOptions = {}): Failure {
  const message = cause.message.replace(/, run again with .*$/, "");
  return new Failure(`${message}, which the supervisor cannot give`, {
    ...options,
    cause,
    exitCode: ExitCode.misuse,
  });
}

/** Whether an error means that our code is wrong; all others come from the world around it. */
export function isBug(error: unknown): boolean {
  const bugs = [TypeError, RangeError, ReferenceError, SyntaxError];
  return !(error instanceof Error) || bugs.some((bug) => error instanceof bug);
}

/** `text` flags take a value, `switch` flags take none. */
export type FlagKinds = Readonly<Record<string, "text" | "switch">>;

/** The values of the flags; `undefined` or `false` for a flag that was not given. */
export type Flags<Kinds extends FlagKinds> = {
  [Name in keyof Kinds]: Kinds[Name] extends "text" ? string | undefined : boolean;
};

/**
 * Reads the arguments of a subcommand: `--name value`, `--name=value` or `--name`, each at most
 * once, and as many other arguments as `positionals` has names.
 *
 * @example
 * ```ts
 * import { assertEquals } from "@std/assert";
 * const { flags, positionals } = parseArguments(["--config=c.json", "data/n1"], {
 *   flags: { config: "text", quiet: "switch" },
 *   positionals: ["DIR"],
 * });
 * assertEquals(flags, { config: "c.json", quiet: false });
 * assertEquals(positionals, ["data/n1"]);
 * ```
 *
 * @throws {Failure} An argument is unknown, repeated, empty, missing or one too many.
 */
export function parseArguments<Kinds extends FlagKinds>(
  args: string[],
  expected: { flags: Kinds; positionals?: readonly string[] },
): { flags: Flags<Kinds>; positionals: string[] } {
  const { flags: kinds, positionals: names = [] } = expected;
  const flags: Record<string, string | boolean | undefined> = {};
  for (const [name, kind] of Object.entries(kinds)) {
    flags[name] = kind === "switch" ? false : undefined;
  }
  const positionals: string[] = [];
  for (const token of tokensOf(args, kinds)) {
    if (token.kind === "option") {
      const value = flagValue(token, kinds);
      if (flags[token.name]) throw misuse(`Repeated flag "${token.rawName}", expected it once`);
      flags[token.name] = value;
    } else if (token.kind === "positional") {
      if (positionals.length === names.length) throw strayArgument(token.value, names);
      if (token.value === "") throw misuse(`Empty argument, expected ${names[positionals.length]}`);
      positionals.push(token.value);
    }
  }
  const missing = names.at(positionals.length);
  if (missing !== undefined) throw misuse(`Missing argument, expected ${missing}`);
  return { flags: flags as Flags<Kinds>, positionals };
}

/** What the number in a flag may be. */
export interface NumberRange {
  readonly min: number;
  /** Default: the largest integer that a number can hold. */
  readonly max?: number;
  /** Whether it may have a fraction. Default: no. */
  readonly isFraction?: boolean;
}

/**
 * The number that `text` says, the value of the flag `--name`; undefined without a text.
 *
 * @throws {Failure} It says something else, or a number out of the range.
 */
export function parseNumber(
  name: string,
  text: string | undefined,
  { min, max = Number.MAX_SAFE_INTEGER, isFraction = false }: NumberRange,
): number | undefined {
  if (text === undefined) return undefined;
  const number = Number(text);
  const isWellFormed = (isFraction ? /^\d+(\.\d+)?$/ : /^\d+$/).test(text);
  if (isWellFormed && number >= min && number <= max) return number;
  const wanted = `${isFraction ? "a number" : "an integer"} from ${min} to ${max}`;
  throw wrongValue(name, text, wanted);
}

/** The failure of a flag `--name` whose value is not what it takes, in words. */
export function wrongValue(name: string, value: string, wanted: string): Failure {
  return misuse(`Flag "--${name}" has the value "${value}", expected ${wanted}`);
}

interface OptionToken {
  name: string;
  rawName: string;
  value?: string;
}

function tokensOf(args: string[], kinds: FlagKinds) {
  const options = Object.fromEntries(
    Object.entries(kinds).map(([name, kind]) =>
      [name, { type: kind === "switch" ? "boolean" : "string" }] as const
    ),
  );
  // Not strict: its own messages do not say what is wanted.
  return parseArgs({ args, options, strict: false, allowPositionals: true, tokens: true }).tokens;
}

function flagValue({ name, rawName, value }: OptionToken, kinds: FlagKinds): string | true {
  if (!Object.hasOwn(kinds, name)) {
    const known = Object.keys(kinds).map((kind) => `--${kind}`).join(", ") || "no flags";
    throw misuse(`Unknown flag "${rawName}", expected ${known}`);
  }
  if (kinds[name] === "switch") {
    if (value === undefined) return true;
    throw wrongValue(name, value, "none");
  }
  if (value === undefined || value === "" || value.startsWith("--")) {
    throw misuse(`Flag "${rawName}" has no value, expected one`);
  }
  return value;
}

function strayArgument(value: string, names: readonly string[]): Failure {
  return misuse(`Unexpected argument "${value}", expected ${names.join(" ") || "flags only"}`);
}
