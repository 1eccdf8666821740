/**
 * The binary form of a command: the same bytes ride the link and stand in the log.
 *
 * | offset | size | field |
 * | --- | --- | --- |
 * | 0 | 1 | kind: 1 put, 2 delete |
 * | 1 | 1 | flags, 0; reserved |
 * | 2 | 1 | client length c, in bytes, from 1 |
 * | 3 | 1 | 0; reserved |
 * | 4 | 4 | key length k, in bytes, from 1 |
 * | 8 | 4 | value length v, in bytes; 0 in a delete |
 * | 12 | 8 | seq |
 * | 20 | c + k + v | client, key, value in UTF-8 |
 *
 * Numbers are little-endian. A command says its own length, so commands stand in a batch one after
 * the other. `{put, client "c", seq 1, key "k", value "v"}` is
 *
 *     01 00 01 00  01 00 00 00  01 00 00 00  01 00 00 00 00 00 00 00  63 6b 76
 *
 * @module
 */
import { isUtf8 } from "node:buffer";
import { type ByteWriter, getUint53 } from "./byte_writer.ts";
import { type Command, CommandKind } from "./key_value.ts";
import { CLIENT_BYTES_MAX, COMMAND_BYTES_MAX, KEY_BYTES_MAX, SEQ_MAX } from "./limits.ts";

/** Bytes before the client. */
export const COMMAND_HEADER_BYTES = 20;

/**
 * Appends `command` to `writer`. Trusts that the sizes were checked: of others it makes what
 * {@linkcode CommandCursor.moveTo} refuses, or another length than it says.
 */
export function encodeCommand(writer: ByteWriter, command: Command): void {
  const start = writer.length;
  writer.uint32(command.kind);
  writer.uint32(0);
  writer.uint32(0);
  writer.uint53(command.seq);
  const clientLength = writer.text(command.client);
  writer.uint32At(start, command.kind | clientLength << 16);
  writer.uint32At(start + 4, writer.text(command.key));
  writer.uint32At(start + 8, writer.text(command.value));
}

/** Whether a byte of UTF-8 goes on with a character that began before it. */
function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}

/** Where the parts of an encoded command are. One object is moved over a whole batch. */
export class CommandCursor {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  /** Offset of the command in `bytes`, and of the first byte after it. */
  start = 0;
  end = 0;
  kind: number = 0;
  seq = 0;
  /** The client is from here to `keyStart`, the key to `valueStart`, the value to `end`. */
  clientStart = 0;
  keyStart = 0;
  valueStart = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /**
   * Reads the command at `start`, which has to end at or before `limit`.
   *
   * @throws {RangeError} It is not a command, or not a whole one; says what is wrong.
   */
  moveTo(start: number, limit: number): void {
    const view = this.#view;
    if (limit - start < COMMAND_HEADER_BYTES) {
      throw new RangeError(
        `Command has ${limit - start} bytes, expected at least ${COMMAND_HEADER_BYTES}`,
      );
    }
    const head = view.getUint32(start, true);
    const keyLength = view.getUint32(start + 4, true);
    const valueLength = view.getUint32(start + 8, true);
    this.start = start;
    this.kind = head & 0xff;
    this.seq = getUint53(view, start + 12);
    this.clientStart = start + COMMAND_HEADER_BYTES;
    this.keyStart = this.clientStart + (head >>> 16);
    this.valueStart = this.keyStart + keyLength;
    this.end = this.valueStart + valueLength;
    if (
      (this.kind !== CommandKind.put && this.kind !== CommandKind.delete) ||
      (head & 0xff00) !== 0 || head >>> 16 === 0 || head >>> 16 > CLIENT_BYTES_MAX ||
      keyLength === 0 || keyLength > KEY_BYTES_MAX ||
      (this.kind === CommandKind.delete && valueLength !== 0) ||
      this.seq < 1 || this.seq > SEQ_MAX ||
      this.end > limit || this.end - start > COMMAND_BYTES_MAX
    ) throw this.#malformed(limit);
  }

  /**
   * @throws {RangeError} Client, key or value is not UTF-8: as text it would be another, and up to
   * three times as long.
   */
  requireUtf8(): void {
    const { bytes, clientStart, keyStart, valueStart, end } = this;
    // One look at all three is enough if none of them begins in the middle of a character.
    if (
      !isUtf8(bytes.subarray(clientStart, end)) || isContinuation(bytes[keyStart]) ||
      (valueStart < end && isContinuation(bytes[valueStart]))
    ) throw new RangeError("Command is malformed: client, key or value is not UTF-8");
  }

  #malformed(limit: number): RangeError {
    return new RangeError(
      `Command is malformed: kind ${this.kind}, client ${
        this.keyStart - this.clientStart
      } bytes, ` +
        `key ${this.valueStart - this.keyStart} bytes, value ${
          this.end - this.valueStart
        } bytes, ` +
        `seq ${this.seq}, ${this.end - this.start} bytes of ${limit - this.start} and of at most ` +
        `${COMMAND_BYTES_MAX}`,
    );
  }
}
