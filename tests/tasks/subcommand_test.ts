import { assertEquals, assertThrows } from "@std/assert";
import { ExitCode, Failure, isBug, parseArguments, parseNumber } from "../../tasks/subcommand.ts";

const EXPECTED = { flags: { id: "text", quiet: "switch" }, positionals: ["DIR"] } as const;

const ACCEPTED: [args: string[], id: string | undefined, quiet: boolean][] = [
  [["data"], undefined, false],
  [["--id", "n1", "data"], "n1", false],
  [["--id=n1", "data"], "n1", false],
  [["data", "--quiet", "--id", "a=b"], "a=b", true],
  [["--id", "-5", "--", "data"], "-5", false],
];

for (const [args, id, quiet] of ACCEPTED) {
  Deno.test(`parseArguments() reads ${args.join(" ")}`, () => {
    assertEquals(parseArguments(args, EXPECTED), { flags: { id, quiet }, positionals: ["data"] });
  });
}

const REFUSED: [args: string[], message: string][] = [
  [[], "Missing argument, expected DIR"],
  [[""], "Empty argument, expected DIR"],
  [["a", "b"], `Unexpected argument "b", expected DIR`],
  [["a", "--", "--id"], `Unexpected argument "--id", expected DIR`],
  [["a", "--loud"], `Unknown flag "--loud", expected --id, --quiet`],
  [["a", "--no-quiet"], `Unknown flag "--no-quiet", expected --id, --quiet`],
  [["a", "-x"], `Unknown flag "-x", expected --id, --quiet`],
  [["a", "--toString"], `Unknown flag "--toString", expected --id, --quiet`],
  [["a", "--id"], `Flag "--id" has no value, expected one`],
  [["a", "--id="], `Flag "--id" has no value, expected one`],
  [["--id", "--quiet", "a"], `Flag "--id" has no value, expected one`],
  [["--id", "n1", "--id", "n2", "a"], `Repeated flag "--id", expected it once`],
  [["--quiet", "--quiet", "a"], `Repeated flag "--quiet", expected it once`],
  [["--quiet=yes", "a"], `Flag "--quiet" has the value "yes", expected none`],
];

for (const [args, message] of REFUSED) {
  Deno.test(`parseArguments() refuses ${args.join(" ") || "nothing"}`, () => {
    const failure = assertThrows(() => parseArguments(args, EXPECTED), Failure);
    assertEquals([failure.message, failure.exitCode], [message, ExitCode.misuse]);
  });
}

Deno.test("parseArguments() says so when no flags are wanted", () => {
  const failure = assertThrows(() => parseArguments(["--id"], { flags: {} }), Failure);
  assertEquals(failure.message, `Unknown flag "--id", expected no flags`);
});

Deno.test("parseNumber() reads integers, and fractions where they may be", () => {
  assertEquals(parseNumber("n", undefined, { min: 1 }), undefined);
  assertEquals(parseNumber("n", "0", { min: 0, max: 0 }), 0);
  assertEquals(parseNumber("n", "9007199254740991", { min: 1 }), Number.MAX_SAFE_INTEGER);
  assertEquals(parseNumber("n", "0.25", { min: 0.25, isFraction: true }), 0.25);
});

for (const text of ["", "0", "11", "-1", "+1", "1.5", "1e1", "0x1", " 1", "one", "NaN"]) {
  Deno.test(`parseNumber() refuses "${text}"`, () => {
    const failure = assertThrows(() => parseNumber("n", text, { min: 1, max: 10 }), Failure);
    const expected = `Flag "--n" has the value "${text}", expected an integer from 1 to 10`;
    assertEquals([failure.message, failure.exitCode], [expected, ExitCode.misuse]);
  });
}

Deno.test("parseNumber() says so when the number may have a fraction", () => {
  const range = { min: 0.5, max: 2, isFraction: true };
  const failure = assertThrows(() => parseNumber("n", "1.", range), Failure);
  assertEquals(failure.message, `Flag "--n" has the value "1.", expected a number from 0.5 to 2`);
});

Deno.test("isBug() tells errors of the code from those of the world", () => {
  assertEquals(isBug(new TypeError("x is undefined")), true);
  assertEquals(isBug(new Error("Cannot sync")), false);
  assertEquals(isBug(new Deno.errors.NotFound("No such file")), false);
});
