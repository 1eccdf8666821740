/**
 * Load that keeps a record: concurrent clients write, and every write leaves evidence by which its
 * loss and its doubling show later, when the history is checked.
 *
 *     await using load = new RecordedLoad(url);
 *     await load.progress(200);
 *     // … break something …
 *     await load.stop();
 *     assertEquals(await load.problems(url), []);
 *
 * A client goes in steps. In each step two of its writes are in flight at once: one to a key of
 * this step alone, and one to the client's chain, a key that every step overwrites.
 *
 *     step 1   put c1/1 = "c1:1"   prevValue ""      put c1/chain = "c1:1"   prevValue ""
 *     step 2   put c1/2 = "c1:2"   prevValue ""      put c1/chain = "c1:2"   prevValue "c1:1"
 *     step 3   put c1/3 = "c1:3"   prevValue ""      put c1/chain = "c1:3"   prevValue "c1:2"
 *
 * A lost write is a hole in the chain or a key that is missing, a doubled one has itself before it,
 * and an answer that belongs to another client has the wrong name in it.
 *
 * @module
 */

import { assignSlots, slotOf } from "../../router/slots.ts";
import { checkHistory } from "../../tasks/history/check_history.ts";
import { History, isAcknowledged, type Operation } from "../../tasks/history/history.ts";
import { formatViolation } from "../../tasks/history/violation.ts";
import { attempt } from "../../tasks/torture/attempt.ts";
import { waitFor } from "../process.ts";

/** How long a load may last, in milliseconds: then what still waits for an answer has failed. */
const LOAD_MS_MAX = 30_000;
/** How long a client waits before it sends a write again, in milliseconds. */
const RETRY_MS = 10;
/** Reads that are in flight at once when the record is compared with the store. */
const READERS = 16;

export interface RecordedLoadOptions {
  /** Clients that write at the same time. Default: 8. */
  readonly clients?: number;
  /** How long values are at least. Default: as long as what they tell. */
  readonly valueBytes?: number;
  /**
   * What a client does when a write is refused for now (503) or its connection breaks. `true`, the
   * default: it sends the same write again until that is acknowledged. `false`: to be refused is a
   * wrong answer, and a client whose connection breaks ends there.
   */
  readonly retries?: boolean;
}

