/**
 * The node's end of the links: frames in, the node asked, frames out. Requests are answered in the
 * order in which their answers are there: reads at once, writes when they are durable.
 *
 * @module
 */
import { errorMessage } from "../lib/error_message.ts";
import type { Clock } from "../lib/clock.ts";
import { atMostDrainTime } from "../lib/drain.ts";
import { InsufficientStorageError, type Result, UnavailableError } from "../lib/key_value.ts";
import {
  ANSWER_BACKLOG_BYTES_MAX,
  HELLO_TIMEOUT_MS,
  LINKS_MAX,
  REQUEST_TIMEOUT_MS,
} from "../lib/limits.ts";
import { encodeResult, FrameType, helloRefusal } from "../lib/link_protocol.ts";
import { type Duplex, type Frame, Wire } from "../lib/wire.ts";
import type { Node } from "./node.ts";

/** Serves a node to routers, one {@linkcode Duplex} each. */
export class LinkServer {
  readonly #node: Node;
  readonly #nodeId: string;
  readonly #clock: Clock;
  /** In the order in which they began. */
  readonly #connections = new Set<Connection>();
  #draining = false;

  constructor(node: Node, nodeId: string, clock: Clock) {
    this.#node = node;
    this.#nodeId = nodeId;
    this.#clock = clock;
  }

  /** Serves one link until it ends. Never rejects: a peer's mistake ends its own link only. */
  async serve(duplex: Duplex): Promise<void> {
    if (!this.#makeRoom()) return duplex.close();
    const wire = new Wire(duplex, this.#clock);
    const connection = new Connection(wire, this.#node, this.#nodeId, this.#clock);
    this.#connections.add(connection);
    const cancel = this.#clock.after(HELLO_TIMEOUT_MS, () => {
      if (!connection.welcomed) wire.close();
    });
    try {
      await wire.read((frame) => {
        if (!this.#draining) connection.handle(frame);
      });
    } catch (error) {
      if (!(error instanceof RangeError)) console.error(error); // a bug; the other links go on
      connection.refuse(0, errorMessage(error));
      await atMostDrainTime(this.#clock, wire.flush());
    } finally {
      cancel();
      wire.close();
      this.#connections.delete(connection);
    }
  }

  /**
   * Ends a link if there are as many as there may be: the oldest that is not welcome yet, or else
   * the one that has been silent for longest. False if all have asked for something of late.
   */
  #makeRoom(): boolean {
    if (this.#connections.size < LINKS_MAX) return true;
    const connections = [...this.#connections];
    const ended = connections.find(({ welcomed }) => !welcomed) ?? longestSilent(connections);
    // A router that has said nothing for so long waits for no answer any more. If it is there at
    // all, it comes back.
    const isNeeded = ended.welcomed &&
      this.#clock.monotonic() - ended.wire.receivedAtMs <= REQUEST_TIMEOUT_MS;
    if (isNeeded) return false;
    ended.wire.close();
    this.#connections.delete(ended);
    return true;
  }

  /** Takes no more requests, answers those it took, then ends all links. */
  async drain(): Promise<void> {
    this.#draining = true;
    await this.#node.idle();
    await atMostDrainTime(
      this.#clock,
      Promise.all(Array.from(this.#connections, ({ wire }) => wire.flush())),
    );
    for (const { wire } of this.#connections) wire.close();
  }
}

function longestSilent(connections: readonly Connection[]): Connection {
  return connections.reduce((one, other) =>
    other.wire.receivedAtMs < one.wire.receivedAtMs ? other : one
  );
}

/** What one link has said so far, and its replies. */
class Connection {
  readonly wire: Wire;
  readonly #node: Node;
  readonly #nodeId: string;
  readonly #clock: Clock;
  /** Whether it has said the right hello: what is at the other end is a router. */
  welcomed = false;
  /** Resolves when the answers to writes, of which too many wait, have left. */
  #relief: Promise<void> | undefined;

  constructor(wire: Wire, node: Node, nodeId: string, clock: Clock) {
    this.wire = wire;
    this.#node = node;
    this.#nodeId = nodeId;
    this.#clock = clock;
  }

  /** @throws {RangeError} It is not a frame that a router sends. */
  handle(frame: Frame): void {
    if (!this.welcomed) return this.#hello(frame);
    switch (frame.type) {
      case FrameType.get:
        return this.#get(frame);
      case FrameType.write:
        return this.#write(frame);
      case FrameType.health:
        return this.#json(frame.id, this.#node.health());
      case FrameType.metrics:
        return this.#json(frame.id, this.#node.metrics());
      default:
        throw new RangeError(
          `Frame type is ${frame.type}, expected ${FrameType.get} to ${FrameType.metrics}`,
        );
    }
  }

  #hello(frame: Frame): void {
    if (frame.type !== FrameType.hello) {
      throw new RangeError(`Frame type is ${frame.type}, expected ${FrameType.hello} first`);
    }
    const reason = helloRefusal(frame, this.#nodeId);
    if (reason !== null) throw new RangeError(reason);
    this.welcomed = true;
    this.wire.beginFrame(FrameType.welcome, frame.id);
    this.wire.endFrame();
  }

  #get({ id, bytes, start, end }: Frame): void {
    const writer = this.wire.beginFrame(FrameType.value, id);
    const isFound = this.#node.appendValue(bytes, start, end, writer);
    if (!isFound) this.wire.changeType(FrameType.missing);
    this.wire.endFrame();
  }

  #write(frame: Frame): void {
    const { id } = frame; // the frame itself is another one by the time of the answer
    try {
      this.#node.submit(frame.copyTo, (result, error) => this.#reply(id, result, error));
    } catch (error) {
      this.#fail(id, error); // unless it is not a command, which ends the link
    }
  }

  /** The promise that it returns when too much waits to leave holds back further answers. */
  #reply(id: number, result: Result | null, error: unknown): Promise<void> | void {
    if (this.wire.closed) return;
    if (result === null) return this.#fail(id, error);
    const writer = this.wire.beginFrame(FrameType.result, id);
    encodeResult(writer, result);
    this.wire.endFrame();
    if (this.wire.backlog > ANSWER_BACKLOG_BYTES_MAX) return this.#relief ??= this.#relieve();
  }

  /** Lets all leave that waits. A peer that does not take it in time is gone, or never reads. */
  async #relieve(): Promise<void> {
    let hasLeft = false;
    await atMostDrainTime(this.#clock, this.wire.flush().then(() => hasLeft = true));
    if (!hasLeft) this.wire.close();
    this.#relief = undefined;
  }

  #fail(id: number, error: unknown): void {
    if (error instanceof UnavailableError) return this.refuse(id, error.message);
    if (!(error instanceof InsufficientStorageError)) throw error;
    this.wire.beginFrame(FrameType.full, id).text(error.message);
    this.wire.endFrame();
  }

  #json(id: number, value: unknown): void {
    this.wire.beginFrame(FrameType.json, id).text(JSON.stringify(value));
    this.wire.endFrame();
  }

  /** Says why there is no answer to the request `id`; 0 if it is about the link as a whole. */
  refuse(id: number, reason: string): void {
    this.wire.beginFrame(FrameType.refused, id).text(reason);
    this.wire.endFrame();
  }
}
