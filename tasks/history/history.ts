/**
 * What clients did and saw: the only evidence that a checker needs, and all that it gets.
 *
 *     const history = new History(() => performance.now());
 *     const operation = history.begin({ client: "c1", kind: "put", seq: 1, key: "k", value: "v" });
 *     // … send it …
 *     history.end(operation, { kind: "written", prevValue: "", logIndex: 1, duplicate: false });
 *     checkHistory(history.operations, { ownerOf }); // no violations
 *
 * A client that sends a write again may record that as one operation, from the first time it was
 * sent to the first answer, or each time as an operation of its own under the same `seq`.
 *
 * @module
 */

/** What a client asks for. */
export interface Request {
  readonly client: string;
  readonly kind: "put" | "delete" | "get";
  /** Of a write; 0 in a get. */
  readonly seq: number;
  readonly key: string;
  /** What is put; `""` in a delete and in a get. */
  readonly value: string;
}

/** What came back. */
export type Answer =
  /** To a get: the value, `null` if there is none. */
  | { readonly kind: "read"; readonly value: string | null }
  /** To a write that was acknowledged; `prevValue` is `null` when the node has forgotten it. */
  | {
    readonly kind: "written";
    readonly prevValue: string | null;
    readonly logIndex: number;
    readonly duplicate: boolean;
  }
  /**
   * Nothing, or nothing that tells (a broken connection, 503, 409). A write may take effect at any
   * time after it was sent, even after the end of the history, or never.
   */
  | { readonly kind: "unknown" }
  /** Certainly without effect (400, 413, 507). */
  | { readonly kind: "refused" };

/** A request and its answer. */
export interface Operation extends Request {
  /** When it was sent, on any clock that never goes back and that all clients share. */
  readonly invokedAt: number;
  /** When the answer was there; `Infinity` for an answer that is `unknown`. */
  readonly completedAt: number;
  readonly answer: Answer;
}

/** A write that was acknowledged. */
export interface Acknowledged extends Operation {
  readonly answer: Extract<Answer, { kind: "written" }>;
}

const UNKNOWN: Answer = { kind: "unknown" };

/** Keeps the record while clients run. */
export class History {
  readonly #now: () => number;
  readonly #operations: { -readonly [Field in keyof Operation]: Operation[Field] }[] = [];

  /** @param now Of a clock that never goes back. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** In the order in which they were sent. */
  get operations(): readonly Operation[] {
    return this.#operations;
  }

  /** Notes that a request is about to be sent. Its answer is unknown until {@linkcode end}. */
  begin(request: Request): Operation {
    const { client, kind, seq, key, value } = request;
    const invokedAt = this.#now();
    const operation = { client, kind, seq, key, value, invokedAt, completedAt: Infinity };
    return this.#operations[this.#operations.push({ ...operation, answer: UNKNOWN }) - 1];
  }

  /** Notes the answer to what {@linkcode begin} returned. */
  end(operation: Operation, answer: Answer): void {
    const completedAt = answer.kind === "unknown" ? Infinity : this.#now();
    Object.assign(operation, { completedAt, answer });
  }
}

export function isAcknowledged(operation: Operation): operation is Acknowledged {
  return operation.answer.kind === "written";
}
