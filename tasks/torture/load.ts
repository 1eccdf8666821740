/**
 * Clients that read and write while processes die, and write down everything.
 *
 * A client owns nothing but its name and its sequence numbers; all clients of a shard work on the
 * same keys, some of which are hot. A write without an answer is sent again, as the same write,
 * until there is one: that is what the store asks of its clients.
 *
 * @module
 */

import type { Answer, History, Request } from "../history/history.ts";
import type { Random } from "../random.ts";
import { Failure } from "../subcommand.ts";
import { attempt, type NoAnswer } from "./attempt.ts";

/** Clients of each shard that go through the router, and those that go straight to the node. */
const ROUTED_CLIENTS = 4;
const STRAIGHT_CLIENTS = 1;
/** Requests of one client that are in flight at once. */
const IN_FLIGHT = 2;
/** Time between an answer and the next request of a client, in milliseconds, at most. */
const THINK_MS_MAX = 60;
/** Time between a failed attempt and the next one, in milliseconds. */
const RETRY_MS = 10;
/** How long an attempt may take, in milliseconds: longer than the router waits for a node. */
const ATTEMPT_MS_MAX = 10_000;
/** How long a request may go without an answer, in milliseconds. Then the load has failed. */
const ANSWER_MS_MAX = 60_000;

/** Keys of one shard that are read at once at the end. */
const READERS_PER_SHARD = 4;

/** Keys of a shard that most operations are on, and all of them. */
const HOT_KEYS = 6;
export const KEYS_PER_SHARD = 500;
const HOT_CHANCE = 0.6;
const GET_CHANCE = 0.35;
const DELETE_CHANCE = 0.1;

/** Keys of one node, and how to get to them. */
export interface ShardTarget {
  /** Id of the node. */
  readonly id: string;
  /** {@linkcode KEYS_PER_SHARD} of them. */
  readonly keys: readonly string[];
  /** The router, and the node itself. */
  readonly urls: { readonly router: string; readonly node: string };
}

/** An attempt that was not answered. Times are those of the history. */
export interface FailedAttempt {
  readonly shard: string;
  readonly via: "router" | "node";
  readonly reason: NoAnswer;
  readonly startedAt: number;
  readonly endedAt: number;
}

export interface LoadOptions {
  readonly shards: readonly ShardTarget[];
  readonly history: History;
  readonly random: Random;
  /** The clock of the history, in milliseconds. */
  readonly now: () => number;
}

/** The clients start at once, and go on until they are stopped. */
export class Load implements AsyncDisposable {
  /** When an answer came through the router, per shard, in order. */
  readonly answeredAt: ReadonlyMap<string, number[]>;
  readonly failures: FailedAttempt[] = [];
  /** Never resolves; rejects when a request got a wrong answer, or none in time. */
  readonly failed: Promise<never>;
  readonly #options: LoadOptions;
  readonly #http = Deno.createHttpClient({});
  readonly #abort = new AbortController();
  readonly #clients: Promise<void>;
  #isStopping = false;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.answeredAt = new Map(options.shards.map(({ id }) => [id, []]));
    this.#clients = this.#runClients();
    this.failed = this.#clients.then(() => new Promise<never>(() => {}));
    this.failed.catch(() => this.#isStopping = true);
  }

  /**
   * Lets each client finish what it has begun, and then reads every key.
   *
   * @throws {Failure} As {@linkcode failed}.
   */
  async finish(): Promise<void> {
    this.#isStopping = true;
    await this.#clients;
    await Promise.all(this.#options.shards.map((shard) => this.#readAll(shard)));
  }

  async #readAll(shard: ShardTarget): Promise<void> {
    const client = { name: "last", shard, via: "router" } as const;
    const rest = shard.keys.values(); // one iterator for all readers: each takes what comes next
    const read = async () => {
      for (const key of rest) await this.#perform(client, requestOf("last", "get", 0, key));
    };
    await Promise.all(Array.from({ length: READERS_PER_SHARD }, read));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    this.#abort.abort(new Error("Load is over"));
    await this.#clients.catch(() => {});
    this.#http.close();
  }

  async #runClients(): Promise<void> {
    const clients = this.#options.shards.flatMap((shard) =>
      Array.from({ length: ROUTED_CLIENTS + STRAIGHT_CLIENTS }, (_, i) => ({
        name: `${shard.id}-c${i + 1}`,
        shard,
        via: i < ROUTED_CLIENTS ? "router" as const : "node" as const,
      }))
    );
    await Promise.all(clients.map((client) => this.#runClient(client)));
  }

  async #runClient(client: LoadClient): Promise<void> {
    const random = this.#options.random.fork(client.name);
    let seq = 0;
    const run = async () => {
      while (!this.#isStopping) {
        const request = drawRequest(client, random, () => ++seq);
        await this.#perform(client, request);
        await pause(random.integer(0, THINK_MS_MAX));
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, run));
  }

  /** Sends a request until it is answered. A read is a new one each time. */
  async #perform(client: LoadClient, request: Request): Promise<void> {
    const { history, now } = this.#options;
    const deadline = now() + ANSWER_MS_MAX;
    let operation = history.begin(request);
    while (true) {
      const startedAt = now();
      const answer = await this.#attempt(client, request);
      if (typeof answer !== "string") {
        history.end(operation, answer);
        if (client.via === "router") this.answeredAt.get(client.shard.id)!.push(now());
        return;
      }
      const { via, shard } = client;
      this.failures.push({ shard: shard.id, via, reason: answer, startedAt, endedAt: now() });
      if (now() > deadline) {
        throw new Failure(
          `No answer to ${request.kind} seq ${request.seq} of ${request.client} ` +
            `within ${ANSWER_MS_MAX} ms: ${answer}`,
        );
      }
      await pause(RETRY_MS);
      if (request.kind === "get") operation = history.begin(request);
    }
  }

  #attempt({ shard, via }: LoadClient, request: Request): Promise<Answer | NoAnswer> {
    const options = {
      client: this.#http,
      signal: this.#abort.signal,
      timeoutMs: ATTEMPT_MS_MAX,
    };
    return attempt(shard.urls[via], request, options);
  }
}

interface LoadClient {
  readonly name: string;
  readonly shard: ShardTarget;
  readonly via: "router" | "node";
}

function drawRequest({ name, shard }: LoadClient, random: Random, nextSeq: () => number): Request {
  const { keys } = shard;
  const key = random.chance(HOT_CHANCE) ? keys[random.integer(0, HOT_KEYS - 1)] : random.pick(keys);
  const draw = random.fraction();
  if (draw < GET_CHANCE) return requestOf(name, "get", 0, key);
  const seq = nextSeq();
  if (draw < GET_CHANCE + DELETE_CHANCE) return requestOf(name, "delete", seq, key);
  return { ...requestOf(name, "put", seq, key), value: `${name}:${seq}` };
}

function requestOf(client: string, kind: Request["kind"], seq: number, key: string): Request {
  return { client, kind, seq, key, value: "" };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
