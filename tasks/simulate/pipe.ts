/**
 * A connection in memory: two ends, each a {@linkcode Duplex}.
 *
 * @module
 */
import type { Duplex } from "../../lib/wire.ts";

/** Bytes that have arrived at one end, until they are taken. */
export class Channel {
  #pieces: Uint8Array[] = [];
  #closed = false;
  #wake: () => void = () => {};

  get closed(): boolean {
    return this.#closed;
  }

  push(bytes: Uint8Array): void {
    if (this.#closed) throw new Deno.errors.BrokenPipe("Pipe is closed");
    this.#pieces.push(bytes.slice());
    this.#wake();
  }

  async take(bytes: Uint8Array): Promise<number | null> {
    while (this.#pieces.length === 0) {
      if (this.#closed) return null;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
    const piece = this.#pieces[0];
    const taken = piece.subarray(0, bytes.length);
    bytes.set(taken);
    if (taken.length === piece.length) this.#pieces.shift();
    else this.#pieces[0] = piece.subarray(taken.length);
    return taken.length;
  }

  close(): void {
    this.#closed = true;
    this.#wake();
  }
}

export interface PipeOptions {
  /** Most bytes that one write takes, and so one read gets. */
  readonly pieceBytes?: number;
}

/** Both ends of a new connection. Closing one closes the other. */
export function pipe({ pieceBytes = Infinity }: PipeOptions = {}): [Duplex, Duplex] {
  const there = new Channel();
  const back = new Channel();
  const end = (incoming: Channel, outgoing: Channel): Duplex => ({
    read: (bytes) => incoming.take(bytes),
    // deno-lint-ignore require-await
    async write(bytes) {
      const taken = bytes.subarray(0, pieceBytes);
      outgoing.push(taken);
      return taken.length;
    },
    close() {
      incoming.close();
      outgoing.close();
    },
  });
  return [end(back, there), end(there, back)];
}
