/**
 * Nodes and a router in this process, without sockets or files: the real ones, on simulated disks
 * and pipes.
 *
 * @module
 */
import { type Clock, systemClock } from "../lib/clock.ts";
import { FileLog } from "../node/log/file_log.ts";
import { LinkServer } from "../node/link_server.ts";
import { Node } from "../node/node.ts";
import { Replay } from "../node/replay.ts";
import { Link } from "../router/link.ts";
import { Router } from "../router/router.ts";
import { SimulatedDisk } from "../tasks/simulate/simulated_disk.ts";
import { pipe } from "../tasks/simulate/pipe.ts";

/** A node on a disk of its own, with its link server. */
export class MemoryNode {
  readonly id: string;
  disk = new SimulatedDisk();
  node!: Node;
  links!: LinkServer;
  #running = false;
  readonly #clock: Clock;
  #served: Promise<void>[] = [];

  constructor(id: string, clock: Clock = systemClock) {
    this.id = id;
    this.#clock = clock;
  }

  async start(
    { storeBytesMax, fillBytes = 64 * 1024 }: { storeBytesMax?: number; fillBytes?: number } = {},
  ): Promise<this> {
    const replay = new Replay({ hashKey: [3, 4] });
    const log = await FileLog.open({
      disk: this.disk,
      directory: this.id,
      nodeId: this.id,
      randomId: () => crypto.getRandomValues(new Uint8Array(16)),
      existing: false,
      report: () => {},
      fillBytes,
    }, replay);
    this.node = new Node({ log, clock: this.#clock, storeBytesMax }, replay);
    this.links = new LinkServer(this.node, this.id, this.#clock);
    this.#running = true;
    return this;
  }

  /** A connection to its link port. */
  connect = (): Promise<ReturnType<typeof pipe>[0]> => {
    if (!this.#running) return Promise.reject(new Deno.errors.ConnectionRefused("Nobody listens"));
    const [near, far] = pipe();
    this.#served.push(this.links.serve(far));
    return Promise.resolve(near);
  };

  async stop(): Promise<void> {
    this.#running = false;
    await this.links.drain();
    await Promise.all(this.#served.splice(0));
  }
}

/** A router in front of `count` nodes. */
export async function startMemoryCluster(count: number, clock: Clock = systemClock) {
  const nodes = await Promise.all(
    Array.from({ length: count }, (_, i) => new MemoryNode(`n${i + 1}`, clock).start()),
  );
  const links = nodes.map((node) => linkTo(node, clock));
  const router = new Router(links);
  return {
    nodes,
    links,
    router,
    async [Symbol.asyncDispose]() {
      await router.close();
      await Promise.all(nodes.map((node) => node.stop()));
    },
  };
}

/** A link to `node`, opened. */
export function linkTo(node: MemoryNode, clock: Clock = systemClock): Link {
  return new Link({
    nodeId: node.id,
    address: `memory:${node.id}`,
    connect: node.connect,
    clock,
    random: () => 0.5,
  });
}
