import { assert, assertEquals } from "@std/assert";
import { SESSION_WINDOW } from "../../../lib/limits.ts";
import { SessionResults } from "../../../node/sessions/session_results.ts";
import { Random } from "../../../tasks/random.ts";

/** So small that what is in use is moved between chunks over and over. */
const CHUNK_BYTES = 64 * 1024;
const SESSIONS = 5;

interface Row {
  readonly seq: number;
  readonly logIndex: number;
  prev: string | null;
}

function newResults(): SessionResults {
  const results = new SessionResults(SESSIONS, CHUNK_BYTES);
  for (let session = 1; session <= SESSIONS; session++) create(results, session);
  return results;
}

function create(results: SessionResults, session: number): void {
  const client = new TextEncoder().encode(`client ${session}`);
  results.create(session, client, 0, client.length);
}

function insert(results: SessionResults, session: number, { seq, logIndex, prev }: Row): void {
  const row = results.search(session, seq);
  results.insert(session, row, seq, logIndex, logIndex % 1000);
  if (prev === null || prev === "") return;
  const bytes = results.addPrevValue(session, row, prev.length);
  bytes.set(new TextEncoder().encode(prev), results.prevOffsetOf(session, row));
}

/** What `results` holds, and whether all else that it says of it fits. */
function rowsOf(results: SessionResults, session: number): Row[] {
  const client = new Uint8Array(255);
  const length = results.copyClient(session, client);
  assertEquals(new TextDecoder().decode(client.subarray(0, length)), `client ${session}`);
  return Array.from({ length: results.count(session) }, (_, row) => {
    const logIndex = results.logIndexOf(session, row);
    assertEquals(results.fingerprintOf(session, row), logIndex % 1000);
    const prev = results.prevTextOf(session, row);
    assertEquals(results.prevLengthOf(session, row), prev === null ? -1 : prev.length);
    return { seq: results.seqOf(session, row), logIndex, prev };
  });
}

Deno.test("SessionResults does what sorted arrays do, for any changes in any order", () => {
  const numbers = new Random("session results");
  /** A whole number below `limit`. */
  const random = (limit: number) => numbers.integer(0, limit - 1);
  const results = newResults();
  const model: Row[][] = Array.from({ length: SESSIONS + 1 }, () => []);
  const changes = {
    insert(session: number, rows: Row[], step: number) {
      // Most are the next ones, as from a client that counts; some are holes far below.
      const top = rows.at(-1)?.seq ?? 2 ** 33;
      const seq = random(4) > 0 ? top + 1 : Math.max(1, top - random(SESSION_WINDOW));
      if (rows.length === SESSION_WINDOW || rows.some((row) => row.seq === seq)) return;
      const prev = random(5) === 0 ? "" : "x".repeat(1 + random(400));
      const row = { seq, logIndex: step, prev };
      insert(results, session, row);
      rows.splice(rows.filter((other) => other.seq < seq).length, 0, row);
    },
    forget(session: number, rows: Row[]) {
      if (rows.length === 0) return;
      const row = random(rows.length);
      results.forgetPrevValue(session, row);
      if (rows[row].prev !== "") rows[row].prev = null;
    },
    drop(session: number, rows: Row[]) {
      for (let count = random(4); count > 0 && rows.length > 0; count--) {
        results.dropLowest(session, 1);
        rows.shift();
      }
      results.trim(session);
    },
    restart(session: number, rows: Row[]) {
      results.delete(session);
      create(results, session);
      rows.length = 0;
    },
  };
  for (let step = 1; step <= 30_000; step++) {
    const session = 1 + random(SESSIONS);
    const dice = random(1000);
    const change = dice === 0 ? "restart" : dice < 700 ? "insert" : dice < 850 ? "forget" : "drop";
    changes[change](session, model[session], step);
    results.reclaim();
    if (step % 1000 > 0) continue;
    for (let session = 1; session <= SESSIONS; session++) {
      assertEquals(rowsOf(results, session), model[session], `session ${session}, step ${step}`);
    }
    results.check([1, 2, 3, 4, 5]);
  }
});

Deno.test("SessionResults.search() finds each sequence number, and where the others belong", () => {
  const results = newResults();
  const seqs = [1, 2, 5, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER];
  for (const seq of seqs) insert(results, 1, { seq, logIndex: 1, prev: "" });
  for (const [row, seq] of seqs.entries()) {
    assertEquals(results.search(1, seq), row, `seq ${seq}`);
    assert(results.has(1, row, seq), `seq ${seq}`);
  }
  assertEquals([0, 3, 6, 2 ** 40].map((seq) => results.search(1, seq)), [0, 2, 3, 6]);
  assert(!results.has(1, 2, 3));
  assert(!results.has(1, 7, Number.MAX_SAFE_INTEGER));
});

Deno.test("SessionResults.insert() makes room in the middle wherever the ring begins", () => {
  const room = 16;
  for (let first = 0; first < room; first++) {
    for (let row = 0; row < room; row++) {
      const results = newResults();
      let seqs = Array.from({ length: room }, (_, i) => 2 + 2 * i);
      for (const seq of seqs) insert(results, 1, { seq, logIndex: seq, prev: "" });
      for (let drops = 0; drops < first; drops++) {
        results.dropLowest(1, 1);
        seqs = [...seqs.slice(1), seqs.at(-1)! + 2];
        insert(results, 1, { seq: seqs.at(-1)!, logIndex: seqs.at(-1)!, prev: "" });
      }
      results.dropLowest(1, 1);
      const seq = seqs[row] + 1;
      seqs.splice(row + 1, 0, seq);
      insert(results, 1, { seq, logIndex: seq, prev: "" });
      const expected = seqs.slice(1).map((seq) => ({ seq, logIndex: seq, prev: "" }));
      assertEquals(rowsOf(results, 1), expected, `begin ${first}, row ${row}`);
    }
  }
});

Deno.test("SessionResults.bytes depends on what is remembered, not on how it came about", () => {
  for (const count of [0, 1, 2, 4, 5, 33, 160, 161, 800, SESSION_WINDOW]) {
    const [grown, shrunk] = [newResults(), newResults()];
    for (let seq = SESSION_WINDOW; seq > SESSION_WINDOW - count; seq--) {
      insert(grown, 1, { seq, logIndex: seq, prev: "" });
    }
    for (let seq = 1; seq <= SESSION_WINDOW; seq++) {
      insert(shrunk, 1, { seq, logIndex: seq, prev: "x" });
      if (seq > SESSION_WINDOW - count) shrunk.forgetPrevValue(1, shrunk.count(1) - 1);
    }
    shrunk.dropLowest(1, SESSION_WINDOW - count);
    shrunk.trim(1);
    assertEquals(shrunk.bytes, grown.bytes, `${count} results`);
    shrunk.check([1, 2, 3, 4, 5]);
  }
});

Deno.test("SessionResults.bytes counts what sessions hold, and no more", () => {
  const results = newResults();
  const before = results.bytes;
  for (let seq = 1; seq <= SESSION_WINDOW; seq++) {
    insert(results, 1, { seq, logIndex: seq, prev: "x".repeat(100) });
  }
  assert(results.bytes > before + SESSION_WINDOW * 100, `${results.bytes} bytes`);
  results.dropLowest(1, results.count(1));
  results.trim(1);
  results.reclaim();
  assertEquals(results.bytes, before);
  results.check([1, 2, 3, 4, 5]);
});
