/**
 * The router's end of a link to one node: any number of requests in flight over one connection. A
 * request outlives the connection: it is sent again on the next one until its deadline, which is
 * safe because the node applies a write once, however often it comes.
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
import {
  type Command,
  InsufficientStorageError,
  type KeyValue,
  type Result,
  UnavailableError,
} from "../lib/key_value.ts";
import {
  PROBE_TIMEOUT_MS,
  REQUEST_TIMEOUT_MS,
  UNSENT_PER_NODE_BYTES_MAX,
  WAITING_PER_NODE_MAX,
  WAITING_TEXT_PER_NODE_MAX,
} from "../lib/limits.ts";
import { decodeJson, decodeResult, decodeValue, FrameType } from "../lib/link_protocol.ts";
import type { Frame, Wire } from "../lib/wire.ts";
import {
  ReconnectingConnection,
  type ReconnectingConnectionOptions,
} from "./reconnecting_connection.ts";

export interface LinkOptions extends ReconnectingConnectionOptions {
  /** For people: host and port of the node's API. */
  readonly address: string;
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

/** Takes a reply; false if no reply to this request has its type. */
type Answer = (reply: Frame) => boolean;

/** The keys of one node, from afar. */
export class Link implements KeyValue {
  readonly nodeId: string;
  readonly address: string;
  readonly #clock: Clock;
  readonly #connection: ReconnectingConnection;
  /** By id, in the order in which they came. */
  readonly #pending = new Map<number, Pending>();
  #pendingTextLength = 0;
  /** Health and metrics that are asked for, by type. */
  readonly #probes = new Map<number, Promise<unknown>>();
  /** Never 0, which in a refusal means the link as a whole. */
  #nextId: number;
  #draining = false;
  #closed = false;
  #cancelSweep: (() => void) | null = null;

  constructor(options: LinkOptions) {
    this.nodeId = options.nodeId;
    this.address = options.address;
    this.#clock = options.clock;
    this.#nextId = options.firstId ?? 1;
    this.#connection = new ReconnectingConnection(options, {
      onUp: (wire) => this.#sendAll(wire),
      onReply: (reply) => this.#receive(reply),
      onDown: () => {
        if (this.#draining) this.#failAll();
      },
    });
  }

  /** Whether the node has welcomed a connection that is open. */
  get up(): boolean {
    return this.#connection.wire !== null;
  }

  get(key: string): Promise<string | null> {
    return new Promise((resolve, reject) => {
      this.#requireRoom(FrameType.get);
      this.#request(
        FrameType.get,
        key.length,
        (writer) => writer.text(key),
        reject,
        (reply) => {
          const value = decodeValue(reply);
          if (value !== undefined) resolve(value);
          return value !== undefined;
        },
      );
    });
  }

  write(command: Command): Promise<Result> {
    return new Promise((resolve, reject) => {
      const encode = (writer: ByteWriter) => encodeCommand(writer, command);
      const textLength = command.key.length + command.value.length;
      this.#requireRoom(FrameType.write);
      this.#request(FrameType.write, textLength, encode, reject, (reply) => {
        const result = decodeResult(reply);
        if (result !== undefined) resolve(result);
        return result !== undefined;
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
    if (!this.up) return Promise.reject(this.#unavailable("is down", type));
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
      const id = this.#request(type, 0, () => {}, fail, (reply) => {
        const json = decodeJson(reply);
        if (json === undefined) return false;
        resolve(json);
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
    const backlog = this.#connection.wire?.backlog ?? 0;
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
    const { wire } = this.#connection;
    if (this.#closed || this.#draining && wire === null) {
      throw this.#unavailable("is not asked any more: the router stops", type);
    }
    if (this.#connection.isDownForLong(now)) throw this.#unavailable("is down", type);
    const id = this.#nextId;
    this.#nextId = (id + 1) >>> 0 || 1;
    const deadline = now + REQUEST_TIMEOUT_MS;
    const pending = { type, textLength, encode, fail, answer, deadline, sent: 0 };
    this.#pending.set(id, pending);
    this.#pendingTextLength += textLength;
    if (wire !== null) send(wire, id, pending);
    this.#cancelSweep ??= this.#clock.after(SWEEP_MS, () => this.#sweep());
    return id;
  }

  /** Gives up what has waited for too long, and a connection that says nothing any more. */
  #sweep(): void {
    this.#cancelSweep = null;
    const now = this.#clock.monotonic();
    const problem = this.up ? `did not answer within ${REQUEST_TIMEOUT_MS} ms` : "is down";
    const isDownForLong = this.#connection.isDownForLong(now);
    for (const [id, pending] of this.#pending) {
      if (pending.deadline > now && !isDownForLong) continue;
      this.#forget(id, pending);
      pending.fail(this.#unavailable(problem, pending.type));
      const { wire } = this.#connection;
      const isSilent = wire !== null && now - wire.receivedAtMs >= REQUEST_TIMEOUT_MS;
      if (isSilent) this.#connection.giveUp();
    }
    if (this.#pending.size > 0) {
      this.#cancelSweep = this.#clock.after(SWEEP_MS, () => this.#sweep());
    }
  }

  /** Why a request of this type has no answer, and what to do about it. */
  #unavailable(problem: string, type: number): UnavailableError {
    const reason = this.up ? "" : ` (${this.#connection.problem})`;
    const advice = type === FrameType.write
      ? "; the write may be sent again with the same client and seq, it is applied once"
      : "";
    return new UnavailableError(
      `Node "${this.nodeId}" at ${this.address} ${problem}${reason}${advice}`,
    );
  }

  /** All that waits, in the order in which it came. */
  #sendAll(wire: Wire): void {
    for (const [id, pending] of this.#pending) send(wire, id, pending);
  }

  /** @throws {RangeError} The reply does not fit its request. */
  #receive(reply: Frame): void {
    const { type, id } = reply;
    const pending = this.#pending.get(id);
    if (pending === undefined) return; // given up meanwhile
    if (type === FrameType.refused || type === FrameType.full) {
      const problem = `Node "${this.nodeId}": ${reply.text()}`;
      // Of what was sent twice, the first copy may still be on its way, and be taken.
      const isCertain = type === FrameType.full && pending.sent === 1;
      pending.fail(new (isCertain ? InsufficientStorageError : UnavailableError)(problem));
    } else if (!pending.answer(reply)) {
      throw new RangeError(`Reply to a request of type ${pending.type} has type ${type}`);
    }
    this.#forget(id, pending); // not before: what was not answered goes out on the next connection
  }

  #forget(id: number, pending: Pending): void {
    if (this.#pending.delete(id)) this.#pendingTextLength -= pending.textLength;
  }

  /** From now on nothing waits for a node that is down; what a node that is up owes is awaited. */
  drain(): void {
    this.#draining = true;
    if (!this.up) this.#failAll();
  }

  /** Gives up what waits and closes the connection. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelSweep?.();
    this.#failAll();
    await this.#connection.close();
  }

  #failAll(): void {
    for (const pending of this.#pending.values()) {
      pending.fail(this.#unavailable("is not asked any more: the router stops", pending.type));
    }
    this.#pending.clear();
    this.#pendingTextLength = 0;
  }
}

function send(wire: Wire, id: number, pending: Pending): void {
  pending.sent++;
  pending.encode(wire.beginFrame(pending.type, id));
  wire.endFrame();
}
