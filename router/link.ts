/**
 * The router's end of a link to one node: any number of requests in flight over one connection. A
 * request outlives the connection: it is sent again on the next one until its deadline, which is
 * safe because the node applies a write once, however often it comes.
 *
 * While a link is down, requests wait for it, so that a node which restarts fast costs a pause. If
 * a node has been down for longer than a request may wait, they fail at once.
 *
 * The router goes on reading replies however much it has to send itself: a node with large replies
 * reads nothing until they are taken, so both would wait for ever. What bounds the memory of a link
 * is that it refuses requests while too many wait for an answer (`WAITING_PER_NODE_MAX`,
 * `WAITING_TEXT_PER_NODE_MAX`), or too many bytes wait to be sent (`UNSENT_PER_NODE_BYTES_MAX`),
 * among them those of requests that were given up.
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
  /** Host and port of the node's API, for messages. */
  readonly address: string;
  /** The id of the first request. Default: 1. */
  readonly firstId?: number;
}

/**
 * How often deadlines are looked at, in milliseconds, which is how late a request may be given up:
 * one timer for all requests of a link.
 */
const SWEEP_MS = 50;

/** A request that has no answer yet. */
interface Pending<T> {
  readonly type: number;
  /** Length of key and value, in UTF-16 units: counting bytes would take a pass over them. */
  readonly textLength: number;
  readonly encode: (writer: ByteWriter) => void;
  readonly timeoutMs: number;
  readonly deadlineMs: number;
  /** On how many connections it was sent. */
  sent: number;
  /**
   * The answer in a reply; undefined if no reply to this request has its type.
   *
   * @throws {RangeError} No node sends such a reply.
   */
  decode(reply: Frame): T | undefined;
  resolve(answer: T): void;
  reject(error: Error): void;
}

/** The store of one node, reached over a connection. */
export class Link implements KeyValue {
  readonly nodeId: string;
  readonly address: string;
  readonly #clock: Clock;
  readonly #connection: ReconnectingConnection;
  /** By id, the oldest first. */
  readonly #pending = new Map<number, Pending<unknown>>();
  #pendingTextLength = 0;
  /** The probes that are under way: health and metrics, by type. */
  readonly #probes = new Map<number, Promise<unknown>>();
  /** Never 0, which in a refusal means the link as a whole. */
  #nextId: number;
  /** Since when the node owes an answer; null if it owes none. */
  #owesSinceMs: number | null = null;
  #draining = false;
  #closed = false;
  #cancelSweep: (() => void) | null = null;

