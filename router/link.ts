/**
 * The router's end of a link to one node: any number of requests in flight over one connection,
 * which is opened again whenever it breaks. A request outlives the connection: it is sent again on
 * the next one until its deadline, which is safe because the node applies a write once, however
 * often it comes.
 *
 *     connecting ──welcome──▶ up ──broken──▶ waiting ──backoff──▶ connecting …
 *
 * While a link is down requests wait for it, so that a node which restarts fast costs a pause. A
 * node that has been down for longer than a request may wait is answered for at once.
 *
 * The router reads replies however much waits to leave: a node that has large ones to send reads
 * nothing until they are taken. What bounds the memory of a link is that it refuses requests: while
 * too many wait for an answer (`WAITING_PER_NODE_MAX`, `WAITING_TEXT_PER_NODE_MAX`), or too many
 * bytes wait to leave (`UNSENT_PER_NODE_BYTES_MAX`), which those of a request that was given up do
 * as well.
 *
 * @module
 */
import type { ByteWriter } from "../lib/byte_writer.ts";
import type { Clock } from "../lib/clock.ts";
import { encodeCommand } from "../lib/command_codec.ts";
import { errorMessage } from "../lib/error_message.ts";
import {
  type Command,
  InsufficientStorageError,
  type KeyValue,
  type Result,
  UnavailableError,
} from "../lib/key_value.ts";
import {
  CONNECT_TIMEOUT_MS,
  PROBE_TIMEOUT_MS,
  RECONNECT_MS_MAX,
  RECONNECT_MS_MIN,
  REQUEST_TIMEOUT_MS,
  UNSENT_PER_NODE_BYTES_MAX,
  WAITING_PER_NODE_MAX,
  WAITING_TEXT_PER_NODE_MAX,
} from "../lib/limits.ts";
import { decodeResult, decodeText, encodeHello, FrameType } from "../lib/link_protocol.ts";
import { type Duplex, Wire } from "../lib/wire.ts";

export interface LinkOptions {
  readonly nodeId: string;
  /** For people: host and port of the node's API. */
  readonly address: string;
  /** Opens a connection to the node's link port, unless it is aborted before. */
  readonly connect: (signal: AbortSignal) => Promise<Duplex>;
  readonly clock: Clock;
  /** From 0 up to 1, for the jitter of the backoff. */
  readonly random: () => number;
  /** Of the first request. Default: 1. */
  readonly firstId?: number;
}

/** How often deadlines are looked at, in milliseconds: one timer for all requests of a link. */
const SWEEP_MS = 100;

/** A request that has no answer yet. */
interface Pending {
  readonly type: number;
  /** Of key and value together, in UTF-16 units: to count bytes would take a pass over them. */
  readonly textLength: number;
  readonly encode: (writer: ByteWriter) => void;
  readonly answer: Answer;
  readonly fail: (error: Error) => void;
  readonly deadline: number;
  /** On how many connections it was sent. */
  sent: number;
}

type Bytes = Uint8Array<ArrayBuffer>;

/** Takes a reply; false if no reply to this request has its type. */
type Answer = (type: number, bytes: Bytes, start: number, end: number) => boolean;

/** The keys of one node, from afar. */
export class Link implements KeyValue {
  readonly nodeId: string;
  readonly address: string;
  readonly #options: LinkOptions;
  readonly #clock: Clock;
  /** By id, in the order in which they came. */
  readonly #pending = new Map<number, Pending>();
  #pendingTextLength = 0;
  /** Health and metrics that are asked for, by type. */
  readonly #probes = new Map<number, Promise<unknown>>();
  /** Never 0, which in a refusal means the link as a whole. */
  #nextId: number;
  /** Null while there is none; of use once the node has welcomed it. */
  #connection: Wire | null = null;
  #up = false;
  #downSince: number;
  #lastHeard = 0;
  #lastProblem = "it was not reached yet";
  #draining = false;
  #closed = false;
  /** Ends what the link waits for between two connections. */
  #stopWaiting = () => {};
  #cancelSweep: (() => void) | null = null;
  readonly #ended: Promise<void>;

  constructor(options: LinkOptions) {
    this.nodeId = options.nodeId;
    this.address = options.address;
    this.#options = options;
    this.#clock = options.clock;
    this.#nextId = options.firstId ?? 1;
    this.#downSince = this.#clock.monotonic();
    this.#ended = this.#run();
  }

  /** Whether a connection is open and welcome. */
  get up(): boolean {
    return this.#up;
  }

