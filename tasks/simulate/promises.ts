/**
 * What a run is judged by when it has ended.
 *
 * - Each log, applied by the plain rules of the model, gives every answer that a client got.
 * - The history of what clients did and saw has an order that explains it: nothing acknowledged is
 *   lost, nothing is applied twice, and per key it is linearizable.
 *
 * That a restart finds the log as it was, and the same state in it, is judged at each restart.
 *
 * @module
 */
import { checkHistory } from "../history/check_history.ts";
import type { History } from "../history/history.ts";
import { formatViolation } from "../history/violation.ts";
import type { RecordedBatch } from "./log_record.ts";
import { Model } from "./model.ts";
import type { Told } from "./simulated_client.ts";

export interface Evidence {
  /** Of each node. */
  readonly logs: readonly (readonly RecordedBatch[])[];
  readonly told: readonly Told[];
  readonly history: History;
  /** The number of the node that owns a key, from 0. */
  readonly ownerOf: (key: string) => number;
}

/** The first promise that was not kept; null if all were. */
export function brokenPromise({ logs, told, history, ownerOf }: Evidence): string | null {
  const [violation] = checkHistory(history.operations, { ownerOf });
  if (violation !== undefined) return formatViolation(violation);
  const models = logs.map((log) => {
    const model = new Model();
    for (const batch of log) model.apply(batch);
    return model;
  });
  for (const { command, result } of told) {
    const problem = models[ownerOf(command.key)].contradicts(command, result);
    if (problem !== null) return problem;
  }
  return null;
}
