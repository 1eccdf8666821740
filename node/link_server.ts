/**
 * The node's end of the links: requests come in as frames, the node answers them, and the replies
 * go out as frames. Reads are answered at once, writes when they are durable, so replies overtake
 * one another.
 *
 * @module
 */
import { errorMessage } from "../lib/error_message.ts";
import type { Clock } from "../lib/clock.ts";
import { CommandCursor } from "../lib/command_codec.ts";
import { atMostDrainTime } from "../lib/drain.ts";
import {
  type EncodedResult,
  InsufficientStorageError,
  UnavailableError,
} from "../lib/key_value.ts";
import {
  ANSWER_BYTES_PER_MS_MIN,
  ANSWER_WAIT_MS,
  DRAIN_MS,
  HELLO_TIMEOUT_MS,
  LINK_BACKLOG_BYTES_MAX,
  LINKS_MAX,
  REQUEST_TIMEOUT_MS,
} from "../lib/limits.ts";
import { encodeResult, FrameType, helloRefusal } from "../lib/link_protocol.ts";
import { type Duplex, type Frame, Wire } from "../lib/wire.ts";
import type { Node } from "./node.ts";

/** Serves a node to routers, each of which has a {@linkcode Duplex} to it. */
export class LinkServer {
  readonly #node: Node;
  readonly #nodeId: string;
  readonly #clock: Clock;
  /** The oldest one first. */
  readonly #connections = new Set<Connection>();
  #draining = false;
  /** Until then links are waited for less long, because one was waited for in vain. */
  #impatientUntilMs = 0;

  constructor(node: Node, nodeId: string, clock: Clock) {
    this.#node = node;
    this.#nodeId = nodeId;
    this.#clock = clock;
    node.holdAnswers(() => {
      const full = this.#fullLinks();
      if (full.length > 0) return this.#waitForFullLinks(full);
    });
  }

