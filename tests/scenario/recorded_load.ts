/**
 * Load that keeps a record: concurrent clients write, and every write leaves evidence by which its
 * loss and its doubling show later.
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

/** One write, and what became of it. */
interface Write {
  readonly client: string;
  readonly seq: number;
  readonly key: string;
  readonly value: string;
  /** What the key must have held before. */
  readonly before: string;
  /** The result that was acknowledged; undefined if there was none. */
  result?: { readonly prevValue: string | null; readonly logIndex: number };
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
  readonly #writes: Write[] = [];
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
    return this.#writes.filter(({ result }) => result === undefined).length;
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
    const before = step === 1 ? "" : this.#valueOf(client, step - 1);
    const seq = 2 * step - 1;
    const outcomes = await Promise.allSettled([
      this.#write({ client, seq, key: `${client}/${step}`, value, before: "" }),
      this.#write({ client, seq: seq + 1, key: chainOf(client), value, before }),
    ]);
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
    return outcomes.every((outcome) => outcome.status === "fulfilled" && outcome.value);
  }

  #valueOf(client: string, step: number): string {
    return `${client}:${step}`.padEnd(this.#valueBytes, ".");
  }

  /** True if it was acknowledged; else the connection broke. */
  async #write(write: Write): Promise<boolean> {
    this.#writes.push(write);
    while (true) {
      const refusal = await this.#send(write);
      if (refusal === null) {
        this.#acknowledged++;
        return true;
      }
      if (!this.#retries) return false;
      this.#retryReasons.add(refusal);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  /** Sends it once. Null if it was acknowledged, else why it may be sent again. */
  async #send(write: Write): Promise<string | null> {
    const { client, seq, key, value } = write;
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${this.#url}/put`, {
        method: "POST",
        body: JSON.stringify({ client, seq, key, value }),
        client: this.#http,
        signal: this.#deadline.signal,
      });
      text = await response.text();
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      return "broken connection";
    }
    if (response.status === 503 && this.#retries) return "503";
    if (response.status !== 200) {
      throw new Error(`Wrong answer to ${nameOf(write)}: ${response.status} ${text.slice(0, 300)}`);
    }
    write.result = JSON.parse(text);
    return null;
  }

  /**
   * What is wrong with the answers, and with what the store at `url` holds now: one line each, none
   * if every acknowledged write is there exactly once and no other is. The store must hold nothing
   * but the writes of this load.
   */
  async problems(url: string): Promise<string[]> {
    const wrongAnswers = this.#writes.filter((write) =>
      write.result !== undefined && write.result.prevValue !== write.before
    ).map((write) =>
      `prevValue of ${nameOf(write)} is ${show(write.result!.prevValue)}, ` +
      `expected ${show(write.before)}`
    );
    const expected = this.#expectedValues();
    const keyCount = await this.#keyCount(url);
    const wrongCount = keyCount === expected.size
      ? []
      : [`Store holds ${keyCount} keys, expected ${expected.size}`];
    return [...wrongAnswers, ...wrongCount, ...await this.#wrongValues(url, expected)].slice(0, 10);
  }

  /** What each key must hold now; keys that must not be there are left out. */
  #expectedValues(): Map<string, string> {
    const acknowledged = this.#writes.filter(({ result }) => result !== undefined);
    return new Map(acknowledged.map(({ key, value }) => [key, value]));
  }

  async #wrongValues(url: string, expected: Map<string, string>): Promise<string[]> {
    const wrong: string[] = [];
    const rest = expected.entries(); // one iterator for all readers: each takes what comes next
    const read = async () => {
      for (const [key, value] of rest) {
        const found = await this.#read(url, key);
        if (found !== value) wrong.push(`Key "${key}" is ${show(found)}, expected ${show(value)}`);
      }
    };
    await Promise.all(Array.from({ length: READERS }, read));
    return wrong;
  }

  async #read(url: string, key: string): Promise<string | null> {
    const response = await fetch(`${url}/get?key=${encodeURIComponent(key)}`, {
      client: this.#http,
      signal: this.#deadline.signal,
    });
    const { value } = await response.json();
    return response.status === 200 ? value : null;
  }

  /** Keys in the store: of a node, or of all nodes behind a router. */
  async #keyCount(url: string): Promise<number> {
    const response = await fetch(`${url}/metrics`, {
      client: this.#http,
      signal: this.#deadline.signal,
    });
    const metrics = await response.json();
    if (!Array.isArray(metrics)) return metrics.keys;
    return metrics.reduce((sum, { metrics }) => sum + (metrics?.keys ?? NaN), 0);
  }
}

function chainOf(client: string): string {
  return `${client}/chain`;
}

function nameOf({ client, seq, key, value }: Write): string {
  return `seq ${seq} of ${client} (put ${key} = ${show(value)})`;
}

function show(value: string | null): string {
  return value === null ? "missing" : JSON.stringify(value.replace(/\.+$/, "…"));
}
