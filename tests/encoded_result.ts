import type { EncodedResult, Result } from "../lib/key_value.ts";

/** A result as a node hands it to those who answer with it. */
export function encoded(result: Result): EncodedResult {
  const { outcome, logIndex, prevValue } = result;
  const bytes = new TextEncoder().encode(prevValue ?? "");
  return {
    outcome,
    logIndex,
    prevLength: prevValue === null ? -1 : bytes.length,
    appendPrevValue: (writer) => writer.bytes(bytes),
    decode: () => result,
  };
}
