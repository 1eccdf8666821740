import { assertEquals, assertRejects } from "@std/assert";
import { setImmediate } from "node:timers";
import type { Duplex } from "../../../lib/wire.ts";
import { Random } from "../../../tasks/random.ts";
import { SimulatedNetwork } from "../../../tasks/simulate/simulated_network.ts";
import { SimulatedTime } from "../../../tasks/simulate/simulated_time.ts";
import { Trace } from "../../../tasks/simulate/trace.ts";

/** A network with one listener, which notes what arrives as "connection: text". */
function setUp() {
  const time = new SimulatedTime();
  const random = new Random("test");
  const network = new SimulatedNetwork({ time, random, trace: new Trace(time), delayMsMax: 10 });
  const arrived: string[] = [];
  let connections = 0;
  const accept = async (duplex: Duplex) => {
    const name = ++connections;
    const bytes = new Uint8Array(100);
    for (let count; (count = await duplex.read(bytes)) !== null;) {
      arrived.push(`${name}: ${new TextDecoder().decode(bytes.subarray(0, count))}`);
    }
    arrived.push(`${name}: end`);
  };
  network.listen("n1", accept);
  return { time, network, arrived };
}

/** Lets so much time pass, with all that it sets off. */
async function pass(time: SimulatedTime, ms: number): Promise<void> {
  const endMs = time.nowMs + ms;
  do await new Promise<void>((resolve) => setImmediate(resolve)); while (time.step(endMs));
  time.advance(endMs - time.nowMs);
}

async function connect(time: SimulatedTime, network: SimulatedNetwork): Promise<Duplex> {
  const connecting = network.connect("router", "n1", new AbortController().signal);
  await pass(time, 20);
  return await connecting;
}

async function send(duplex: Duplex, text: string): Promise<void> {
  let bytes = new TextEncoder().encode(text);
  while (bytes.length > 0) bytes = bytes.subarray(await duplex.write(bytes));
}

/** What arrived on a connection, put together. */
function textOf(arrived: string[], connection: number): string {
  const own = arrived.filter((line) => line.startsWith(`${connection}: `));
  return own.map((line) => line.slice(3)).join("");
}

Deno.test("SimulatedNetwork delivers all in order, however it cuts the bytes", async () => {
  const { time, network, arrived } = setUp();
  const near = await connect(time, network);
  let expected = "";
  for (let i = 0; i < 50; i++) {
    await send(near, `piece ${i}, `);
    expected += `piece ${i}, `;
  }
  near.close();
  await pass(time, 100);
  assertEquals(textOf(arrived, 1), `${expected}end`);
});

Deno.test("SimulatedNetwork delivers held bytes after those of the next connection", async () => {
  const { time, network, arrived } = setUp();
  const first = await connect(time, network);
  await send(first, "early");
  const noticeMs = { near: 0, far: 600 };
  network.to("n1")[0].break({ onItsWay: { lateMs: 500 }, noticeMs });
  const second = await connect(time, network);
  await send(second, "late");
  await pass(time, 1000);
  assertEquals([textOf(arrived, 2), textOf(arrived, 1)], ["late", "earlyend"]);
  assertEquals(arrived[0].startsWith("2: "), true);
});

Deno.test("SimulatedNetwork loses what is on its way when cut, and says so late", async () => {
  const { time, network, arrived } = setUp();
  const near = await connect(time, network);
  await send(near, "lost");
  network.to("n1")[0].break({ onItsWay: "lost", noticeMs: { near: 300, far: 200 } });
  await send(near, "lost too");
  await pass(time, 199);
  assertEquals(arrived, []);
  await pass(time, 2);
  assertEquals(arrived, ["1: end"]);
  await pass(time, 100);
  await assertRejects(() => near.write(new Uint8Array(1)), Deno.errors.BrokenPipe);
});

Deno.test("SimulatedNetwork lets nobody through to a blocked address, for so long", async () => {
  const { time, network } = setUp();
  network.block("n1", 1000);
  let connected = false;
  const connecting = network.connect("router", "n1", new AbortController().signal);
  connecting.then(() => connected = true);
  await pass(time, 999);
  assertEquals(connected, false);
  await pass(time, 20);
  assertEquals(connected, true);
  network.unlisten("n1");
  const refused = assertRejects(
    () => network.connect("router", "n1", new AbortController().signal),
    Deno.errors.ConnectionRefused,
  );
  await pass(time, 20);
  await refused;
});
