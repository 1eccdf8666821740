import { assertEquals } from "@std/assert";
import { formatReadyLine, parseReadyLine } from "../../../tasks/supervise/ready_line.ts";

Deno.test("formatReadyLine() writes the facts in their order", () => {
  assertEquals(
    formatReadyLine({ id: "n1", http: "[::1]:8090", keys: 0 }),
    "listening id=n1 http=[::1]:8090 keys=0",
  );
});

Deno.test("formatReadyLine() quotes what would be ambiguous", () => {
  assertEquals(formatReadyLine({ data: `my "data"` }), String.raw`listening data="my \"data\""`);
});

Deno.test("parseReadyLine() reads back any text", () => {
  for (const data of ["data/n1", "", "a b", 'a"b', "a=b", "a\\b", "a\nb", "ünï"]) {
    assertEquals(parseReadyLine(formatReadyLine({ data, keys: 7 })), { data, keys: "7" });
  }
});

Deno.test("parseReadyLine() passes over other lines", () => {
  assertEquals(parseReadyLine("not listening id=n1"), undefined);
  assertEquals(parseReadyLine(String.raw`listening x="\q"`), undefined);
});
