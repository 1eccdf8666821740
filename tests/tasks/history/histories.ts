/**
 * Histories for the tests of the checkers: drawn by hand, or made by a register that is right.
 *
 * @module
 */

import type { Answer, Operation } from "../../../tasks/history/history.ts";
import { Random } from "../../../tasks/random.ts";

/** Fields that a test gives; the rest has defaults. */
export interface Drawn {
  /** Default: one of its own. */
  readonly client?: string;
  readonly seq?: number;
  readonly key?: string;
  readonly logIndex?: number;
  readonly duplicate?: boolean;
}

/**
 * Draws operations. A span is `[invokedAt, completedAt]`; without an answer the end is not used.
 */
export class Drawing {
  #count = 0;

  put(span: [number, number], value: string, prevValue?: string | null, drawn?: Drawn): Operation {
    return this.#write("put", span, value, prevValue, drawn);
  }

  delete(span: [number, number], prevValue?: string | null, drawn?: Drawn): Operation {
    return this.#write("delete", span, "", prevValue, drawn);
  }

  get([invokedAt, completedAt]: [number, number], value: string | null, drawn: Drawn = {}) {
    const { client = `c${++this.#count}`, key = "k" } = drawn;
    const request = { client, kind: "get", seq: 0, key, value: "" } as const;
    return { ...request, invokedAt, completedAt, answer: { kind: "read", value } } as const;
  }

  #write(
    kind: "put" | "delete",
    [invokedAt, completedAt]: [number, number],
    value: string,
    prevValue?: string | null,
    drawn: Drawn = {},
  ): Operation {
    const count = ++this.#count;
    const { client = `c${count}`, seq = 1, key = "k" } = drawn;
    const { logIndex = count, duplicate = false } = drawn;
    const request = { client, kind, seq, key, value, invokedAt };
    if (prevValue === undefined) {
      return { ...request, completedAt: Infinity, answer: { kind: "unknown" } };
    }
    return { ...request, completedAt, answer: { kind: "written", prevValue, logIndex, duplicate } };
  }
}

export interface GeneratedOptions {
  readonly operations: number;
  /** Clients that each have one operation in flight. */
  readonly clients: number;
  readonly keys: number;
  /** Share of operations whose answer is lost; half of those take effect. */
  readonly unknown?: number;
  /** Share of writes whose `prevValue` is forgotten. */
  readonly forgotten?: number;
  readonly seed: number;
}

/** An operation and the moment at which it took effect, `Infinity` if it never did. */
interface Planned {
  readonly operation: Omit<Operation, "answer">;
  readonly effectAt: number;
  readonly isAnswered: boolean;
}

/**
 * What clients see of a store that is right: each operation takes effect at a random moment between
 * its call and its answer. All values that are put are different. It ends with a read of every key.
 */
export function generate(options: GeneratedOptions): Operation[] {
  const random = new Random(`history ${options.seed}`);
  const planned = planClients(options, random);
  const times = planned.map(({ effectAt }) => effectAt).filter(Number.isFinite);
  const end = times.reduce((latest, time) => Math.max(latest, time), 0);
  for (let key = 0; key < options.keys; key++) {
    const request = { client: "last", kind: "get", seq: 0, key: `k${key}`, value: "" } as const;
    const [invokedAt, completedAt] = [end + 100, end + 101];
    planned.push({
      operation: { ...request, invokedAt, completedAt },
      effectAt: completedAt,
      isAnswered: true,
    });
  }
  return answerAll(planned, options.forgotten ?? 0, random);
}

function planClients(
  { operations, clients, keys, unknown = 0 }: GeneratedOptions,
  random: Random,
): Planned[] {
  const nowOf = new Float64Array(clients);
  return Array.from({ length: operations }, (_, i) => {
    const client = i % clients;
    const invokedAt = nowOf[client] + random.fraction();
    const effectAt = invokedAt + random.fraction() ** 4 * 10;
    const completedAt = nowOf[client] = effectAt + random.fraction() ** 4 * 10;
    const draw = random.fraction();
    const kind = draw < 0.45 ? "get" : draw < 0.85 ? "put" : "delete";
    const isAnswered = !random.chance(unknown);
    return {
      operation: {
        client: `c${client}`,
        kind,
        seq: kind === "get" ? 0 : i + 1,
        key: `k${random.integer(0, keys - 1)}`,
        value: kind === "put" ? `v${i}` : "",
        invokedAt,
        completedAt: isAnswered ? completedAt : Infinity,
      },
      effectAt: isAnswered || random.chance(0.5) ? effectAt : Infinity,
      isAnswered,
    };
  });
}

function answerAll(planned: Planned[], forgotten: number, random: Random): Operation[] {
  const store = new Map<string, string>();
  const operations: Operation[] = [];
  let logIndex = 0;
  for (const { operation, effectAt, isAnswered } of sortByEffect(planned)) {
    const { kind, key, value } = operation;
    const before = store.get(key);
    if (Number.isFinite(effectAt)) {
      if (kind !== "get") logIndex++;
      if (kind === "put") store.set(key, value);
      if (kind === "delete") store.delete(key);
    }
    const prevValue = random.chance(forgotten) ? null : before ?? "";
    const answer: Answer = !isAnswered
      ? { kind: "unknown" }
      : kind === "get"
      ? { kind: "read", value: before ?? null }
      : { kind: "written", prevValue, logIndex, duplicate: false };
    operations.push({ ...operation, answer });
  }
  return operations.sort((one, other) => one.invokedAt - other.invokedAt);
}

function sortByEffect(planned: Planned[]): Planned[] {
  const rank = ({ effectAt }: Planned) => Math.min(effectAt, Number.MAX_VALUE);
  return planned.toSorted((one, other) => rank(one) - rank(other));
}
