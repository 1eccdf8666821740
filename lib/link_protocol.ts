/**
 * What the frames between a router and a node mean. The router sends `hello` first, and nothing
 * else until the node has replied with `welcome`. Replies come in any order.
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
 * Numbers are little-endian. Texts are UTF-8; the last one of a frame ends where the frame does. A
 * `refused` with the id 0 is about the link as a whole, which then ends.
 *
 * @module
 */
import { type ByteWriter, getUint53 } from "./byte_writer.ts";
import type { EncodedResult, Outcome, Result } from "./key_value.ts";
import type { Frame } from "./wire.ts";

export const LINK_VERSION = 2;
const MAGIC = "sixpaths";
/** Offsets in the payload of a `result`. */
const LOG_INDEX_OFFSET = 1;
const HAS_PREV_VALUE_OFFSET = 9;
const PREV_VALUE_OFFSET = 10;

/** The types of frames; the tables above say what each one carries. */
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
export function helloRefusal(hello: Frame, nodeId: string): string | null {
  const versionAt = hello.start + MAGIC.length;
  if (hello.end <= versionAt || hello.text(hello.start, versionAt) !== MAGIC) {
    return "this is a link port of sixpaths, which speaks no other protocol";
  }
  const version = hello.bytes[versionAt];
  if (version !== LINK_VERSION) return `link version is ${version}, expected ${LINK_VERSION}`;
  const wanted = hello.text(versionAt + 1);
  return wanted === nodeId ? null : `this is node "${nodeId}", not "${wanted}"`;
}

/** The answer to a `get`: a value, or null if there is none; undefined if `reply` is no answer. */
export function decodeValue(reply: Frame): string | null | undefined {
  if (reply.type === FrameType.value) return reply.text();
  return reply.type === FrameType.missing ? null : undefined;
}

/** Appends the payload of a `result`. */
export function encodeResult(writer: ByteWriter, result: EncodedResult): void {
  writer.uint8(result.outcome);
  writer.uint53(result.logIndex);
  writer.uint8(result.prevLength < 0 ? 0 : 1);
  if (result.prevLength > 0) result.appendPrevValue(writer);
}

/**
 * The answer to a `write`; undefined if `reply` is none.
 *
 * @throws {RangeError} It is too short for a `result`.
 */
export function decodeResult(reply: Frame): Result | undefined {
  if (reply.type !== FrameType.result) return undefined;
  const { bytes, view, start, end } = reply;
  const prevValueStart = start + PREV_VALUE_OFFSET;
  if (end < prevValueStart) {
    throw new RangeError(
      `Result has ${end - start} bytes, expected at least ${PREV_VALUE_OFFSET}`,
    );
  }
  return {
    outcome: bytes[start] as Outcome,
    logIndex: getUint53(view, start + LOG_INDEX_OFFSET),
    prevValue: bytes[start + HAS_PREV_VALUE_OFFSET] === 0 ? null : reply.text(prevValueStart),
  };
}

/**
 * The answer to `health` or `metrics`, a JSON value; undefined if `reply` is none.
 *
 * @throws {RangeError} It is not JSON, so the peer is not a node of ours.
 */
export function decodeJson(reply: Frame): unknown {
  if (reply.type !== FrameType.json) return undefined;
  try {
    return JSON.parse(reply.text());
  } catch (cause) {
    throw new RangeError("Reply is not JSON", { cause });
  }
}