  get(key: string): Promise<string | null> {
    return new Promise((resolve, reject) => {
      this.#requireRoom(FrameType.get);
      this.#request(
        FrameType.get,
        key.length,
        (writer) => writer.text(key),
        reject,
        (type, bytes, start, end) => {
          if (type === FrameType.value) resolve(decodeText(bytes, start, end));
          else if (type === FrameType.missing) resolve(null);
          else return false;
          return true;
        },
      );
    });
  }

  write(command: Command): Promise<Result> {
    return new Promise((resolve, reject) => {
      const encode = (writer: ByteWriter) => encodeCommand(writer, command);
      const textLength = command.key.length + command.value.length;
      this.#requireRoom(FrameType.write);
      this.#request(FrameType.write, textLength, encode, reject, (type, bytes, start, end) => {
        if (type !== FrameType.result) return false;
        resolve(decodeResult(bytes, start, end));
        return true;
      });
    });
  }

  /** The health of the node as it tells it. */
  health(): Promise<unknown> {
    return this.#probe(FrameType.health);
  }

  /** The metrics of the node as it tells them. */
  metrics(): Promise<unknown> {
    return this.#probe(FrameType.metrics);
  }

  /**
   * Asks even when the link is full: a node that has much to do is not down. There is at most one
   * probe of each type at a time; whoever asks for it meanwhile shares its answer, and the rest of
   * its `PROBE_TIMEOUT_MS`.
   */
  #probe(type: number): Promise<unknown> {
    if (!this.#up) return Promise.reject(this.#unavailable("is down", type));
    let probe = this.#probes.get(type);
    if (probe === undefined) {
      probe = this.#newProbe(type).finally(() => this.#probes.delete(type));
      this.#probes.set(type, probe);
    }
    return probe;
  }

  #newProbe(type: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      let cancel = () => {};
      const fail = (error: Error) => {
        cancel();
        reject(error);
      };
      const id = this.#request(type, 0, () => {}, fail, (type, bytes, start, end) => {
        if (type !== FrameType.json) return false;
        resolve(parseJson(decodeText(bytes, start, end)));
        cancel();
        return true;
      });
      cancel = this.#clock.after(PROBE_TIMEOUT_MS, () => {
        this.#pending.delete(id); // a probe has no text to count
        reject(this.#unavailable(`did not answer within ${PROBE_TIMEOUT_MS} ms`, type));
      });
    });
  }

  /** @throws {UnavailableError} Too much waits already for one more request of this type. */
  #requireRoom(type: number): void {
    const full = this.#pendingTextLength > WAITING_TEXT_PER_NODE_MAX;
    if (full || this.#pending.size >= WAITING_PER_NODE_MAX) {
      throw this.#unavailable(`has ${this.#pending.size} requests waiting already`, type);
    }
    const backlog = this.#connection?.backlog ?? 0;
    if (backlog > UNSENT_PER_NODE_BYTES_MAX) {
      throw this.#unavailable(`has ${backlog} bytes of requests to read already`, type);
    }
  }

  /**
   * Sends a request now if the link is up, else when it is. Returns its id.
   *
   * @throws {UnavailableError} The node has been down for too long, or the link closes.
   */
  #request(
    type: number,
    textLength: number,
    encode: (writer: ByteWriter) => void,
    fail: (error: Error) => void,
    answer: Answer,
  ): number {
    const now = this.#clock.monotonic();
    if (this.#closed || this.#draining && !this.#up) {
      throw this.#unavailable("is not asked any more: the router stops", type);
    }
    if (!this.#up && now - this.#downSince > REQUEST_TIMEOUT_MS) {
      throw this.#unavailable("is down", type);
    }
    const id = this.#nextId;
    this.#nextId = (id + 1) >>> 0 || 1;
    const deadline = now + REQUEST_TIMEOUT_MS;
    const pending = { type, textLength, encode, fail, answer, deadline, sent: 0 };
    this.#pending.set(id, pending);
    this.#pendingTextLength += textLength;
    if (this.#up) send(this.#connection!, id, pending);
    this.#cancelSweep ??= this.#clock.after(SWEEP_MS, () => this.#sweep());
    return id;
  }

  /** Gives up what has waited for too long, and a connection that says nothing any more. */
  #sweep(): void {
    this.#cancelSweep = null;
    const now = this.#clock.monotonic();
    const down = !this.#up && now - this.#downSince > REQUEST_TIMEOUT_MS;
    for (const [id, pending] of this.#pending) {
      if (pending.deadline > now && !down) continue;
      this.#forget(id, pending);
      pending.fail(this.#unavailable(
        this.#up ? `did not answer within ${REQUEST_TIMEOUT_MS} ms` : "is down",
        pending.type,
      ));
      // One that is not welcome yet has a deadline of its own.
      if (this.#up && now - this.#lastHeard >= REQUEST_TIMEOUT_MS) this.#connection?.close();
    }
    if (this.#pending.size > 0) {
      this.#cancelSweep = this.#clock.after(SWEEP_MS, () => this.#sweep());
    }
  }

  /** Why a request of this type has no answer, and what to do about it. */
  #unavailable(problem: string, type: number): UnavailableError {
    const reason = !this.#up ? ` (${this.#lastProblem})` : "";
    const advice = type === FrameType.write
      ? "; the write may be sent again with the same client and seq, it is applied once"
      : "";
    return new UnavailableError(
      `Node "${this.nodeId}" at ${this.address} ${problem}${reason}${advice}`,
    );
  }

  /** Connects, again and again, until the link is closed. */
  async #run(): Promise<void> {
    let attempt = 0;
    while (!this.#closed) {
      if (await this.#connectOnce()) attempt = 0;
      if (this.#closed) break;
      const delay = Math.min(RECONNECT_MS_MAX, RECONNECT_MS_MIN * 2 ** attempt++);
      await this.#pause(delay * (0.5 + this.#options.random() / 2));
    }
  }

  /** One connection, from its opening to its end. True if it was welcome. */
  async #connectOnce(): Promise<boolean> {
    const wire = await this.#open();
    if (wire === null) return false;
    const cancel = this.#clock.after(REQUEST_TIMEOUT_MS, () => wire.close());
    encodeHello(wire.beginFrame(FrameType.hello, 0), this.nodeId);
    wire.endFrame();
    try {
      await wire.read((type, id, bytes, start, end) => {
        this.#lastHeard = this.#clock.monotonic();
        if (this.#up) return this.#receive(type, id, bytes, start, end);
        cancel();
        this.#welcome(type, wire, bytes, start, end);
      });
      this.#lastProblem = "the connection ended";
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#lastProblem = error.message;
    } finally {
      cancel();
      wire.close();
      this.#connection = null;
    }
    return this.#goDown();
  }

  /** The connection is of no use any more. True if it was. */
  #goDown(): boolean {
    const wasUp = this.#up;
    this.#up = false;
    if (wasUp) this.#downSince = this.#clock.monotonic();
    if (this.#draining) this.#failAll();
    return wasUp;
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
        return this.#connection = new Wire(duplex, this.#clock, { backlogBytesMax: Infinity });
      }
      duplex.close(); // it was there already when the attempt was given up
      return null;
    } catch (error) {
      this.#lastProblem = errorMessage(error);
      return null;
    } finally {
      cancel();
    }
  }

  /** The first reply. If it is a welcome, all that waits is sent, in the order in which it came. */
  #welcome(type: number, wire: Wire, bytes: Bytes, start: number, end: number): void {
    if (type === FrameType.refused) throw new RangeError(decodeText(bytes, start, end));
    if (type !== FrameType.welcome) {
      throw new RangeError(`First reply has type ${type}, expected ${FrameType.welcome}`);
    }
    this.#up = true;
    for (const [id, pending] of this.#pending) send(wire, id, pending);
  }

  /** @throws {RangeError} The node refuses the link, or the reply does not fit its request. */
  #receive(type: number, id: number, bytes: Bytes, start: number, end: number): void {
    if (type === FrameType.refused && id === 0) throw new RangeError(decodeText(bytes, start, end));
    const pending = this.#pending.get(id);
    if (pending === undefined) return; // given up meanwhile
    if (type === FrameType.refused || type === FrameType.full) {
      const problem = `Node "${this.nodeId}": ${decodeText(bytes, start, end)}`;
      // Of what was sent twice, the first copy may still be on its way, and be taken.
      const isCertain = type === FrameType.full && pending.sent === 1;
      pending.fail(new (isCertain ? InsufficientStorageError : UnavailableError)(problem));
    } else if (!pending.answer(type, bytes, start, end)) {
      throw new RangeError(`Reply to a request of type ${pending.type} has type ${type}`);
    }
    this.#forget(id, pending); // not before: what was not answered goes out on the next connection
  }

  #forget(id: number, pending: Pending): void {
    if (this.#pending.delete(id)) this.#pendingTextLength -= pending.textLength;
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

  /** From now on nothing waits for a node that is down; what a node that is up owes is awaited. */
  drain(): void {
    this.#draining = true;
    if (!this.#up) this.#failAll();
  }

  /** Gives up what waits and closes the connection. */
  async close(): Promise<void> {
    this.drain();
    this.#closed = true;
    this.#stopWaiting();
    this.#cancelSweep?.();
    this.#failAll();
    this.#connection?.close();
    await this.#ended;
  }

  #failAll(): void {
    for (const pending of this.#pending.values()) {
      pending.fail(this.#unavailable("is not asked any more: the router stops", pending.type));
    }
    this.#pending.clear();
    this.#pendingTextLength = 0;
  }
}

/** @throws {RangeError} It is not JSON, so the peer is not a node of ours. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new RangeError("Reply is not JSON", { cause });
  }
}

function send(wire: Wire, id: number, pending: Pending): void {
  pending.sent++;
  pending.encode(wire.beginFrame(pending.type, id));
  wire.endFrame();
}
