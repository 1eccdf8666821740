/**
 * A connection from the router to a node, which is opened again whenever it breaks:
 *
 *     connecting ──accepted──▶ greeting ──welcome──▶ up
 *      ▲   │                       │                 │
 *      │   └─── failed ────────────┴───▶ waiting ◀───┘
 *      └──────── backoff ───────────────────┘
 *
 * A node that is silent when it should speak has failed. What is asked and answered while the
 * connection is up is the business of who uses it.
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
  /** Whom to greet: another node does not welcome it. */
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

/** See the module's own comment. Begins at once, and lasts until {@linkcode close}. */
export class ReconnectingConnection {
  readonly #options: ReconnectingConnectionOptions;
  readonly #events: ConnectionEvents;
  readonly #clock: Clock;
  /** Null while none is open; up once the node has welcomed it. */
  #wire: Wire | null = null;
  #isUp = false;
  #downSinceMs: number;
  #problem = "it was not reached yet";
  #closed = false;
  /** Ends what is waited for between two connections. */
  #stopWaiting = () => {};
  /** Ends a connection to a node that says nothing. */
  #giveUp = () => {};
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

  /** Why it was not up when it was last tried, or is not any more. */
  get problem(): string {
    return this.#problem;
  }

  /** Whether it has been down for longer than a request may wait. */
  isDownForLong(nowMs: number): boolean {
    return !this.#isUp && nowMs - this.#downSinceMs > REQUEST_TIMEOUT_MS;
  }

  /** Opens another one if the node has said nothing for as long as a request may wait. */
  replaceIfSilent(nowMs: number): void {
    const { wire } = this;
    if (wire !== null && nowMs - wire.receivedAtMs >= REQUEST_TIMEOUT_MS) this.#giveUp();
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
    let problem = "the connection ended";
    this.#giveUp = () => {
      problem = `it said nothing for ${REQUEST_TIMEOUT_MS} ms`;
      wire.close();
    };
    const cancel = this.#clock.after(REQUEST_TIMEOUT_MS, this.#giveUp);
    encodeHello(wire.beginFrame(FrameType.hello, 0), this.#options.nodeId);
    wire.endFrame();
    try {
      await wire.read((frame) => {
        if (frame.type === FrameType.refused && frame.id === 0) {
          throw new RangeError(frame.text()); // the node ends the connection
        }
        if (this.#isUp) return this.#events.onReply(frame);
        cancel();
        this.#welcome(frame, wire);
      });
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      problem = error.message;
    } finally {
      cancel();
      wire.close();
      this.#wire = null;
    }
    this.#problem = problem;
    if (!this.#isUp) return false;
    this.#isUp = false;
    this.#downSinceMs = this.#clock.monotonic();
    this.#events.onDown();
    return true;
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

  /** @throws {RangeError} The first reply is not a welcome. */
  #welcome({ type }: Frame, wire: Wire): void {
    if (type !== FrameType.welcome) {
      throw new RangeError(`First reply has type ${type}, expected ${FrameType.welcome}`);
    }
    this.#isUp = true;
    this.#events.onUp(wire);
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
