import { assertEquals } from "@std/assert";
import { firstLineOf } from "../../../tasks/bench/command.ts";
import { useBatchPolicy } from "../../../tasks/supervise/batch_policy.ts";
import { spawnProcess } from "../../../tasks/supervise/program.ts";

const IGNORED = { ignore: await firstLineOf("chrt", "--version") === undefined };

/** What a process says that prints its scheduling policy once that is no longer the usual one. */
async function policyOfProgram(isBatch: boolean): Promise<string[]> {
  // The 41st field, see proc(5): 0 is the usual policy, 3 that for batches. The second field may
  // have spaces in it, and ends with the last parenthesis.
  const script = `const deadline = Date.now() + ${isBatch ? 10_000 : 0};
    let policy;
    do {
      const stat = Deno.readTextFileSync("/proc/self/stat");
      policy = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[38];
    } while (policy === "0" && Date.now() < deadline);
    console.log(policy);`;
  const lines: string[] = [];
  const program = { name: "script", args: ["eval", "--quiet", script], isBatch };
  await spawnProcess(program, (line) => lines.push(line)).exit;
  return lines;
}

Deno.test(
  "spawnProcess() puts a program that is for it under the batch policy",
  IGNORED,
  async () => {
    assertEquals(await policyOfProgram(true), ["3"]);
  },
);

Deno.test("spawnProcess() leaves the policy of other programs alone", IGNORED, async () => {
  assertEquals(await policyOfProgram(false), ["0"]);
});

Deno.test("useBatchPolicy() does without a chrt that it may not run", {
  permissions: { run: false },
}, async () => {
  await useBatchPolicy(Deno.pid);
});
