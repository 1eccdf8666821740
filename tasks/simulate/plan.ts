/**
 * What is going to happen in a run, drawn from its seed before it begins: so that a part of it can
 * be left out and the rest stays as it is.
 *
 * @module
 */
import { Random } from "../random.ts";
import type { DiskFaultKind } from "./disk_faults.ts";
import type { CrashMode, NodePlan } from "./simulated_node.ts";

/** How a client reaches the store. */
export type Route = "router" | "router's HTTP" | "node" | "node's HTTP";

/** One client, and what it does. */
export interface ClientPlan {
  readonly name: string;
  /** Reads and writes, not counting what is sent again. */
  readonly operations: number;
  /** How many of them are under way at once. */
  readonly inFlight: number;
  readonly routes: readonly Route[];
  /** Pause after each operation at most, in milliseconds. */
  readonly pauseMsMax: number;
  readonly readShare: number;
  readonly deleteShare: number;
  /** Values are padded to so many bytes at most. */
  readonly valueBytesMax: number;
  /** Steps between two sequence numbers; one of them is drawn each time. */
  readonly seqSteps: readonly number[];
}

/** One thing that goes wrong. */
export type Fault =
  & { readonly atMs: number; readonly node: number }
  & (
    | { readonly kind: "crash"; readonly mode: CrashMode; readonly downMs: number }
    | {
      readonly kind: "flip bits";
      readonly mode: CrashMode;
      readonly downMs: number;
      readonly bits: number;
    }
    | { readonly kind: "disk call"; readonly fault: DiskFaultKind; readonly calls: number }
    | { readonly kind: "disk full"; readonly freeBytes: number; readonly ms: number }
    | { readonly kind: "slow disk"; readonly syncMs: number; readonly ms: number }
    | { readonly kind: "cut link"; readonly nearMs: number; readonly farMs: number }
    | { readonly kind: "hold link"; readonly lateMs: number; readonly nearMs: number }
    | { readonly kind: "stall link"; readonly ms: number }
    | { readonly kind: "cut off node"; readonly ms: number }
    | { readonly kind: "crash router"; readonly downMs: number }
    | { readonly kind: "restart router" }
    | { readonly kind: "set clock"; readonly ms: number }
  );

/** A run, as its seed has it or with parts left out. */
export interface Plan extends NodePlan {
  readonly seed: number;
  readonly nodes: number;
  readonly keys: number;
  /** Bytes on the network travel so long at most. */
  readonly delayMsMax: number;
  /** Share of requests, and of answers, that get lost between a client and the store. */
  readonly lossShare: number;
  /** How long things go wrong; afterwards nothing does. */
  readonly troubleMs: number;
  readonly clients: readonly ClientPlan[];
  readonly faults: readonly Fault[];
}

const OFTEN: readonly DiskFaultKind[] = [
  "torn sync",
  "torn sync",
  "failed sync",
  "EIO",
  "ENOSPC",
  "ENOSPC in place",
  "ENOSPC in place",
  "short write",
];
const DAY_MS = 86_400_000;

/** The run of a seed. */
export function planOf(seed: number): Plan {
  const random = new Random(`seed ${seed}`);
  const nodes = random.pick([1, 1, 2, 3]);
  const troubleMs = random.integer(1000, 5000);
  const draw = <T>(max: number, make: (random: Random, i: number) => T) =>
    Array.from({ length: random.integer(1, max) }, (_, i) => make(random, i));
  return {
    seed,
    nodes,
    keys: random.integer(1, 6),
    segmentBytes: random.pick([3072, 8192, 16_384, 32_768]),
    fillBytes: random.pick([512, 4096, 16_384]),
    snapshotGrowthBytesMin: random.pick([2048, 8192, 20_000]),
    syncMsMax: random.pick([1, 5, 50]),
    storeBytesMax: random.fork("memory").pick([Infinity, Infinity, Infinity, 42_000]),
    delayMsMax: random.pick([0.5, 2, 20]),
    lossShare: random.pick([0, 0, 0.02, 0.1]),
    troubleMs,
    clients: draw(5, (random, i) => clientPlan(random, `c${i + 1}`, troubleMs)),
    faults: draw(18, (random) => planFault(random, nodes, troubleMs)).sort((a, b) =>
      a.atMs - b.atMs
    ),
  };
}

function clientPlan(random: Random, name: string, troubleMs: number): ClientPlan {
  const operations = random.integer(5, 60);
  const inFlight = random.pick([1, 2, 4, 8]);
  const routes: Route[] = random.pick<Route[]>([
    ["router"],
    ["router", "router", "router's HTTP"],
    ["router", "node"],
    ["router", "router's HTTP", "node", "node's HTTP"],
  ]);
  return {
    name,
    operations,
    inFlight,
    routes,
    pauseMsMax: random.fraction() * 3 * inFlight * troubleMs / operations,
    readShare: random.pick([0.1, 0.4, 0.6]),
    deleteShare: random.pick([0, 0.1, 0.3]),
    valueBytesMax: random.pick([10, 1000, 2000, 5000]),
    seqSteps: random.chance(0.15) ? [1, 1, 2, 500, 1023, 1024] : [1],
  };
}

function planFault(random: Random, nodes: number, troubleMs: number): Fault {
  const place = {
    atMs: random.integer(0, troubleMs),
    node: random.integer(0, nodes - 1),
  };
  const mode = random.pick<CrashMode>(["killed", "dropped", "torn"]);
  const downMs = random.pick([1, 50, 500]) * random.integer(1, 3);
  const ms = random.integer(1, 2000);
  const strikeCall = (): Fault => ({
    ...place,
    kind: "disk call",
    fault: random.pick<DiskFaultKind>([mode, ...OFTEN]),
    calls: random.integer(1, 12),
  });
  return random.pick<() => Fault>([
    () => ({ ...place, kind: "crash", mode, downMs }),
    () => ({ ...place, kind: "crash", mode, downMs }),
    () => ({ ...place, kind: "flip bits", mode, downMs, bits: random.pick([1, 1, 2, 8]) }),
    strikeCall,
    strikeCall,
    strikeCall,
    strikeCall,
    () => ({ ...place, kind: "disk full", freeBytes: random.integer(0, 6000), ms }),
    () => ({ ...place, kind: "slow disk", syncMs: random.pick([20, 200, 1000]), ms }),
    () => ({
      ...place,
      kind: "cut link",
      nearMs: random.pick([0, 10, ms]),
      farMs: random.pick([0, 10, ms]),
    }),
    () => ({ ...place, kind: "hold link", lateMs: ms, nearMs: random.integer(0, 20) }),
    () => ({ ...place, kind: "stall link", ms }),
    () => ({ ...place, kind: "cut off node", ms }),
    () => ({ ...place, kind: "crash router", downMs }),
    () => ({ ...place, kind: "restart router" }),
    () => ({ ...place, kind: "set clock", ms: random.pick([-DAY_MS, -1000, 1000, DAY_MS]) }),
  ])();
}

/** A fault in a line. */
export function formatFault({ kind, atMs, node, ...details }: Fault): string {
  const rest = Object.entries(details).map(([name, value]) => `${name} ${value}`).join(", ");
  return `at ${atMs} ms: ${kind}, node n${node + 1}${rest === "" ? "" : `, ${rest}`}`;
}
