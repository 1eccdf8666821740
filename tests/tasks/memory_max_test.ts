import { assertEquals, assertThrows } from "@std/assert";
import { parseMemoryMax } from "../../tasks/memory_max.ts";
import { ExitCode, Failure } from "../../tasks/subcommand.ts";

Deno.test("parseMemoryMax() reads bytes, MiB and GiB", () => {
  assertEquals(parseMemoryMax(undefined), undefined);
  assertEquals(parseMemoryMax("402653184"), 402_653_184);
  assertEquals(parseMemoryMax("384MiB"), 402_653_184);
  assertEquals(parseMemoryMax("32GiB"), 34_359_738_368);
});

for (const text of ["", "1", "383MiB", "33GiB", "4GB", "4 GiB", "-4GiB", "1e9", "4.5GiB", "lots"]) {
  Deno.test(`parseMemoryMax() refuses "${text}"`, () => {
    const failure = assertThrows(() => parseMemoryMax(text), Failure);
    assertEquals(
      failure.message,
      `Flag "--memory-max" has the value "${text}", ` +
        "expected a whole number with MiB or GiB, 384MiB to 32GiB",
    );
    assertEquals(failure.exitCode, ExitCode.misuse);
  });
}
