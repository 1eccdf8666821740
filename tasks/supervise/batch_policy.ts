/**
 * How the system's scheduler treats the nodes of a cluster.
 *
 * Seven processes on a few processors wake each other up all the time: a node for each handful of
 * writes, to work for a tenth of a millisecond. By default Linux lets who wakes up push aside who
 * is running, so the router is interrupted again and again and starts over with cold caches.
 *
 * @module
 */

/**
 * Puts all threads of a process, and those they start later, under the batch policy of Linux
 * (SCHED_BATCH in `sched(7)`): its share of the processors stays the same, but when it wakes up it
 * waits for one to be free, or for its turn. With processors to spare this changes nothing.
 *
 * Resolves when that is done, or cannot be done: on another system, without the `chrt` of
 * util-linux, or where it is not allowed. Then the process runs all the same, a little slower.
 */
export async function useBatchPolicy(pid: number): Promise<void> {
  if (Deno.build.os !== "linux") return;
  const args = ["--batch", "--all-tasks", "--pid", "0", `${pid}`];
  try {
    await new Deno.Command("chrt", { args }).output();
  } catch {
    // There is no `chrt`, or this program may not run it.
  }
}
