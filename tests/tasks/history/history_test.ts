import { assertEquals } from "@std/assert";
import { History } from "../../../tasks/history/history.ts";

const PUT = { client: "c1", kind: "put", seq: 1, key: "k", value: "v" } as const;
const WRITTEN = { kind: "written", prevValue: "", logIndex: 1, duplicate: false } as const;

function startHistory() {
  let now = 0;
  return new History(() => ++now);
}

Deno.test("History knows nothing of an answer before it is there", () => {
  const history = startHistory();
  history.begin(PUT);
  assertEquals(history.operations, [
    { ...PUT, invokedAt: 1, completedAt: Infinity, answer: { kind: "unknown" } },
  ]);
});

Deno.test("History keeps when an answer came", () => {
  const history = startHistory();
  history.end(history.begin(PUT), WRITTEN);
  assertEquals(history.operations, [{ ...PUT, invokedAt: 1, completedAt: 2, answer: WRITTEN }]);
});

Deno.test("History has no end for an operation whose answer does not tell", () => {
  const history = startHistory();
  history.end(history.begin(PUT), { kind: "unknown" });
  assertEquals(history.operations[0].completedAt, Infinity);
});
