/**
 * A client that does what the README asks of one: it sends a write until it is answered, always
 * under the same client and seq. Beyond that it is rude: it gives up and asks elsewhere, sends
 * again what was acknowledged, and uses a seq twice.
 *
 * @module
 */
import {
  type Command,
  CommandKind,
  InsufficientStorageError,
  type KeyValue,
  Outcome,
  type Result,
  UnavailableError,
} from "../../lib/key_value.ts";
import type { Answer, History } from "../history/history.ts";
import type { Random } from "../random.ts";
import type { ClientPlan, Plan, Route } from "./plan.ts";
import { sleep, type World } from "./world.ts";

/** What a client was told about a write. */
export interface Told {
  readonly command: Command;
  readonly result: Result;
}

export interface SimulatedClientOptions {
  readonly world: World;
  readonly plan: Plan;
  readonly client: ClientPlan;
  readonly random: Random;
  readonly history: History;
  /** What to ask about `key`, or undefined if nobody is there. */
  readonly target: (route: Route, key: string) => KeyValue | undefined;
  /** Whether things go wrong on the way; once they do not, they never do again. */
  readonly inTrouble: () => boolean;
}

/** How long a client waits for an answer, in milliseconds: at least, and at most. */
const PATIENCE_MS = [600, 7000] as const;
const RETRY_MS_MAX = 400;

export class SimulatedClient {
  /** Every result that it got for a write. */
  readonly told: Told[] = [];
  readonly #options: SimulatedClientOptions;
  readonly #world: World;
  readonly #random: Random;
  #seq = 0;
  #left: number;
  readonly #written: Command[] = [];

  constructor(options: SimulatedClientOptions) {
    this.#options = options;
    this.#world = options.world;
    this.#random = options.random;
    this.#left = options.client.operations;
  }

  /** Does all of its operations. Resolves when each is answered. */
  async run(): Promise<void> {
    const { inFlight } = this.#options.client;
    await Promise.all(Array.from({ length: inFlight }, () => this.#work()));
  }

  async #work(): Promise<void> {
    const { pauseMsMax, readShare } = this.#options.client;
    while (this.#left > 0) {
      this.#left--;
      if (this.#random.chance(readShare)) await this.#read(this.#key());
      else await this.#write();
      await sleep(this.#world, this.#random.fraction() * pauseMsMax);
    }
  }

  #key(): string {
    return `k${this.#random.integer(1, this.#options.plan.keys)}`;
  }

  /** Reads until it is answered. */
  async #read(key: string): Promise<void> {
    await this.#insist((store) => this.#get(store, key), key);
    this.#note(`read "${key}"`);
  }

  /** Reads once, by the router. Nothing goes wrong any more, so it must be answered. */
  async readLast(key: string): Promise<void> {
    const isAnswered = await this.#attempt((store) => this.#get(store, key), key, "router");
    if (!isAnswered) this.#world.fail(`read of "${key}" got no answer when nothing went wrong`);
    this.#note(`read "${key}" at last`);
  }

  async #get(store: KeyValue, key: string): Promise<() => void> {
    const { name } = this.#options.client;
    const request = { client: name, kind: "get", seq: 0, key, value: "" } as const;
    const operation = this.#options.history.begin(request);
    const value = await store.get(key);
    return () => this.#options.history.end(operation, { kind: "read", value });
  }

