/**
 * A connection from the router to a node, which is opened again whenever it breaks:
 *
 *     connecting ──accepted──▶ greeting ──welcome──▶ up
 *      ▲   │                       │                 │
 *      │   └─── failed ────────────┴───▶ waiting ◀───┘
 *      └──────── backoff ───────────────────┘
 *
 * A node that is silent when it owes an answer counts as failed. What is asked and answered while
 * the connection is up is up to its user.
 *
 * @module
 */
import type { Clock } from "../lib/clock.ts";
import { errorMessage } from "../lib/error_message.ts";
import {
  CONNECT_TIMEOUT_MS,
  RECONNECT_MS_MAX,
  RECONNECT_MS_MIN,
  REQUEST_TIMEOUT_MS,
} from "../lib/limits.ts";
import { encodeHello, FrameType } from "../lib/link_protocol.ts";
import { type Duplex, type Frame, type FrameHandler, Wire } from "../lib/wire.ts";

export interface ReconnectingConnectionOptions {
  /** The node that is greeted: any other refuses the connection. */
  readonly nodeId: string;
  /** Opens a stream to the node's link port, unless it is aborted before. */
  readonly connect: (signal: AbortSignal) => Promise<Duplex>;
  readonly clock: Clock;
  /** From 0 up to 1, for the jitter of the backoff. */
  readonly random: () => number;
}

/** Called when something happens to a connection. */
export interface ConnectionEvents {
  /** It is up, and requests may be sent on `wire`. */
  readonly onUp: (wire: Wire) => void;
  /** A reply came. Throws a `RangeError` if it is not one: the connection is opened anew. */
  readonly onReply: FrameHandler;
  /** It was up, and is not any more. */
  readonly onDown: () => void;
}

/** Connects as soon as it is made, and again whenever it is down, until {@linkcode close}. */
export class ReconnectingConnection {
  readonly #options: ReconnectingConnectionOptions;
  readonly #events: ConnectionEvents;
  readonly #clock: Clock;
  /** Null while connecting and waiting. */
  #wire: Wire | null = null;
  /** Whether the node has welcomed `#wire`. */
  #isUp = false;
  #downSinceMs: number;
  #problem = "it was not reached yet";
  #closed = false;
  /** Ends an attempt to connect, or the pause before the next one. */
  #stopWaiting = () => {};
  readonly #ended: Promise<void>;

  constructor(options: ReconnectingConnectionOptions, events: ConnectionEvents) {
    this.#options = options;
    this.#events = events;
    this.#clock = options.clock;
    this.#downSinceMs = this.#clock.monotonic();
    this.#ended = this.#run();
  }

  /** What to send on; null while it is not up. */
  get wire(): Wire | null {
    return this.#isUp ? this.#wire : null;
  }

  /** Why it is not up. Means nothing while it is. */
  get problem(): string {
    return this.#problem;
  }

  /** Whether it has been down for longer than a request may wait. */
  isDownForLong(nowMs: number): boolean {
    return !this.#isUp && nowMs - this.#downSinceMs > REQUEST_TIMEOUT_MS;
  }

  /** Ends a connection to a node that is silent; the next one follows. */
  giveUp(): void {
    this.#problem = `it said nothing for ${REQUEST_TIMEOUT_MS} ms`;
    this.#wire?.close();
  }

  /** Resolves when it is closed. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#stopWaiting();
    this.#wire?.close();
    await this.#ended;
  }

  /** Connects, again and again, until it is closed. */
  async #run(): Promise<void> {
    let attempt = 0;
    while (!this.#closed) {
      if (await this.#connectOnce()) attempt = 0;
      if (this.#closed) break;
      const delay = Math.min(RECONNECT_MS_MAX, RECONNECT_MS_MIN * 2 ** attempt++);
      await this.#pause(delay * (0.5 + this.#options.random() / 2));
    }
  }

  /** One connection, from its opening to its end. True if it was up. */
  async #connectOnce(): Promise<boolean> {
    const wire = await this.#open();
    if (wire === null) return false;
    const cancel = this.#clock.after(REQUEST_TIMEOUT_MS, () => {
      if (!this.#isUp) this.giveUp();
    });
    try {
      this.#greet(wire);
      await wire.read((frame) => this.#receive(frame, wire));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#problem = error.message;
    } finally {
      cancel();
      wire.close();
      this.#wire = null;
    }
    return this.#goDown();
  }

  async #open(): Promise<Wire | null> {
    const attempt = new AbortController();
    this.#stopWaiting = () => attempt.abort();
    // A machine that is gone refuses nothing: the system would wait for it for minutes, and longer
    // after each packet that is lost, even when it is back.
    const late = new Error(`it accepted no connection within ${CONNECT_TIMEOUT_MS} ms`);
    const cancel = this.#clock.after(CONNECT_TIMEOUT_MS, () => attempt.abort(late));
    try {
      const duplex = await this.#options.connect(attempt.signal);
      if (!this.#closed) {
        return this.#wire = new Wire(duplex, this.#clock, { backlogBytesMax: Infinity });
      }
      duplex.close(); // it was there already when the attempt was given up
      return null;
    } catch (error) {
      this.#problem = errorMessage(error);
      return null;
    } finally {
      cancel();
    }
  }

  #greet(wire: Wire): void {
    this.#problem = "it has not welcomed the connection";
    encodeHello(wire.beginFrame(FrameType.hello, 0), this.#options.nodeId);
    wire.endFrame();
  }

  /** @throws {RangeError} It is not what a node sends, or says why the node ends the connection. */
  #receive(frame: Frame, wire: Wire): void {
    if (frame.type === FrameType.refused && frame.id === 0) throw new RangeError(frame.text());
    if (this.#isUp) return this.#events.onReply(frame);
    if (frame.type !== FrameType.welcome) {
      throw new RangeError(`First reply has type ${frame.type}, expected ${FrameType.welcome}`);
    }
    this.#isUp = true;
    this.#problem = "the connection ended"; // unless another reason is found when it does
    this.#events.onUp(wire);
  }

  /** Whether it was up. */
  #goDown(): boolean {
    if (!this.#isUp) return false;
    this.#isUp = false;
    this.#downSinceMs = this.#clock.monotonic();
    this.#events.onDown();
    return true;
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.after(ms, resolve);
      this.#stopWaiting = () => {
        cancel();
        resolve();
      };
    });
  }
}
