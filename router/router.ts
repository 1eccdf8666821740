/**
 * The router: its users see one store, and behind it are only the links to the nodes. It has no
 * state that a restart could lose.
 *
 * @module
 */
import { type Command, type Result, type Service, UnavailableError } from "../lib/key_value.ts";
import type { Link } from "./link.ts";
import { assignSlots, slotOf } from "./slots.ts";

/** What the router tells about a node. */
export interface NodeHealth {
  readonly id: string;
  readonly addr: string;
  readonly up: boolean;
  /** `null` while the node is down. */
  readonly lastIndex: number | null;
}

/** Forwards each request to the owner of its key. */
export class Router implements Service {
  readonly #links: readonly Link[];
  readonly #owners: Uint16Array;

  /** `links` in the order of the cluster's nodes. */
  constructor(links: readonly Link[]) {
    this.#links = links;
    this.#owners = assignSlots(links.length);
  }

  get(key: string): Promise<string | null> {
    return this.#owner(key).get(key);
  }

  write(command: Command): Promise<Result> {
    return this.#owner(command.key).write(command);
  }

  #owner(key: string): Link {
    return this.#links[this.#owners[slotOf(key)]];
  }

  async health(): Promise<{ status: "ok" | "degraded"; nodes: NodeHealth[] }> {
    const nodes = await Promise.all(this.#links.map(healthOf));
    return { status: nodes.every((node) => node.up) ? "ok" : "degraded", nodes };
  }

  async metrics(): Promise<unknown> {
    return await Promise.all(this.#links.map(metricsOf));
  }

  /** From now on no request waits for a node that is down. */
  drain(): void {
    for (const link of this.#links) link.drain();
  }

  /** Gives up the requests that wait for a node, and closes all links. */
  async close(): Promise<void> {
    await Promise.all(this.#links.map((link) => link.close()));
  }
}

async function healthOf(link: Link): Promise<NodeHealth> {
  const { nodeId: id, address: addr } = link;
  try {
    const { lastIndex } = await link.health() as { lastIndex: number };
    return { id, addr, up: true, lastIndex };
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
    return { id, addr, up: false, lastIndex: null };
  }
}

async function metricsOf(link: Link): Promise<unknown> {
  const { nodeId: id, address: addr } = link;
  try {
    return { id, addr, up: true, metrics: await link.metrics() };
  } catch (error) {
    if (!(error instanceof UnavailableError)) throw error;
    return { id, addr, up: false };
  }
}
