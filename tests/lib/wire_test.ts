import { setImmediate } from "node:timers";
import { assert, assertEquals, assertRejects } from "@std/assert";
import { systemClock } from "../../lib/clock.ts";
import { LINK_BACKLOG_BYTES_MAX, LINK_FRAME_BYTES_MAX } from "../../lib/limits.ts";
import { type Duplex, Wire } from "../../lib/wire.ts";
import { pipe } from "../../tasks/simulate/pipe.ts";
import { until } from "../until.ts";

/** Reads all frames that arrive, as "type id text". */
function readAll(wire: Wire): { frames: string[]; ended: Promise<void> } {
  const frames: string[] = [];
  const ended = wire.read((frame) => {
    const { type, id } = frame;
    const text = frame.text();
    frames.push(`${type} ${id} ${text.length > 20 ? text.length : text}`);
  });
  return { frames, ended };
}

function send(wire: Wire, type: number, id: number, text: string): void {
  wire.beginFrame(type, id).text(text);
  wire.endFrame();
}

Deno.test("Wire carries frames of any size, in pieces of any size", async () => {
  for (const pieceBytes of [1, 3, 1000, Infinity]) {
    const [here, there] = pipe({ pieceBytes });
    const sender = new Wire(here, systemClock);
    const { frames, ended } = readAll(new Wire(there, systemClock));
    const sizes = pieceBytes < 10 ? [0, 1, 300] : [0, 1, 70_000, 300_000, 5];
    for (const [i, size] of sizes.entries()) send(sender, i + 1, 0xfffffff0 + i, "x".repeat(size));
    await sender.flush();
    sender.close();
    await ended;
    const expected = sizes.map((size, i) => {
      return `${i + 1} ${0xfffffff0 + i} ${size > 20 ? size : "x".repeat(size)}`;
    });
    assertEquals(frames, expected, `pieces of ${pieceBytes}`);
  }
});

Deno.test("Wire sends what comes within one turn in one write", async () => {
  const [here, there] = pipe();
  let writes = 0;
  const counted: Duplex = {
    read: (bytes) => here.read(bytes),
    write(bytes) {
      writes++;
      return here.write(bytes);
    },
    close: () => here.close(),
  };
  const sender = new Wire(counted, systemClock);
  const { frames, ended } = readAll(new Wire(there, systemClock));
  for (let i = 0; i < 50; i++) send(sender, 1, i, "frame");
  await sender.flush();
  assertEquals(writes, 1);
  sender.close();
  await ended;
  assertEquals(frames.length, 50);
});

Deno.test("Wire refuses a frame that is too long or too short, and reads none of it", async () => {
  for (const length of [0, 4, LINK_FRAME_BYTES_MAX + 1, 0xffffffff]) {
    const [here, there] = pipe();
    const header = new Uint8Array(9);
    new DataView(header.buffer).setUint32(0, length, true);
    await here.write(header);
    const { frames, ended } = readAll(new Wire(there, systemClock));
    await assertRejects(() => ended, RangeError, `Frame has ${length} bytes`);
    assertEquals(frames, []);
    here.close();
  }
});

Deno.test("Wire takes the longest frame there may be", async () => {
  const [here, there] = pipe();
  const sender = new Wire(here, systemClock);
  const { frames, ended } = readAll(new Wire(there, systemClock));
  send(sender, 1, 1, "x".repeat(LINK_FRAME_BYTES_MAX - 5));
  await sender.flush();
  sender.close();
  await ended;
  assertEquals(frames, [`1 1 ${LINK_FRAME_BYTES_MAX - 5}`]);
});

Deno.test("Wire drops a frame that the connection cut off", async () => {
  const [here, there] = pipe();
  await here.write(new Uint8Array([20, 0, 0, 0, 1, 0, 0, 0, 1, 65]));
  here.close();
  const { frames, ended } = readAll(new Wire(there, systemClock));
  await ended;
  assertEquals(frames, []);
});

for (const how of ["one by one", "in one piece"]) {
  Deno.test(`Wire takes no more requests, sent ${how}, while its replies wait`, async () => {
    await assertBacklogBounded(how === "in one piece");
  });
}

async function assertBacklogBounded(inOnePiece: boolean): Promise<void> {
  const [here, there] = pipe();
  let release = () => {};
  const taken = new Promise<void>((resolve) => release = resolve);
  const stuck: Duplex = {
    read: (bytes) => there.read(bytes),
    write: (bytes) => taken.then(() => bytes.length),
    close: () => there.close(),
  };
  const wire = new Wire(stuck, systemClock);
  const asker = new Wire(here, systemClock);
  const megabyte = "x".repeat(1_000_000);
  let answered = 0;
  const reading = wire.read(({ id }) => {
    answered++;
    send(wire, 2, id, megabyte);
  });
  const asked = 40;
  for (let id = 0; id < asked; id++) {
    send(asker, 1, id, "?");
    if (!inOnePiece) await asker.flush();
  }
  await asker.flush();
  await until(() => wire.backlog > LINK_BACKLOG_BYTES_MAX, "replies wait");
  for (let turn = 0; turn < 50; turn++) await turnEnd();
  const backlogMax = LINK_BACKLOG_BYTES_MAX + 64 * 1024 + megabyte.length;
  assert(wire.backlog < backlogMax, `backlog ${wire.backlog} after ${answered} answers`);
  release();
  await until(() => answered === asked, "all are answered");
  asker.close();
  await reading;
  wire.close();
}

Deno.test("Wire without a bound takes replies while what it has sent waits", async () => {
  const [here, there] = pipe();
  const taken = Promise.withResolvers<void>();
  const stuck: Duplex = {
    read: (bytes) => there.read(bytes),
    write: (bytes) => taken.promise.then(() => bytes.length),
    close: () => there.close(),
  };
  const wire = new Wire(stuck, systemClock, { backlogBytesMax: Infinity });
  const { frames, ended } = readAll(wire);
  while (wire.backlog <= 2 * LINK_BACKLOG_BYTES_MAX) send(wire, 1, 1, "x".repeat(1_000_000));
  const peer = new Wire(here, systemClock);
  for (const id of [1, 2]) {
    send(peer, 2, id, "reply");
    await until(() => frames.length === id, "the reply is taken");
  }
  taken.resolve();
  peer.close();
  await ended;
  wire.close();
});

function turnEnd(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

Deno.test("Wire goes on after a write that took along what the next one was for", async () => {
  const [here, there] = pipe();
  let release = () => {};
  let held: Promise<void> | undefined = new Promise((resolve) => release = resolve);
  const full: Duplex = {
    read: (bytes) => here.read(bytes),
    async write(bytes) {
      if (held) await held;
      held = undefined;
      return here.write(bytes);
    },
    close: () => here.close(),
  };
  const sender = new Wire(full, systemClock);
  const { frames, ended } = readAll(new Wire(there, systemClock));
  send(sender, 1, 1, "first");
  await until(() => sender.backlog > 0, "the first write begins");
  await new Promise<void>((resolve) => setImmediate(resolve));
  send(sender, 1, 2, "second"); // schedules a write, but the one under way takes it along
  release();
  await until(() => frames.length === 2, "two frames arrive");
  send(sender, 1, 3, "third");
  await until(() => frames.length === 3, "the third frame arrives");
  sender.close();
  await ended;
});
