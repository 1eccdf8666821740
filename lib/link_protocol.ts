/**
 * What the frames between a router and a node mean. The router speaks first, with `hello`; nothing
 * else is sent before the node's `welcome`. Replies come in any order.
 *
 * | type | request | payload |
 * | --- | --- | --- |
 * | 1 | hello | "sixpaths", version (1 byte), id of the node it wants (text) |
 * | 2 | get | key |
 * | 3 | write | command, see `command_codec.ts` |
 * | 4 | health | |
 * | 5 | metrics | |
 *
 * | type | reply | payload |
 * | --- | --- | --- |
 * | 129 | welcome | |
 * | 130 | value | the value |
 * | 131 | missing | |
 * | 132 | result | outcome (1 byte), log index (8), 1 or 0 (1); if 1, `prevValue` |
 * | 133 | json | health or metrics as JSON |
 * | 134 | refused | why, as text; the request may be sent again later |
 * | 135 | full | why, as text; the write was not applied: there is no room for it |
 *
 * Texts are UTF-8 up to the end of the frame.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { type ByteWriter, getUint53 } from "./byte_writer.ts";
import type { Outcome, Result } from "./key_value.ts";

export const LINK_VERSION = 2;
const MAGIC = "sixpaths";
/** Bytes of a result before its `prevValue`. */
const RESULT_HEADER_BYTES = 10;

/** Frame types, see the module's own comment. */
export const FrameType = {
  hello: 1,
  get: 2,
  write: 3,
  health: 4,
  metrics: 5,
  welcome: 129,
  value: 130,
  missing: 131,
  result: 132,
  json: 133,
  refused: 134,
  full: 135,
} as const;

/** Appends the payload of a `hello` to the node `nodeId`. */
export function encodeHello(writer: ByteWriter, nodeId: string): void {
  writer.text(MAGIC);
  writer.uint8(LINK_VERSION);
  writer.text(nodeId);
}

/** Why the node `nodeId` does not welcome this `hello`; null if it does. */
export function helloRefusal(
  bytes: Uint8Array<ArrayBuffer>,
  start: number,
  end: number,
  nodeId: string,
): string | null {
  const versionAt = start + MAGIC.length;
  if (end <= versionAt || decodeText(bytes, start, versionAt) !== MAGIC) {
    return "this is a link port of sixpaths, which speaks no other protocol";
  }
  if (bytes[versionAt] !== LINK_VERSION) {
    return `link version is ${bytes[versionAt]}, expected ${LINK_VERSION}`;
  }
  const wanted = decodeText(bytes, versionAt + 1, end);
  return wanted === nodeId ? null : `this is node "${nodeId}", not "${wanted}"`;
}

/** Appends the payload of a `result`. */
export function encodeResult(writer: ByteWriter, result: Result): void {
  writer.uint8(result.outcome);
  writer.uint53(result.logIndex);
  writer.uint8(result.prevValue === null ? 0 : 1);
  if (result.prevValue !== null) writer.text(result.prevValue);
}

/**
 * Reads the payload of a `result`.
 *
 * @throws {RangeError} It is too short for one.
 */
export function decodeResult(bytes: Uint8Array<ArrayBuffer>, start: number, end: number): Result {
  const prevValueStart = start + RESULT_HEADER_BYTES;
  if (end < prevValueStart) {
    throw new RangeError(
      `Result has ${end - start} bytes, expected at least ${RESULT_HEADER_BYTES}`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return {
    outcome: bytes[start] as Outcome,
    logIndex: getUint53(view, start + 1),
    prevValue: bytes[start + 9] === 0 ? null : decodeText(bytes, prevValueStart, end),
  };
}

/** Reads UTF-8 text. */
export function decodeText(bytes: Uint8Array<ArrayBuffer>, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8", start, end);
}
