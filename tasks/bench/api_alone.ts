/**
 * The row that explains those of one node: its HTTP API with no store behind it. What is missing
 * from 1 here is the price of routes, checks and headers; what a node has less than this is the
 * price of the store.
 *
 * @module
 */

import { freePorts } from "../free_config.ts";
import { baselineProgram, type BenchRun } from "./bench_run.ts";
import { problemOf, type RowResult } from "./rows.ts";
import { startServer } from "./server_process.ts";
import { CONNECTION_COUNTS, KEY_COUNT } from "./workload.ts";

/** Measures the API beside the bare server that the writes of a node stand beside. */
export async function measureApiAlone(
  run: BenchRun,
  onRow: (result: RowResult) => void,
): Promise<void> {
  const [port] = freePorts(1);
  await using _server = await startServer(baselineProgram("api", port), run.options.signal);
  for (const connections of CONNECTION_COUNTS) {
    const load = { method: "put", connections, keyCount: KEY_COUNT } as const;
    const comparison = await run.compareWithBare(load, () => run.load({ ...load, port }));
    const problem = problemOf(comparison.failures);
    onRow({
      id: "api-alone",
      title: "PUT, HTTP API, no store",
      connections,
      ...comparison,
      problem,
    });
  }
}
