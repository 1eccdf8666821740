/**
 * The node's end of the links: frames in, the node asked, frames out. Requests are answered in the
 * order in which their answers are there: reads at once, writes when they are durable.
 *
 * @module
 */
import { errorMessage } from "../lib/error_message.ts";
import type { ByteWriter } from "../lib/byte_writer.ts";
import type { Clock } from "../lib/clock.ts";
import { atMostDrainTime } from "../lib/drain.ts";
import { CommandCursor } from "../lib/command_codec.ts";
import { InsufficientStorageError, type Result, UnavailableError } from "../lib/key_value.ts";
import { HELLO_TIMEOUT_MS, LINK_BACKLOG_BYTES_END, LINKS_MAX } from "../lib/limits.ts";
import { encodeResult, FrameType, helloRefusal } from "../lib/link_protocol.ts";
import { type Duplex, Wire } from "../lib/wire.ts";
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
    const connection = new Connection(wire, this.#node, this.#nodeId);
    this.#connections.add(connection);
    const cancel = this.#clock.after(HELLO_TIMEOUT_MS, () => {
      if (!connection.welcomed) wire.close();
    });
    try {
      await wire.read((type, id, bytes, start, end) => {
        if (!this.#draining) connection.handle(type, id, bytes, start, end);
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
   * Ends the oldest link that is not welcome yet if there are as many links as there may be. False
   * if all are welcome: those are routers, and go on.
   */
  #makeRoom(): boolean {
    if (this.#connections.size < LINKS_MAX) return true;
    for (const connection of this.#connections) {
      if (connection.welcomed) continue;
      connection.wire.close();
      this.#connections.delete(connection);
      return true;
    }
    return false;
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

/** What one link has said so far, and its replies. */
class Connection {
  readonly wire: Wire;
  readonly #node: Node;
  readonly #nodeId: string;
  /** Whether it has said the right hello: what is at the other end is a router. */
  welcomed = false;
  #command: CommandCursor | undefined;

  constructor(wire: Wire, node: Node, nodeId: string) {
    this.wire = wire;
    this.#node = node;
    this.#nodeId = nodeId;
  }

  /** @throws {RangeError} It is not a frame that a router sends. */
  handle(
    type: number,
    id: number,
    bytes: Uint8Array<ArrayBuffer>,
    start: number,
    end: number,
  ): void {
    if (!this.welcomed) return this.#hello(type, id, bytes, start, end);
    switch (type) {
      case FrameType.get:
        return this.#get(id, bytes, start, end);
      case FrameType.write:
        return this.#write(id, bytes, start, end);
      case FrameType.health:
        return this.#json(id, this.#node.health());
      case FrameType.metrics:
        return this.#json(id, this.#node.metrics());
      default:
        throw new RangeError(
          `Frame type is ${type}, expected ${FrameType.get} to ${FrameType.metrics}`,
        );
    }
  }

  #hello(
    type: number,
    id: number,
    bytes: Uint8Array<ArrayBuffer>,
    start: number,
    end: number,
  ): void {
    if (type !== FrameType.hello) {
      throw new RangeError(`Frame type is ${type}, expected ${FrameType.hello} first`);
    }
    const reason = helloRefusal(bytes, start, end, this.#nodeId);
    if (reason !== null) throw new RangeError(reason);
    this.welcomed = true;
    this.wire.beginFrame(FrameType.welcome, id);
    this.wire.endFrame();
  }

  #get(id: number, bytes: Uint8Array, start: number, end: number): void {
    const value = this.#node.getBytes(bytes, start, end);
    const writer = this.wire.beginFrame(value === null ? FrameType.missing : FrameType.value, id);
    if (value !== null) writer.text(value);
    this.wire.endFrame();
  }

  #write(id: number, bytes: Uint8Array, start: number, end: number): void {
    if (this.#command?.bytes !== bytes) this.#command = new CommandCursor(bytes);
    this.#command.moveTo(start, end); // refuses what is not a command, before it gets near the log
    if (this.#command.end !== end) {
      throw new RangeError(`Command ends at ${this.#command.end}, frame at ${end}`);
    }
    try {
      const encode = (writer: ByteWriter) => writer.bytes(bytes, start, end);
      this.#node.writeEncoded(encode, (result, error) => this.#reply(id, result, error));
    } catch (error) {
      this.#reply(id, null, error);
    }
  }

  #reply(id: number, result: Result | null, error: unknown): void {
    // Answers to writes cannot be held back. A router takes them, and asks again where it does not.
    if (this.wire.backlog > LINK_BACKLOG_BYTES_END) this.wire.close();
    if (this.wire.closed) return;
    if (result === null) return this.#fail(id, error);
    const writer = this.wire.beginFrame(FrameType.result, id);
    encodeResult(writer, result);
    this.wire.endFrame();
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