  async #write(): Promise<void> {
    const command = this.#newCommand();
    await this.#send(command);
    this.#written.push(command);
    if (this.#random.chance(0.1)) {
      this.#world.count("acknowledged write sent again");
      await this.#send(this.#random.pick(this.#written));
    }
    if (this.#random.chance(0.03)) {
      this.#world.count("sequence number used twice");
      await this.#send({ ...command, kind: CommandKind.put, value: `${command.value}, again` });
    }
  }

  #newCommand(): Command {
    const { name, deleteShare, valueBytesMax, seqSteps } = this.#options.client;
    const random = this.#random;
    this.#seq += random.pick(seqSteps);
    const base = { client: name, seq: this.#seq, key: this.#key() };
    if (random.chance(deleteShare)) return { ...base, kind: CommandKind.delete, value: "" };
    // Zeros are the hardest padding: they look like sectors that were never written.
    const padding = random.pick(["\0", "x"]).repeat(random.integer(0, valueBytesMax));
    return { ...base, kind: CommandKind.put, value: `${name}-${this.#seq}${padding}` };
  }

  /** Sends a write until it is answered. */
  async #send(command: Command): Promise<void> {
    const { client, seq, key } = command;
    await this.#insist(async (store) => {
      const operation = this.#begin(command);
      try {
        const result = await store.write(command);
        return () => this.#told(command, result, operation);
      } catch (error) {
        if (error instanceof InsufficientStorageError) this.#end(operation, { kind: "refused" });
        throw error;
      }
    }, key);
    this.#note(`${client} wrote seq ${seq} to "${key}"`);
  }

  /**
   * In the history, unless it is the second write under one seq: such a one must have no effect.
   */
  #begin(command: Command) {
    const { kind, client, seq, key, value } = command;
    if (value.endsWith(", again")) return null;
    const name = kind === CommandKind.put ? "put" : "delete";
    return this.#options.history.begin({ client, kind: name, seq, key, value });
  }

  #end(operation: ReturnType<History["begin"]> | null, answer: Answer): void {
    if (operation !== null) this.#options.history.end(operation, answer);
  }

  #told(command: Command, result: Result, operation: ReturnType<History["begin"]> | null): void {
    this.told.push({ command, result });
    const { outcome, logIndex, prevValue } = result;
    if (outcome === Outcome.stale) return this.#end(operation, { kind: "unknown" });
    const duplicate = outcome !== Outcome.applied;
    this.#end(operation, { kind: "written", prevValue, logIndex, duplicate });
  }

  /**
   * Asks again and again, here and there, until there is an answer; `ask` returns what takes it.
   */
  async #insist(ask: (store: KeyValue) => Promise<() => void>, key: string): Promise<void> {
    while (!await this.#attempt(ask, key)) {
      await sleep(this.#world, this.#random.fraction() * RETRY_MS_MAX);
    }
  }

  /** Asks once. True if it was answered. */
  async #attempt(
    ask: (store: KeyValue) => Promise<() => void>,
    key: string,
    route = this.#random.pick(this.#options.client.routes),
  ): Promise<boolean> {
    await this.#travel();
    if (this.#isLost()) {
      this.#world.count("request lost");
      return false;
    }
    const store = this.#options.target(route, key);
    if (store === undefined) return false;
    const take = await this.#patiently(ask(store));
    if (take === null) return false;
    if (this.#isLost()) {
      this.#world.count("answer lost");
      return false;
    }
    await this.#travel();
    take();
    return true;
  }

  /** Null when there is no answer, or none in time. A process that dies never answers. */
  #patiently(answer: Promise<() => void>): Promise<(() => void) | null> {
    return new Promise((resolve) => {
      const patienceMs = this.#random.integer(...PATIENCE_MS);
      const cancel = this.#world.time.schedule(patienceMs, () => resolve(null));
      answer.catch((error) => this.#unanswered(error)).then((take) => {
        cancel();
        resolve(take);
      });
    });
  }

  #unanswered(error: unknown): null {
    if (!(error instanceof UnavailableError || error instanceof InsufficientStorageError)) {
      const reason = error instanceof Error ? error.stack : error;
      this.#world.fail(`client ${this.#options.client.name} was answered with an error: ${reason}`);
    }
    return null;
  }

  #travel(): Promise<void> {
    return sleep(this.#world, 0.01 + this.#random.fraction() * this.#options.plan.delayMsMax);
  }

  #isLost(): boolean {
    return this.#random.chance(this.#options.plan.lossShare) && this.#options.inTrouble();
  }

  #note(text: string): void {
    this.#world.trace.note(`${this.#options.client.name.padEnd(5)} ${text}`);
  }
}
