import { assertEquals } from "@std/assert";
import { CallList } from "../../../tasks/history/call_list.ts";

/** The list in words: `(0` for a call, `0)` for a return. */
function tell(list: CallList): string {
  const words: string[] = [];
  for (let entry = list.next(0); entry !== 0; entry = list.next(entry)) {
    words.push(list.isCall(entry) ? `(${list.indexAt(entry)}` : `${list.indexAt(entry)})`);
  }
  return words.join(" ");
}

const CALLS = [
  { invokedAt: 1, completedAt: 3 },
  { invokedAt: 2, completedAt: Infinity },
  { invokedAt: 3, completedAt: 5 },
  { invokedAt: 4, completedAt: 4 },
];

Deno.test("CallList has calls and returns in the order of time, calls first", () => {
  assertEquals(tell(new CallList(CALLS)), "(0 (1 (2 0) (3 3) 2)");
});

Deno.test("CallList.lift() takes out the call and the return", () => {
  const list = new CallList(CALLS);
  list.lift(0);
  list.lift(1);
  assertEquals(tell(list), "(2 (3 3) 2)");
});

Deno.test("CallList.putBack() makes the list what it was", () => {
  const list = new CallList(CALLS);
  for (const index of [3, 0, 1, 2]) list.lift(index);
  assertEquals(tell(list), "");
  for (const index of [2, 1, 0, 3]) list.putBack(index);
  assertEquals(tell(list), "(0 (1 (2 0) (3 3) 2)");
});

Deno.test("CallList is done when all that has returned was lifted", () => {
  const list = new CallList(CALLS);
  for (const index of [0, 2]) list.lift(index);
  assertEquals(list.isDone, false);
  list.lift(3);
  assertEquals(list.isDone, true);
});
