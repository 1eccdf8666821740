/**
 * A node as a server: its HTTP API and its link port. Here the node, opened on the real disk, gets
 * the real network; only the thread that takes its snapshots has a disk, a timer and randomness of
 * its own (`snapshot_thread.ts`, `snapshot_worker.ts`).
 *
 * @module
 */
import { createHandler } from "../lib/api.ts";
import { AcceptFailures } from "../lib/accept_failures.ts";
import { systemClock } from "../lib/clock.ts";
import { formatAddress } from "../lib/address.ts";
import type { NodeConfig } from "../lib/config.ts";
import { HttpServer } from "../lib/http_server.ts";
import { defaultMemoryBytes, storeBytesMax } from "./admission.ts";
import type { ShardNumber } from "./log/data_directory.ts";
import { LinkServer } from "./link_server.ts";
import { openRealNode } from "./open_real_node.ts";
import { snapshotInThread } from "./snapshot/snapshot_thread.ts";

/** A node that serves. */
export interface RunningNode {
  readonly httpPort: number;
  readonly linkPort: number;
  /** As they were at its start; the bytes are those of the log that hold records. */
  readonly keys: number;
  readonly logBytes: number;
  readonly lastIndex: number;
  /** Rejects when the log has failed: nothing can be written any more. Never resolves. */
  readonly failed: Promise<never>;
  /** Takes no more requests, makes durable and answers what was accepted, and closes all. */
  close(): Promise<void>;
}

export interface StartNodeOptions {
  /** Which one of the cluster the node is. Default: whichever its directory holds. */
  readonly shard?: ShardNumber;
  /** Whether its data must be there: it is not started without. Default: no. */
  readonly mustExist?: boolean;
  /** Bytes that store and sessions may take. Default: 3/4 of the heap limit of V8. */
  readonly memoryBytes?: number;
}

/**
 * Opens the data directory, replays the log, and serves.
 *
 * @throws {DamageError} The data is not what was written.
 * @throws {WrongDirectoryError} The data is another node's, or of another shard.
 * @throws {Deno.errors.AddrInUse} A port is taken.
 * @throws {Error} The directory is locked by another process, or cannot be used.
 */
export async function startNode(
  config: NodeConfig,
  options: StartNodeOptions = {},
): Promise<RunningNode> {
  await using resources = new AsyncDisposableStack();
  const { node, log } = resources.use(
    await openRealNode({
      directory: config.data,
      nodeId: config.id,
      shard: options.shard,
      mustExist: options.mustExist,
      storeBytesMax: storeBytesMax(options.memoryBytes ?? defaultMemoryBytes()),
      snapshots: { take: snapshotInThread(config.data) },
    }),
  );

  // Closed at the same time, since each may have to wait for its peers.
  const servers: { close(): Promise<void> }[] = [];
  resources.defer(async () => {
    await Promise.all(servers.map((server) => server.close()));
  });
  const links = serveLinks(config, new LinkServer(node, config.id, systemClock));
  servers.push(links);
  const { host: hostname, port } = config;
  const server = new HttpServer(
    { hostname, port, report: console.error },
    createHandler(node, systemClock),
  );
  servers.push(server);

  const owned = resources.move();
  return {
    httpPort: server.port,
    linkPort: links.port,
    keys: node.keys,
    logBytes: log.bytes,
    lastIndex: node.lastIndex,
    failed: node.failed,
    close: () => owned.disposeAsync(),
  };
}

/** Accepts links until it is closed; closing drains them. */
function serveLinks(
  config: NodeConfig,
  links: LinkServer,
): { port: number; close: () => Promise<void> } {
  const listener = Deno.listen({ hostname: config.host, port: config.linkPort });
  const { port } = listener.addr;
  const address = formatAddress(config.host, port);
  const failures = new AcceptFailures({ address, clock: systemClock, report: console.error });
  const serving = new Set<Promise<void>>();
  const accepting = acceptEach(listener, failures, (connection) => {
    connection.setNoDelay(true);
    connection.setKeepAlive(true); // a router whose machine is gone gives up its place
    const served = links.serve(connection).finally(() => serving.delete(served));
    serving.add(served);
  });
  return {
    port,
    async close() {
      listener.close();
      await links.drain();
      await Promise.all([accepting, ...serving]);
    },
  };
}

/**
 * Hands each connection to `serve`, until the listener is closed. A connection that cannot be
 * served, such as one that was reset in the meantime, is closed, and the next one follows at once.
 */
export async function acceptEach<Connection extends { close(): void }>(
  listener: { accept(): Promise<Connection> },
  failures: AcceptFailures,
  serve: (connection: Connection) => void,
): Promise<void> {
  for (;;) {
    let connection: Connection;
    try {
      connection = await listener.accept();
    } catch (error) {
      if (error instanceof Deno.errors.BadResource) return; // closed
      await failures.pause(error);
      continue;
    }
    try {
      serve(connection);
    } catch {
      connection.close();
    }
  }
}
