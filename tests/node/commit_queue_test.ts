import { setImmediate } from "node:timers";
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { CommandCursor } from "../../lib/command_codec.ts";
import { encodeCommand } from "../../lib/command_codec.ts";
import {
  CommandKind,
  InsufficientStorageError,
  Outcome,
  type Result,
  UnavailableError,
} from "../../lib/key_value.ts";
import {
  ANSWER_BYTES_PER_TURN,
  COMMAND_BYTES_MAX,
  DISK_RETRY_MS,
  KEY_BYTES_MAX,
  SESSION_WINDOW,
  WAITING_WRITES_MAX,
} from "../../lib/limits.ts";
import { batchTime } from "../../node/batch.ts";
import { CommitQueue } from "../../node/commit_queue.ts";
import { type Log, LogRefusal } from "../../node/log/log.ts";
import { encoded } from "../encoded_result.ts";
import { ManualClock } from "../manual_clock.ts";
import { noSpace, SimulatedDisk } from "../../tasks/simulate/simulated_disk.ts";
import { openSmallNode } from "./small_node.ts";

/** A log that is durable when the test says so. */
class HeldLog implements Log {
  lastIndex = 0;
  readonly bytes = 0;
  readonly bytesAppended = 0;
  readonly syncs = 0;
  readonly segments = 1;
  readonly snapshot = null;
  /** Count of records in each batch that was appended, and its time. */
  readonly batches: number[] = [];
  readonly times: number[] = [];
  #settle: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  #appended: (() => void)[] = [];