  constructor(options: LinkOptions) {
    this.nodeId = options.nodeId;
    this.address = options.address;
    this.#clock = options.clock;
    this.#nextId = options.firstId ?? 1;
    this.#connection = new ReconnectingConnection(options, {
      onUp: (wire) => {
        this.#owesSinceMs = null;
        this.#sendAll(wire);
      },
      onReply: (reply) => {
        this.#receive(reply);
        if (this.#pending.size === 0) this.#owesSinceMs = null;
      },
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
    return this.#ask(FrameType.get, key.length, (writer) => writer.text(key), decodeValue);
  }

  write(command: Command): Promise<Result> {
    const textLength = command.key.length + command.value.length;
    const encode = (writer: ByteWriter) => encodeCommand(writer, command);
    return this.#ask(FrameType.write, textLength, encode, decodeResult);
  }

  /** The health of the node, as JSON that it sends. */
  health(): Promise<unknown> {
    return this.#probe(FrameType.health);
  }

  /** The metrics of the node, as JSON that it sends. */
  metrics(): Promise<unknown> {
    return this.#probe(FrameType.metrics);
  }

  /**
   * Of each type there is at most one probe at a time: calls in the meantime share its answer, and
   * what is left of its `PROBE_TIMEOUT_MS`. Fails at once while the link is down.
   */
  #probe(type: number): Promise<unknown> {
    if (!this.up) return Promise.reject(this.#unavailable("is down", type));
    let probe = this.#probes.get(type);
    if (probe === undefined) {
      probe = this.#ask(type, 0, () => {}, decodeJson, PROBE_TIMEOUT_MS)
        .finally(() => this.#probes.delete(type));
      this.#probes.set(type, probe);
    }
    return probe;
  }

  /**
   * Sends a request now if the link is up, else as soon as it is. Resolves to the answer.
   *
   * @throws {UnavailableError} The request is not taken, refused, or not answered in time.
   * @throws {InsufficientStorageError} The node has no room for it.
   */
  #ask<T>(
    type: number,
    textLength: number,
    encode: (writer: ByteWriter) => void,
    decode: (reply: Frame) => T | undefined,
    timeoutMs = REQUEST_TIMEOUT_MS,
  ): Promise<T> {
    const nowMs = this.#clock.monotonic();
    const problem = this.#problem(type, nowMs);
    if (problem !== null) return Promise.reject(this.#unavailable(problem, type));
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const deadlineMs = nowMs + timeoutMs;
    const pending: Pending<T> = {
      type,
      textLength,
      encode,
      timeoutMs,
      deadlineMs,
      sent: 0,
      decode,
      resolve,
      reject,
    };
    const id = this.#nextId;
    this.#nextId = (id + 1) >>> 0 || 1;
    this.#pending.set(id, pending);
    this.#pendingTextLength += textLength;
    const { wire } = this.#connection;
    if (wire !== null) this.#send(wire, id, pending);
    this.#cancelSweep ??= this.#clock.after(SWEEP_MS, () => this.#sweep());
    return promise;
  }

  /** Why no request of this type is taken now; null if one is. */
  #problem(type: number, nowMs: number): string | null {
    const { wire } = this.#connection;
    if (this.#closed || this.#draining && wire === null) return STOPS;
    if (this.#connection.isDownForLong(nowMs)) return "is down";
    // A probe needs no room: a node that has much to do is not down.
    if (type === FrameType.health || type === FrameType.metrics) return null;
    const { size } = this.#pending;
    if (size >= WAITING_PER_NODE_MAX || this.#pendingTextLength > WAITING_TEXT_PER_NODE_MAX) {
      return `has ${size} requests waiting already`;
    }
    const backlog = wire?.backlog ?? 0;
    return backlog > UNSENT_PER_NODE_BYTES_MAX
      ? `has ${backlog} bytes of requests to read already`
      : null;
  }

  /** Gives up requests that have waited for too long, and a connection on which nothing comes. */
  #sweep(): void {
    this.#cancelSweep = null;
    const nowMs = this.#clock.monotonic();
    const isDownForLong = this.#connection.isDownForLong(nowMs);
    for (const [id, pending] of this.#pending) {
      if (pending.deadlineMs > nowMs && !isDownForLong) continue;
      this.#forget(id, pending);
      const problem = this.up ? `did not answer within ${pending.timeoutMs} ms` : "is down";
      pending.reject(this.#unavailable(problem, pending.type));
      if (this.#isSilent(nowMs)) this.#connection.giveUp();
    }
    if (this.#pending.size > 0) {
      this.#cancelSweep = this.#clock.after(SWEEP_MS, () => this.#sweep());
    }
  }

  /** Whether the node owes an answer, and has said nothing at all for as long as one may take. */
  #isSilent(nowMs: number): boolean {
    const { wire } = this.#connection;
    if (wire === null || this.#owesSinceMs === null) return false;
    return nowMs - Math.max(this.#owesSinceMs, wire.receivedAtMs) >= REQUEST_TIMEOUT_MS;
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

  /** Sends all pending requests, in the order in which they were asked. */
  #sendAll(wire: Wire): void {
    for (const [id, pending] of this.#pending) this.#send(wire, id, pending);
  }

  #send(wire: Wire, id: number, pending: Pending<unknown>): void {
    this.#owesSinceMs ??= this.#clock.monotonic();
    pending.sent++;
    pending.encode(wire.beginFrame(pending.type, id));
    wire.endFrame();
  }

  /** @throws {RangeError} The reply does not fit its request. */
  #receive(reply: Frame): void {
    const { type, id } = reply;
    const pending = this.#pending.get(id);
    if (pending === undefined) return; // it was given up
    if (type === FrameType.refused || type === FrameType.full) {
      const problem = `Node "${this.nodeId}": ${reply.text()}`;
      // If it was sent twice, the first copy may still arrive, and be applied.
      const isCertain = type === FrameType.full && pending.sent === 1;
      pending.reject(new (isCertain ? InsufficientStorageError : UnavailableError)(problem));
    } else {
      const answer = pending.decode(reply);
      if (answer === undefined) {
        throw new RangeError(`Reply to a request of type ${pending.type} has type ${type}`);
      }
      pending.resolve(answer);
    }
    this.#forget(id, pending); // not before an error above: then it is sent on the next connection
  }

  #forget(id: number, pending: Pending<unknown>): void {
    this.#pending.delete(id);
    this.#pendingTextLength -= pending.textLength;
  }

  /** From now on no request waits for a node that is down. One that is up answers what it owes. */
  drain(): void {
    this.#draining = true;
    if (!this.up) this.#failAll();
  }

  /** Gives up all pending requests and closes the connection. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelSweep?.();
    this.#failAll();
    await this.#connection.close();
  }

  #failAll(): void {
    for (const pending of this.#pending.values()) {
      pending.reject(this.#unavailable(STOPS, pending.type));
    }
    this.#pending.clear();
    this.#pendingTextLength = 0;
  }
}

/** Why a router that stops does not ask a node. */
const STOPS = "is not asked any more: the router stops";
