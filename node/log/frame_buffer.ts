/**
 * Frames of log segments and of snapshots are laid out and written by the same code.
 *
 * @module
 */
import { type DiskFile, writeBytes } from "../disk/disk.ts";
import { encodeFrame, frameBytes, type FrameFields } from "./log_format.ts";

/** Where frames are laid out, one after the other, to be written. Grows to the largest one. */
export class FrameBuffer {
  #bytes = new Uint8Array(64 * 1024);

  /** Writes a frame at `offset` of a file. Returns its body checksum. */
  write(file: DiskFile, offset: number, body: Uint8Array, frame: FrameFields): number {
    const length = frameBytes(body.length);
    if (this.#bytes.length < length) this.#bytes = new Uint8Array(length * 2);
    const checksum = encodeFrame(this.#bytes, body, frame);
    writeBytes(file, this.#bytes.subarray(0, length), offset);
    return checksum;
  }
}
