/**
 * A network in memory. Bytes arrive late and in pieces of any size, in order within a connection
 * and in none between two; connections break, and each end learns of it in its own time.
 *
 * @module
 */
import type { Duplex } from "../../lib/wire.ts";
import type { Random } from "../random.ts";
import { Channel } from "./pipe.ts";
import type { SimulatedTime } from "./simulated_time.ts";
import type { Trace } from "./trace.ts";

export interface NetworkOptions {
  readonly time: SimulatedTime;
  readonly random: Random;
  readonly trace: Trace;
  /** How long bytes travel at most, in milliseconds. */
  readonly delayMsMax: number;
}

/** Who opened the connection, and who accepted it. */
export type Side = "near" | "far";

/** How a connection breaks. */
export interface Break {
  /** What is on its way: gone, or there after all, this much later. */
  readonly onItsWay: "lost" | { readonly lateMs: number };
  /** After how many milliseconds each end learns of it; never by itself if it is infinite. */
  readonly noticeMs: Readonly<Record<Side, number>>;
}

/** Addresses, and the connections to them. */
export class SimulatedNetwork {
  readonly #options: NetworkOptions;
  readonly #listeners = new Map<string, (duplex: Duplex) => void>();
  /** Until when nobody gets through to an address. */
  readonly #blockedUntilMs = new Map<string, number>();
  readonly #connections = new Set<Connection>();

  constructor(options: NetworkOptions) {
    this.#options = options;
  }

  /** Accepts connections to `address` until {@linkcode unlisten}. */
  listen(address: string, accept: (duplex: Duplex) => void): void {
    this.#listeners.set(address, accept);
  }

  unlisten(address: string): void {
    this.#listeners.delete(address);
  }

  /** Nobody gets through to `address` for so long: who connects waits. */
  block(address: string, ms: number): void {
    this.#blockedUntilMs.set(address, this.#options.time.nowMs + ms);
  }

