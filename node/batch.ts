/**
 * The body of a frame in a node's log: the time at which the batch was closed, then its commands.
 *
 * | offset | size | field |
 * | --- | --- | --- |
 * | 0 | 8 | milliseconds since 1970; never below the time of the batch before |
 * | 8 | … | commands, one after the other (see `lib/command_codec.ts`) |
 *
 * @module
 */
import { getUint53 } from "../lib/byte_writer.ts";
import { CommandCursor } from "../lib/command_codec.ts";
import { errorMessage } from "../lib/error_message.ts";
import { UnreadableRecordError } from "./log/damage.ts";

/** Bytes before the first command. */
export const BATCH_HEADER_BYTES = 8;

/** Time at which the batch was closed, in milliseconds since 1970. */
export function batchTime(body: Uint8Array): number {
  return getUint53(new DataView(body.buffer, body.byteOffset), 0);
}

/**
 * Visits the commands of a batch in order, all through one cursor. Returns how many there are.
 *
 * @throws {UnreadableRecordError} The next one is not a command; those before it were visited.
 */
export function forEachCommand(
  body: Uint8Array,
  firstIndex: number,
  visit: (command: CommandCursor, index: number) => void,
): number {
  const command = new CommandCursor(body);
  let index = firstIndex;
  for (let start = BATCH_HEADER_BYTES; start < body.length; start = command.end) {
    moveTo(command, start, body.length, index);
    visit(command, index++);
  }
  return index - firstIndex;
}

function moveTo(command: CommandCursor, start: number, limit: number, index: number): void {
  try {
    command.moveTo(start, limit);
  } catch (error) {
    throw new UnreadableRecordError(index, errorMessage(error));
  }
}
