/**
 * A growing buffer to which numbers and texts are appended, without an object for each. What leaves
 * this process is written here first: frames of a link, batches of the log.
 *
 * @module
 */

const encoder = new TextEncoder();
/** Up to this length a loop over the characters is quicker than a call of the encoder. */
const SHORT_TEXT = 24;

/** Bytes in the order in which they were written. All numbers are little-endian. */
export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = 0;

  /** @param capacity Size of the buffer at first, in bytes; it grows by doubling. */
  constructor(capacity = 4096) {
    this.#bytes = new Uint8Array(capacity);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Bytes written since the start or the last {@linkcode clear}. */
  get length(): number {
    return this.#length;
  }

  /** What was written: a view, valid until the next write. */
  written(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  /** The whole buffer, of which the first {@linkcode length} bytes are written. */
  get buffer(): Uint8Array<ArrayBuffer> {
    return this.#bytes;
  }

  /** Forgets what was written. A buffer of more than `keepBytes` is let go. */
  clear(keepBytes = Infinity): void {
    this.#length = 0;
    if (this.#bytes.length > keepBytes) {
      this.#bytes = new Uint8Array(4096);
      this.#view = new DataView(this.#bytes.buffer);
    }
  }

  /** Takes back all that was written at `length` and after. */
  truncate(length: number): void {
    this.#length = length;
  }

  uint8(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  uint32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  /** An integer from 0 to 2^53−1, in eight bytes. */
  uint53(value: number): void {
    this.#reserve(8);
    setUint53(this.#view, this.#length, value);
    this.#length += 8;
  }

  /** Writes over the four bytes at `offset`. */
  uint32At(offset: number, value: number): void {
    this.#view.setUint32(offset, value, true);
  }

  /** Writes over the eight bytes at `offset`. */
  uint53At(offset: number, value: number): void {
    setUint53(this.#view, offset, value);
  }

  /** Copies `bytes` from `start` to `end`. */
  bytes(bytes: Uint8Array, start = 0, end: number = bytes.length): void {
    const count = end - start;
    this.#reserve(count);
    this.#bytes.set(
      start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end),
      this.#length,
    );
    this.#length += count;
  }

  /** Writes `text` as UTF-8. Returns how many bytes it took. */
  text(text: string): number {
    // One UTF-16 unit takes at most three bytes of UTF-8.
    this.#reserve(text.length * 3);
    const start = this.#length;
    if (text.length <= SHORT_TEXT && this.#ascii(text)) return text.length;
    const { written } = encoder.encodeInto(text, this.#bytes.subarray(start));
    this.#length = start + written;
    return written;
  }

  /** Writes `text` if it is ASCII; else writes nothing and returns false. */
  #ascii(text: string): boolean {
    const bytes = this.#bytes;
    const start = this.#length;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit > 0x7f) return false;
      bytes[start + i] = unit;
    }
    this.#length = start + text.length;
    return true;
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#bytes.length) return;
    let capacity = this.#bytes.length * 2;
    while (capacity < needed) capacity *= 2;
    const grown = new Uint8Array(capacity);
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** Writes an integer from 0 to 2^53−1 as eight bytes, little-endian. */
export function setUint53(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value >>> 0, true);
  view.setUint32(offset + 4, Math.floor(value / 0x1_0000_0000), true);
}

/** Reads eight bytes, little-endian. What is above 2^53−1 comes back imprecise, never below it. */
export function getUint53(view: DataView, offset: number): number {
  return view.getUint32(offset + 4, true) * 0x1_0000_0000 + view.getUint32(offset, true);
}