  /** From now on everybody gets through. */
  unblock(): void {
    this.#blockedUntilMs.clear();
    for (const connection of this.#connections) connection.release();
  }

  /** Opens a connection for `owner`. @throws {Deno.errors.ConnectionRefused} Nobody listens. */
  async connect(owner: string, address: string, signal: AbortSignal): Promise<Duplex> {
    const { time, random, delayMsMax } = this.#options;
    const waitMs = Math.max(0, (this.#blockedUntilMs.get(address) ?? 0) - time.nowMs);
    await new Promise<void>((resolve, reject) => {
      time.schedule(waitMs + random.fraction() * delayMsMax, resolve);
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    const accept = this.#listeners.get(address);
    if (accept === undefined) throw new Deno.errors.ConnectionRefused("Nobody listens");
    const connection = new Connection(owner, address, this.#options);
    this.#connections.add(connection);
    accept(connection.far);
    return connection.near;
  }

  /** The connections to `address` that are not known as broken at both ends. */
  to(address: string): Connection[] {
    return this.#open((connection) => connection.address === address);
  }

  /** The connections that `owner` has opened. */
  of(owner: string): Connection[] {
    return this.#open((connection) => connection.owner === owner);
  }

  #open(which: (connection: Connection) => boolean): Connection[] {
    for (const connection of this.#connections) {
      if (connection.ended) this.#connections.delete(connection);
    }
    return [...this.#connections].filter(which);
  }
}

/** One connection; both of its ends. */
export class Connection {
  readonly near: Duplex;
  readonly far: Duplex;
  readonly #ends: Record<Side, End>;
  readonly #time: SimulatedTime;

  constructor(readonly owner: string, readonly address: string, options: NetworkOptions) {
    this.#time = options.time;
    const ways = {
      near: new Way(`${address} to ${owner}`, options),
      far: new Way(`${owner} to ${address}`, options),
    };
    this.#ends = { near: new End(ways.near, ways.far), far: new End(ways.far, ways.near) };
    this.near = this.#ends.near;
    this.far = this.#ends.far;
  }

  /** Whether neither end uses it any more. */
  get ended(): boolean {
    return this.#ends.near.closed && this.#ends.far.closed;
  }

  /** Holds up all that is on its way, and what is sent in the meantime. */
  stall(ms: number): void {
    for (const end of this.#each()) end.incoming.hold(ms);
  }

  /** Nothing is held up any more. */
  release(): void {
    for (const end of this.#each()) end.incoming.hold(0);
  }

  break({ onItsWay, noticeMs }: Break): void {
    for (const side of ["near", "far"] as const) {
      const end = this.#ends[side];
      if (onItsWay === "lost") end.incoming.lose();
      else end.incoming.hold(onItsWay.lateMs);
      if (Number.isFinite(noticeMs[side])) this.#time.schedule(noticeMs[side], () => end.close());
    }
  }

  #each(): End[] {
    return [this.#ends.near, this.#ends.far];
  }
}

/** What one end of a connection sees. */
class End implements Duplex {
  readonly incoming: Way;
  readonly #outgoing: Way;
  closed = false;

  constructor(incoming: Way, outgoing: Way) {
    this.incoming = incoming;
    this.#outgoing = outgoing;
  }

  read(bytes: Uint8Array): Promise<number | null> {
    return this.incoming.arrived.take(bytes);
  }

  // deno-lint-ignore require-await
  async write(bytes: Uint8Array): Promise<number> {
    if (this.closed) throw new Deno.errors.BrokenPipe("Connection is closed");
    return this.#outgoing.send(bytes);
  }

  /** What was sent still arrives. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.incoming.arrived.close();
    this.#outgoing.end();
  }
}

/** One direction of a connection. */
class Way {
  /** What the receiver may take. */
  readonly arrived = new Channel();
  readonly #name: string;
  readonly #options: NetworkOptions;
  /** What is on its way, in order; null is the end. */
  readonly #sent: (Uint8Array | null)[] = [];
  #lastArrivalMs = 0;
  #heldUntilMs = 0;
  #lost = false;

  constructor(name: string, options: NetworkOptions) {
    this.#name = name;
    this.#options = options;
  }

  /** Takes all of `bytes`, or some. */
  send(bytes: Uint8Array): number {
    const { random } = this.#options;
    const count = random.chance(0.1) ? random.integer(1, bytes.length) : bytes.length;
    for (let start = 0; start < count;) {
      const end = random.chance(0.9) ? count : random.integer(start + 1, count);
      this.#sendPiece(bytes.slice(start, end));
      start = end;
    }
    return count;
  }

  end(): void {
    this.#sendPiece(null);
  }

  hold(ms: number): void {
    this.#heldUntilMs = this.#options.time.nowMs + ms;
  }

  /** Neither what is on its way arrives, nor what is sent from now on. */
  lose(): void {
    this.#lost = true;
    this.#sent.length = 0;
  }

  #sendPiece(piece: Uint8Array | null): void {
    if (this.#lost) return;
    const { time, random, delayMsMax } = this.#options;
    const arrivalMs = time.nowMs + random.fraction() * delayMsMax;
    this.#lastArrivalMs = Math.max(this.#lastArrivalMs, arrivalMs);
    this.#sent.push(piece);
    time.schedule(this.#lastArrivalMs - time.nowMs, () => this.#arrive());
  }

  #arrive(): void {
    const { time, trace } = this.#options;
    const heldMs = this.#heldUntilMs - time.nowMs;
    if (heldMs > 0) {
      time.schedule(heldMs, () => this.#arrive());
      return;
    }
    const piece = this.#sent.shift();
    if (piece === undefined || this.arrived.closed) return; // it was lost, or nobody takes it
    trace.note(`net   ${this.#name}: ${piece === null ? "end" : `${piece.length} bytes`}`);
    if (piece === null) this.arrived.close();
    else this.arrived.push(piece);
  }
}