  /**
   * Serves one link until it ends. Never rejects: a peer's mistake ends its own link only. A link
   * that comes after {@linkcode drain}, or that there is no room for, is closed at once.
   */
  async serve(duplex: Duplex): Promise<void> {
    if (this.#draining || !this.#makeRoom()) return duplex.close();
    const wire = new Wire(duplex, this.#clock);
    const connection = new Connection(wire, this.#node, this.#nodeId, this.#clock);
    this.#connections.add(connection);
    try {
      await wire.read((frame) => {
        if (!this.#draining) connection.handle(frame);
      });
    } catch (error) {
      if (!(error instanceof RangeError)) console.error(error); // a bug; the other links go on
      connection.refuse(0, errorMessage(error));
      await atMostDrainTime(this.#clock, wire.flush());
    } finally {
      connection.close();
      this.#connections.delete(connection);
    }
  }

  /**
   * If there are as many links as there may be, ends one: the oldest that is not welcomed yet, or
   * else the one that has been silent for longest. False if all have asked for something lately.
   */
  #makeRoom(): boolean {
    if (this.#connections.size < LINKS_MAX) return true;
    const connections = [...this.#connections];
    const ended = connections.find(({ welcomed }) => !welcomed) ?? longestSilent(connections);
    // A router that has been silent for so long is not waiting for an answer any more. If it still
    // exists, it connects again.
    const isNeeded = ended.welcomed &&
      this.#clock.monotonic() - ended.wire.receivedAtMs <= REQUEST_TIMEOUT_MS;
    if (isNeeded) return false;
    ended.wire.close();
    this.#connections.delete(ended);
    return true;
  }

  /** The links for which the log waits. */
  #fullLinks(): Connection[] {
    return [...this.#connections].filter(({ isFull }) => isFull);
  }

  /**
   * Waits for links that have much to send, and ends those that hardly take anything: an answer
   * that a link does not take comes back as a duplicate, perhaps without the value that it
   * overwrote. After one was waited for in vain, the others get less time for a while: peers that
   * read nothing cost little, however many they are.
   */
  async #waitForFullLinks(full: Connection[]): Promise<void> {
    while (full.length > 0) {
      const isImpatient = this.#clock.monotonic() < this.#impatientUntilMs;
      const waitMs = isImpatient ? ANSWER_WAIT_MS / 10 : ANSWER_WAIT_MS;
      const before = full.map(({ wire }) => wire.backlog);
      const sent = Promise.all(full.map(({ wire }) => wire.flush()));
      await atMostDrainTime(this.#clock, sent, waitMs);
      for (const [i, connection] of full.entries()) {
        const taken = before[i] - connection.wire.backlog;
        if (!connection.isFull || taken >= waitMs * ANSWER_BYTES_PER_MS_MIN) continue;
        connection.end();
        this.#impatientUntilMs = this.#clock.monotonic() + 10 * ANSWER_WAIT_MS;
      }
      full = this.#fullLinks();
    }
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

/**
 * One link: takes its requests, and replies to them. If the answers to writes pile up, because the
 * router is slow or reads nothing, the log waits for it only for a moment, then the link ends. A
 * router that is only slow reads what was sent, and asks for the rest on its next link.
 */
class Connection {
  readonly wire: Wire;
  readonly #node: Node;
  readonly #nodeId: string;
  readonly #clock: Clock;
  /** Whether the peer has said the right hello, and so is a router. */
  welcomed = false;
  /** Moves over the writes in one receive buffer. */
  #command = new CommandCursor(new Uint8Array());
  /** Whether it takes no more requests, and no more answers. */
  #isEnding = false;
  /** Cancels the timer that closes the link. */
  #cancelTimeout: () => void;

  constructor(wire: Wire, node: Node, nodeId: string, clock: Clock) {
    this.wire = wire;
    this.#node = node;
    this.#nodeId = nodeId;
    this.#clock = clock;
    this.#cancelTimeout = clock.after(HELLO_TIMEOUT_MS, () => wire.close());
  }

  /** @throws {RangeError} It is not a frame that a router sends. */
  handle(frame: Frame): void {
    if (this.#isEnding) return;
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
    this.#cancelTimeout();
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
    const { id } = frame; // when the answer is there, the frame object is at another frame
    this.#requireCommand(frame);
    try {
      this.#node.submit(frame.copyTo, (result, error) => this.#reply(id, result, error));
    } catch (error) {
      this.#fail(id, error); // throws it again if it was no command, which ends the link
    }
  }

  /** @throws {RangeError} The payload is not a command, or not of UTF-8, as those of HTTP are. */
  #requireCommand({ bytes, start, end }: Frame): void {
    if (this.#command.bytes !== bytes) this.#command = new CommandCursor(bytes);
    this.#command.moveTo(start, end);
    this.#command.requireUtf8();
  }

  /** Sends the answer to a write. */
  #reply(id: number, result: EncodedResult | null, error: unknown): void {
    if (this.#isEnding || this.wire.closed) return;
    if (result === null) this.#fail(id, error);
    else {
      encodeResult(this.wire.beginFrame(FrameType.result, id), result);
      this.wire.endFrame();
    }
  }

  /** Whether it has more to send than the log waits for, and is not ending because of it. */
  get isFull(): boolean {
    return this.wire.backlog > LINK_BACKLOG_BYTES_MAX && !this.#isEnding && !this.wire.closed;
  }

  /**
   * Takes no more requests and no more answers. The refusal is the last frame: a router that has
   * read it has all that was sent, and closes the link. Closed here at once, what is still on its
   * way would be lost.
   */
  end(): void {
    this.refuse(0, `more than ${LINK_BACKLOG_BYTES_MAX} bytes of replies were not read`);
    this.#isEnding = true;
    this.#cancelTimeout = this.#clock.after(DRAIN_MS, () => this.wire.close());
  }

  /** Closes the link. What is not sent yet is lost. */
  close(): void {
    this.#cancelTimeout();
    this.wire.close();
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

  /** Says why the request `id` has no answer, or, if that is 0, why the link ends. */
  refuse(id: number, reason: string): void {
    this.wire.beginFrame(FrameType.refused, id).text(reason);
    this.wire.endFrame();
  }
}