/** See the module's own comment. The clients start at once. */
export class RecordedLoad implements AsyncDisposable {
  readonly #url: string;
  readonly #valueBytes: number;
  readonly #retries: boolean;
  readonly #http = Deno.createHttpClient({});
  readonly #deadline = new AbortController();
  readonly #timer = setTimeout(
    () => this.#deadline.abort(new Error(`Load lasts longer than ${LOAD_MS_MAX} ms`)),
    LOAD_MS_MAX,
  );
  readonly #history = new History(() => performance.now());
  readonly #retryReasons = new Set<string>();
  readonly #clients: Promise<void>;
  #acknowledged = 0;
  #stopping = false;
  #failure: unknown;

  /** @param url Of the node or router to write to, such as `http://127.0.0.1:8080`. */
  constructor(url: string, options: RecordedLoadOptions = {}) {
    const { clients = 8, valueBytes = 0, retries = true } = options;
    this.#url = url;
    this.#valueBytes = valueBytes;
    this.#retries = retries;
    const names = Array.from({ length: clients }, (_, i) => `c${i + 1}`);
    this.#clients = Promise.all(names.map((name) => this.#runClient(name))).then(() => {});
  }

  /** Writes without an acknowledgement. Always 0 once a load that retries was stopped. */
  get unanswered(): number {
    return this.#history.operations.filter(({ answer }) => answer.kind === "unknown").length;
  }

  /** Why clients had to send writes again: `503`, `broken connection`. */
  get retryReasons(): string[] {
    return [...this.#retryReasons].sort();
  }

  /** Waits until `count` more writes are acknowledged. */
  async progress(count: number): Promise<void> {
    const goal = this.#acknowledged + count;
    await waitFor(`${count} more writes are acknowledged`, () => {
      if (this.#failure !== undefined) throw this.#failure;
      return this.#acknowledged >= goal;
    });
  }

  /** Lets each client finish its step, and waits for that. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.ended();
  }

  /** Waits until all clients have ended: without retries they do when the connection breaks. */
  async ended(): Promise<void> {
    await this.#clients;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    this.#deadline.abort(new Error("Load is over"));
    await this.#clients;
    clearTimeout(this.#timer);
    this.#http.close();
  }

  /** Never rejects: the first failure ends all clients, and whoever waits for them is told. */
  async #runClient(client: string): Promise<void> {
    try {
      for (let step = 1; !this.#stopping; step++) {
        if (!await this.#runStep(client, step)) return;
      }
    } catch (error) {
      this.#failure ??= error;
      this.#stopping = true;
    }
  }

  /** True if both writes were acknowledged. */
  async #runStep(client: string, step: number): Promise<boolean> {
    const value = this.#valueOf(client, step);
    const seq = 2 * step - 1;
    const write = { client, kind: "put", value } as const;
    const outcomes = await Promise.allSettled([
      this.#write(this.#history.begin({ ...write, seq, key: `${client}/${step}` })),
      this.#write(this.#history.begin({ ...write, seq: seq + 1, key: `${client}/chain` })),
    ]);
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    return outcomes.every((outcome) => outcome.status === "fulfilled" && outcome.value);
  }

  #valueOf(client: string, step: number): string {
    return `${client}:${step}`.padEnd(this.#valueBytes, ".");
  }

  /** True if it was acknowledged; else the connection broke. */
  async #write(write: Operation): Promise<boolean> {
    while (true) {
      const answer = await attempt(this.#url, write, this.#attemptOptions());
      if (typeof answer !== "string") {
        this.#history.end(write, answer);
        this.#acknowledged++;
        return true;
      }
      if (!this.#retries && answer !== "broken connection") {
        throw new Error(`Wrong answer to seq ${write.seq} of ${write.client}: ${answer}`);
      }
      if (!this.#retries) return false;
      this.#retryReasons.add(answer);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  #attemptOptions() {
    return { client: this.#http, signal: this.#deadline.signal, timeoutMs: LOAD_MS_MAX };
  }

  /**
   * What is wrong with the answers, and with what the store at `url` holds now, none if every
   * acknowledged write is there exactly once and no other is. The store must hold nothing but the
   * writes of this load.
   */
  async problems(url: string): Promise<string[]> {
    const writes = [...this.#history.operations];
    const keys = new Set(writes.filter(isAcknowledged).map(({ key }) => key));
    const { keyCount, nodeCount } = await this.#countOf(url);
    const wrongCount = keyCount === keys.size
      ? []
      : [`Store holds ${keyCount} keys, expected ${keys.size}`];
    await this.#readAll(url, keys);
    const owners = assignSlots(nodeCount);
    const operations = this.#history.operations.map((operation) =>
      // Without an acknowledgement it must not be there: clients that retry have none like that.
      operation.answer.kind === "unknown"
        ? { ...operation, answer: { kind: "refused" } as const }
        : operation
    );
    const violations = checkHistory(operations, { ownerOf: (key) => owners[slotOf(key)] });
    return [...wrongCount, ...violations.map(formatViolation)].slice(0, 10);
  }

  /** Adds a read of each key to the history. */
  async #readAll(url: string, keys: Iterable<string>): Promise<void> {
    // One iterator for all readers: each takes what comes next.
    const rest = keys[Symbol.iterator]();
    const read = async () => {
      for (let next = rest.next(); !next.done; next = rest.next()) {
        const request = {
          client: "last",
          kind: "get",
          seq: 0,
          key: next.value,
          value: "",
        } as const;
        const operation = this.#history.begin(request);
        const answer = await attempt(url, request, this.#attemptOptions());
        if (typeof answer === "string") throw new Error(`No answer to a read: ${answer}`);
        this.#history.end(operation, answer);
      }
    };
    await Promise.all(Array.from({ length: READERS }, read));
  }

  /** Keys in the store and how many nodes have them: one node, or all behind a router. */
  async #countOf(url: string): Promise<{ keyCount: number; nodeCount: number }> {
    const { signal } = this.#deadline;
    const response = await fetch(`${url}/metrics`, { client: this.#http, signal });
    const metrics = await response.json();
    if (!Array.isArray(metrics)) return { keyCount: metrics.keys, nodeCount: 1 };
    const keyCount = metrics.reduce((sum, { metrics }) => sum + (metrics?.keys ?? NaN), 0);
    return { keyCount, nodeCount: metrics.length };
  }
}