  append(body: Uint8Array, count: number): Promise<void> {
    this.batches.push(count);
    this.times.push(batchTime(body));
    for (const resolve of this.#appended.splice(0)) resolve();
    return new Promise<void>((resolve, reject) => this.#settle.push({ resolve, reject })).then(
      () => {
        this.lastIndex += count;
      },
    );
  }

  /** Resolves at the next append. */
  nextAppend(): Promise<void> {
    return new Promise((resolve) => this.#appended.push(resolve));
  }

  makeDurable(): void {
    this.#settle.shift()!.resolve();
  }

  fail(error: Error): void {
    this.#settle.shift()!.reject(error);
  }

  cut(): Promise<number> {
    return Promise.resolve(this.lastIndex);
  }

  drop(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {}
}

const LARGE_VALUE = "v".repeat(ANSWER_BYTES_PER_TURN / 8);

function setUp() {
  const log = new HeldLog();
  const clock = new ManualClock();
  const applied: number[] = [];
  /** Writes with these numbers have large answers. */
  const large = new Set<number>();
  /** Applying this one throws. */
  const broken = { seq: 0 };
  const apply = (command: CommandCursor, index: number) => {
    if (command.seq === broken.seq) throw new Error("Broken invariant");
    applied.push(command.seq);
    const prevValue = large.has(command.seq) ? LARGE_VALUE : "";
    return encoded({ outcome: Outcome.applied, logIndex: index, prevValue });
  };
  const recall = ({ seq }: CommandCursor) =>
    applied.includes(seq)
      ? encoded({ outcome: Outcome.duplicate, logIndex: 7, prevValue: "" })
      : null;
  /** Writes with these numbers find no room. */
  const growing = new Set<number>();
  const full = new InsufficientStorageError("Memory is full");
  const admission = {
    beginBatch: () => growing.size === 0,
    admit: ({ seq }: CommandCursor) => growing.has(seq) ? full : null,
  };
  const queue = new CommitQueue({
    log,
    clock,
    startTime: 1000,
    admission,
    apply,
    recall,
    betweenBatches: () => {},
  });
  const write = (seq: number, key = "k") =>
    new Promise<Result>((resolve, reject) => {
      const command = { kind: CommandKind.put, client: "c", seq, key, value: "v" };
      queue.submit(
        (bytes) => encodeCommand(bytes, command),
        (result, error) => result === null ? reject(error) : resolve(result.decode()),
      );
    });
  return { log, clock, queue, applied, broken, growing, large, write };
}

Deno.test("CommitQueue applies nothing before it is durable", async () => {
  const { log, applied, write } = setUp();
  const appended = log.nextAppend();
  const written = write(1);
  await appended;
  assertEquals(applied, []);
  log.makeDurable();
  assertEquals((await written).logIndex, 1);
  assertEquals(applied, [1]);
});

Deno.test("CommitQueue writes together what arrives in a turn or waits for the disk", async () => {
  const { log, applied, write } = setUp();
  let appended = log.nextAppend();
  const first = [write(1), write(2), write(3)];
  await appended;
  const second = [write(4), write(5)];
  appended = log.nextAppend();
  log.makeDurable();
  await Promise.all(first);
  await appended;
  log.makeDurable();
  await Promise.all(second);
  assertEquals(log.batches, [3, 2]);
  assertEquals(applied, [1, 2, 3, 4, 5]);
});

Deno.test("CommitQueue gives each write its own index, in the order of arrival", async () => {
  const { log, write } = setUp();
  const appended = log.nextAppend();
  const writes = [write(7), write(5), write(6)];
  await appended;
  log.makeDurable();
  assertEquals((await Promise.all(writes)).map((result) => result.logIndex), [1, 2, 3]);
});

Deno.test("CommitQueue records times that never run backwards", async () => {
  const { log, clock, write } = setUp();
  for (const [advance, expected] of [[500, 1000], [1500, 2000], [-1000, 2000]]) {
    clock.advance(advance);
    const appended = log.nextAppend();
    const written = write(1);
    await appended;
    log.makeDurable();
    await written;
    assertEquals(log.times.at(-1), expected);
  }
});

Deno.test("CommitQueue acknowledges nothing after the log has failed", async () => {
  const { log, queue, applied, write } = setUp();
  const appended = log.nextAppend();
  const waiting = write(1);
  await appended;
  const gathering = write(2);
  log.fail(new Error("I/O error"));
  await assertRejects(() => waiting, UnavailableError, "log failed");
  await assertRejects(() => gathering, UnavailableError, "log failed");
  await assertRejects(() => write(3), UnavailableError, "log failed");
  await assertRejects(() => queue.failed, Error, "I/O error");
  assertEquals([applied, log.batches], [[], [1]]);
});

Deno.test("CommitQueue tells a writer why the log has refused a write", async () => {
  const refusals = [
    ["disk full", InsufficientStorageError, "Disk is full (the reason): the write was not applied"],
    ["too many files", UnavailableError, "Too many files are open (the reason): the write was not"],
    ["half written", UnavailableError, "whether this write will be applied is unknown"],
  ] as const;
  for (const [reason, kind, message] of refusals) {
    const { log, write } = setUp();
    const appended = log.nextAppend();
    const refused = write(1);
    await appended;
    log.fail(new LogRefusal(reason, "the reason"));
    await assertRejects(() => refused, kind, message);
  }
});

Deno.test("CommitQueue answers what a full disk refuses, and asks it again later", async () => {
  const { log, clock, queue, applied, write } = setUp();
  const full = () => log.fail(new LogRefusal("disk full", "No space left"));
  let appended = log.nextAppend();
  const refused = [write(1), write(2)];
  await appended;
  appended = log.nextAppend();
  const gathered = write(3);
  full();
  for (const one of refused) await assertRejects(() => one, InsufficientStorageError, "is full");
  // Before the time is over, the disk is left alone.
  await assertRejects(() => gathered, InsufficientStorageError, "Disk is full");
  await assertRejects(() => write(4), InsufficientStorageError, "Disk is full");
  assertEquals([log.batches, applied, queue.diskFull], [[2], [], 4]);
  clock.advance(DISK_RETRY_MS);
  const written = write(4);
  await appended;
  log.makeDurable();
  assertEquals((await written).outcome, Outcome.applied);
  appended = log.nextAppend();
  const next = write(5);
  await appended; // at once again
  log.makeDurable();
  assertEquals((await next).outcome, Outcome.applied);
  assertEquals([log.batches, applied], [[2, 1, 1], [4, 5]]);
});

Deno.test("CommitQueue lets large answers leave before it makes more", async () => {
  const { log, large, write } = setUp();
  for (let seq = 1; seq <= 40; seq++) large.add(seq);
  const appended = log.nextAppend();
  let answered = 0;
  const writes = Array.from({ length: 40 }, (_, i) => write(i + 1).then(() => answered++));
  await appended;
  log.makeDurable();
  const answeredPerTurn = [];
  for (let before = 0; before < 40; before = answered) {
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (answered > before) answeredPerTurn.push(answered - before);
  }
  assertEquals(answeredPerTurn, [8, 8, 8, 8, 8]);
  await Promise.all(writes);
});

/** How many writes are applied in each turn of the event loop. */
async function appliedPerTurn(
  { log, applied, write }: ReturnType<typeof setUp>,
  count: number,
  key?: string,
): Promise<number[]> {
  const appended = log.nextAppend();
  const writes = Array.from({ length: count }, (_, i) => write(i + 1, key));
  await appended;
  log.makeDurable();
  const perTurn = [];
  for (let before = 0; before < count; before = applied.length) {
    await new Promise<void>((resolve) => setImmediate(resolve));
    if (applied.length > before) perTurn.push(applied.length - before);
  }
  await Promise.all(writes);
  return perTurn;
}

Deno.test("CommitQueue applies a batch in turns if it is much work", async () => {
  assertEquals(await appliedPerTurn(setUp(), 256), [256]);
  // Each has 23 bytes and counts as 2 KiB more.
  assertEquals(await appliedPerTurn(setUp(), 1300), [507, 507, 286]);
  const key = "k".repeat(KEY_BYTES_MAX);
  assertEquals(await appliedPerTurn(setUp(), 40, key), [16, 16, 8]);
});

Deno.test("CommitQueue lets nothing into the log that a replay would refuse", async () => {
  const { log, queue, write } = setUp();
  const appended = log.nextAppend();
  const good = [write(1)];
  const command = { kind: CommandKind.put, client: "c", seq: 2, key: "k", value: "v" };
  const wrong = {
    "value too large": { ...command, value: "v".repeat(COMMAND_BYTES_MAX) },
    "key too large": { ...command, key: "k".repeat(KEY_BYTES_MAX + 1) },
    "key empty": { ...command, key: "" },
    "client too large": { ...command, client: "c".repeat(256) },
    "client far too large": { ...command, client: "c".repeat(0x1_0001) },
    "seq 0": { ...command, seq: 0 },
    "delete with a value": { ...command, kind: CommandKind.delete },
  };
  const refused = () => {
    throw new Error("It was thrown already");
  };
  for (const [what, command] of Object.entries(wrong)) {
    const submit = () => queue.submit((bytes) => encodeCommand(bytes, command), refused);
    assertThrows(submit, RangeError, "Command", what);
  }
  const none = () => queue.submit(() => {}, refused);
  assertThrows(none, RangeError, "Command has 0 bytes");
  const two = () =>
    queue.submit((bytes) => {
      encodeCommand(bytes, command);
      encodeCommand(bytes, command);
    }, refused);
  assertThrows(two, RangeError, "Command has 23 bytes, expected 46");
  good.push(write(2));
  await appended;
  log.makeDurable();
  assertEquals((await Promise.all(good)).map(({ logIndex }) => logIndex), [1, 2]);
  assertEquals(log.batches, [2]);
});

Deno.test("CommitQueue answers each write once, even if applying one of them fails", async () => {
  const { log, queue, broken } = setUp();
  broken.seq = 3;
  const answers: Record<number, string[]> = { 1: [], 2: [], 3: [], 4: [], 5: [] };
  const appended = log.nextAppend();
  const submit = (seq: number) => {
    const command = { kind: CommandKind.put, client: "c", seq, key: "k", value: "v" };
    queue.submit((bytes) => encodeCommand(bytes, command), (result, error) => {
      answers[seq].push(result === null ? (error as Error).name : "result");
    });
  };
  for (const seq of [1, 2, 3, 4]) submit(seq);
  await appended;
  submit(5);
  log.makeDurable();
  await assertRejects(() => queue.failed, Error, "Broken invariant");
  const unavailable = ["UnavailableError"];
  assertEquals(answers, {
    1: ["result"],
    2: ["result"],
    3: unavailable,
    4: unavailable,
    5: unavailable,
  });
});

Deno.test("CommitQueue leaves out what is not admitted, and keeps the rest in order", async () => {
  const { log, applied, growing, write } = setUp();
  for (const seq of [2, 3, 6]) growing.add(seq);
  const appended = log.nextAppend();
  const writes = [1, 2, 3, 4, 5, 6].map((seq) => write(seq));
  const settled = Promise.allSettled(writes);
  await appended;
  log.makeDurable();
  const answers = (await settled).map((one) => one.status === "fulfilled" && one.value.logIndex);
  assertEquals(answers, [1, false, false, 2, 3, false]);
  assertEquals([log.batches, applied], [[3], [1, 4, 5]]);
  await assertRejects(() => write(2), InsufficientStorageError, "Memory is full");
  assertEquals(log.batches, [3], "a batch of nothing is not written");
});

Deno.test("CommitQueue on a full disk answers again what was applied before", async () => {
  const { log, applied, queue, write } = setUp();
  let appended = log.nextAppend();
  const first = write(1);
  await appended;
  log.makeDurable();
  await first;
  appended = log.nextAppend();
  const [again, refused] = [write(1), write(2)];
  await appended;
  log.fail(new LogRefusal("disk full", "No space left"));
  assertEquals((await again).outcome, Outcome.duplicate);
  await assertRejects(() => refused, InsufficientStorageError, "Disk is full");
  assertEquals([applied, queue.diskFull], [[1], 1]);
});

Deno.test("CommitQueue refuses one write too many, and takes more when there is room", async () => {
  const { log, queue, write } = setUp();
  let appended = log.nextAppend();
  const writes = Array.from({ length: WAITING_WRITES_MAX }, (_, i) => write(i + 1));
  assertThrows(() => queue.submit(() => {}, () => {}), UnavailableError, "Too much waits");
  assertEquals(queue.refusedBusy, 1);
  await appended;
  writes.push(write(0xffff));
  appended = log.nextAppend();
  log.makeDurable();
  await appended;
  log.makeDurable();
  assertEquals((await Promise.all(writes)).length, WAITING_WRITES_MAX + 1);
});

Deno.test("CommitQueue.idle() resolves when all that was taken is answered", async () => {
  const { log, queue, write } = setUp();
  await queue.idle();
  const appended = log.nextAppend();
  let answered = false;
  const written = write(1).then(() => answered = true);
  await appended;
  const idle = queue.idle().then(() => assertEquals(answered, true));
  log.makeDurable();
  await Promise.all([idle, written]);
});

Deno.test("Node counts the writes that it refuses because too much waits", async () => {
  await using opened = await openSmallNode(new SimulatedDisk());
  const { node } = opened;
  const answers = await Promise.allSettled(
    Array.from(
      { length: WAITING_WRITES_MAX + 3 },
      (_, i) =>
        node.write({ kind: CommandKind.delete, client: "c", seq: i + 1, key: "k", value: "" }),
    ),
  );
  assertEquals(answers.filter(({ status }) => status === "rejected").length, 3);
  assertEquals(node.metrics().refused_busy_total, 3);
});

Deno.test("Node whose disk is full calls a write stale that may have been applied", async () => {
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk, { growthBytesMin: Infinity });
  const { node } = opened;
  const put = (seq: number) =>
    node.write({ kind: CommandKind.put, client: "c", seq, key: "k", value: `${seq}` });
  await put(1);
  await put(1 + SESSION_WINDOW);
  let writes = 0;
  disk.beforeCall = (call) => {
    if (call === "write" && ++writes % 2 === 1) throw noSpace(); // each second one wipes the frame
  };
  assertEquals(await put(1), { outcome: Outcome.stale, logIndex: 0, prevValue: null });
  await assertRejects(() => put(2), InsufficientStorageError, "was not applied");
  const { stale_total, dedup_hits, refused_disk_full_total } = node.metrics();
  assertEquals([stale_total, dedup_hits, refused_disk_full_total], [1, 0, 1]);
  disk.beforeCall = () => {};
});
