/**
 * Finds a smaller plan that fails too: leaves out one fault, one client, half of the operations,
 * and keeps what still fails, until nothing more can be left out.
 *
 * @module
 */
import type { ClientPlan, Plan } from "./plan.ts";
import { type RunResult, simulate } from "./simulation.ts";

/** Runs that are tried at most. */
const TRIES_MAX = 400;

export interface Shrunk {
  readonly plan: Plan;
  readonly result: RunResult;
}

/** Shrinks a plan whose run broke a promise. */
export async function shrink(failing: Shrunk): Promise<Shrunk> {
  let smallest = failing;
  let tries = 0;
  for (let found = true; found && tries < TRIES_MAX;) {
    found = false;
    for (const plan of smallerThan(smallest.plan)) {
      if (++tries > TRIES_MAX) break;
      const result = await simulate(plan);
      if (result.problem === null) continue;
      smallest = { plan, result };
      found = true;
      break;
    }
  }
  return smallest;
}

/** Plans with a little less in them, the largest steps first. */
function* smallerThan(plan: Plan): Generator<Plan> {
  const { faults, clients } = plan;
  for (const half of halvesOf(faults)) yield { ...plan, faults: half };
  for (let i = 0; i < faults.length; i++) yield { ...plan, faults: faults.toSpliced(i, 1) };
  if (clients.length > 1) {
    for (let i = 0; i < clients.length; i++) yield { ...plan, clients: clients.toSpliced(i, 1) };
  }
  for (const [i, client] of clients.entries()) {
    for (const fewer of fewerOperations(client)) {
      yield { ...plan, clients: clients.with(i, fewer) };
    }
  }
  if (plan.lossShare > 0) yield { ...plan, lossShare: 0 };
}

function halvesOf<T>(items: readonly T[]): (readonly T[])[] {
  const middle = items.length >> 1;
  return items.length < 4 ? [] : [items.slice(middle), items.slice(0, middle)];
}

function fewerOperations(client: ClientPlan): ClientPlan[] {
  const { operations } = client;
  const counts = [operations >> 1, operations - 1].filter((count) => count >= 1);
  return counts.map((operations) => ({ ...client, operations }));
}
