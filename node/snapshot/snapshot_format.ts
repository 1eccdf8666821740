/**
 * What a snapshot is in bytes, and how a shard becomes one and is loaded from it. No file is touched
 * here: `snapshot_writer.ts` and `snapshot_scan.ts` do that.
 *
 * A snapshot is all that a node holds after one record of its log, in one file, named after the
 * index of that record. It stands for every segment up to there.
 *
 *     ┌────────┬─────────┬─────────┬──────────┬──────────┬──────┐
 *     │ header │ entries │ entries │ sessions │ sessions │ seal │
 *     │ B3 …   │ 9D …    │ 9D …    │ 9D …     │ 9D …     │ 9D … │
 *     └────────┴─────────┴─────────┴──────────┴──────────┴──────┘
 *
 * Sectors, header and frames are those of a segment, see `log_format.ts`. The header says what that
 * of the segment after it says: its first index, the chain, log and node id. In frames, index and
 * number count items, from 1 in each snapshot. The chain runs from the header to the seal, and the
 * file ends with the seal: so a flipped bit, a cut and anything behind the end are known. A
 * snapshot is never torn: it gets its name only when it is durable and was read back. Whatever does
 * not fit is damage.
 *
 * Body of an *entries* frame, once per key (numbers are little-endian):
 *
 * | size | field |
 * | --- | --- |
 * | 4 + 4 | key length k and value length v, in bytes |
 * | k + v | key, value |
 *
 * Body of a *sessions* frame: sessions, the one that has been idle for longest first, so that they
 * come back in the order that decides which one is evicted. Each is followed by its results, the
 * lowest sequence number first, which may go on in the next frame.
 *
 * | size | session | result |
 * | --- | --- | --- |
 * | 4 | 1 | 2 |
 * | 4 | client length c, in bytes | length r, in bytes |
 * | 24 or r | highest seq, seq applied last, floor: 8 each | see `result_codec.ts` |
 * | c or 0 | client | |
 *
 * Body of the *seal*: the number of keys and of sessions, the time of the last batch, and the two
 * counts of `sessions.ts` (sessions evicted, results dropped), 8 bytes each.
 *
 * @module
 */
import { ByteWriter, getUint53 } from "../../lib/byte_writer.ts";
import { CLIENT_BYTES_MAX, SNAPSHOT_FRAME_BYTES } from "../../lib/limits.ts";
import { FrameKind } from "../log/log_format.ts";
import type { Sessions, SessionState } from "../sessions/sessions.ts";
import type { Shard } from "../shard.ts";
import type { Table } from "../store/table.ts";

/** What the seal of a snapshot says. */
export interface SnapshotTotals {
  readonly keys: number;
  readonly sessions: number;
  /** Time of the last batch before the snapshot, in milliseconds since 1970. */
  readonly time: number;
  readonly evictions: number;
  readonly drops: number;
}

/** A frame to be written. `body` is valid until the next part is taken. */
export interface SnapshotPart {
  readonly kind: FrameKind;
  readonly body: Uint8Array;
  /** Number of items in the body. */
  readonly count: number;
}

const ItemKind = { session: 1, result: 2 } as const;
const ITEM_HEADER_BYTES = 8;
const SESSION_STATE_BYTES = 24;

/** All of a shard, part by part. It must not change until the last one was taken. */
export function* partsOf(shard: Shard, time: number): Generator<SnapshotPart> {
  yield* entryParts(shard.store);
  yield* sessionParts(shard.sessions);
  yield { kind: FrameKind.seal, body: totalsOf(shard, time), count: 0 };
}

/** The part that is being filled. */
class OpenPart {
  readonly body = new ByteWriter(2 * SNAPSHOT_FRAME_BYTES);
  readonly #kind: FrameKind;
  count = 0;

  constructor(kind: FrameKind) {
    this.#kind = kind;
  }

  /** Whether the item that was written last ends the part. */
  get isFull(): boolean {
    return this.body.length >= SNAPSHOT_FRAME_BYTES;
  }

  /** The part as it is. The next one, which is empty, begins with the next write. */
  take(): SnapshotPart {
    const part = { kind: this.#kind, body: this.body.written(), count: this.count };
    this.body.clear();
    this.count = 0;
    return part;
  }
}

function* entryParts(store: Table): Generator<SnapshotPart> {
  const part = new OpenPart(FrameKind.entries);
  for (const entry of store.packedEntries()) {
    part.body.bytes(entry); // in a frame it looks as it does in the table
    part.count++;
    if (part.isFull) yield part.take();
  }
  if (part.count > 0) yield part.take();
}

function* sessionParts(sessions: Sessions): Generator<SnapshotPart> {
  const part = new OpenPart(FrameKind.sessions);
  const client = new Uint8Array(CLIENT_BYTES_MAX);
  for (const session of sessions.numbers()) {
    const clientLength = sessions.copyClient(session, client);
    writeSession(part, sessions.stateOf(session), client, clientLength);
    if (part.isFull) yield part.take();
    for (const result of sessions.resultsOf(session)) {
      writeResult(part, result);
      if (part.isFull) yield part.take();
    }
  }
  if (part.count > 0) yield part.take();
}

function writeSession(
  part: OpenPart,
  { top, latest, floor }: SessionState,
  client: Uint8Array,
  clientLength: number,
): void {
  const { body } = part;
  body.uint32(ItemKind.session);
  body.uint32(clientLength);
  for (const number of [top, latest, floor]) body.uint53(number);
  body.bytes(client, 0, clientLength);
  part.count++;
}

function writeResult(part: OpenPart, result: Uint8Array): void {
  part.body.uint32(ItemKind.result);
  part.body.uint32(result.length);
  part.body.bytes(result);
  part.count++;
}

function totalsOf({ store, sessions }: Shard, time: number): Uint8Array {
  const body = new ByteWriter(64);
  for (const total of [store.size, sessions.size, time, sessions.evictions, sessions.drops]) {
    body.uint53(total);
  }
  return body.written();
}

/** Reads the body of a seal. */
export function decodeTotals(body: Uint8Array): SnapshotTotals {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const [keys, sessions, time, evictions, drops] = [0, 8, 16, 24, 32]
    .map((offset) => getUint53(view, offset));
  return { keys, sessions, time, evictions, drops };
}

/** An entry in the body of a frame: the key up to `valueStart`, then the value up to `end`. */
export interface EntryPlace {
  readonly keyStart: number;
  readonly valueStart: number;
  readonly end: number;
}

/** Where the entries in the body of an entries frame are. */
export function* entryPlaces(body: Uint8Array): Generator<EntryPlace> {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  for (let start = 0; start < body.length;) {
    const keyStart = start + ITEM_HEADER_BYTES;
    const valueStart = keyStart + view.getUint32(start, true);
    const end = valueStart + view.getUint32(start + 4, true);
    yield { keyStart, valueStart, end };
    start = end;
  }
}

/** A session or a result in the body of a frame. */
export interface SessionItem {
  /** Null if this is a result; it belongs to the session before it. */
  readonly state: SessionState | null;
  /** The client of a session, or the whole of a result, is from here to `end`. */
  readonly start: number;
  readonly end: number;
}

/** The items in the body of a sessions frame, in order. */
export function* sessionItems(body: Uint8Array): Generator<SessionItem> {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength);
  for (let at = 0; at < body.length;) {
    const isSession = view.getUint32(at, true) === ItemKind.session;
    const stateStart = at + ITEM_HEADER_BYTES;
    const start = isSession ? stateStart + SESSION_STATE_BYTES : stateStart;
    const end = start + view.getUint32(at + 4, true);
    yield { state: isSession ? decodeState(view, stateStart) : null, start, end };
    at = end;
  }
}

function decodeState(view: DataView, offset: number): SessionState {
  return {
    top: getUint53(view, offset),
    latest: getUint53(view, offset + 8),
    floor: getUint53(view, offset + 16),
  };
}

/** Loads a snapshot into an empty shard, part by part. */
export class SnapshotLoader {
  readonly #shard: Shard;
  /** Session of the next result: it may stand in the part before. 0 if none is known. */
  #session = 0;
  /** Whether parts are missing, so that the totals cannot fit. */
  #isPartial = false;

  constructor(shard: Shard) {
    this.#shard = shard;
  }

  /**
   * Says that parts are missing here. The session before may lack results: rather than apply one of
   * its writes twice, all of them are refused as stale.
   */
  skip(): void {
    if (this.#session !== 0) this.#shard.sessions.forgetResults(this.#session);
    this.#session = 0;
    this.#isPartial = true;
  }

  /**
   * Loads a part. Returns the totals with the last one, the seal; null before.
   *
   * @throws {Error} The totals are not what was loaded.
   */
  load(kind: number, body: Uint8Array): SnapshotTotals | null {
    if (kind === FrameKind.entries) this.#loadEntries(body);
    else if (kind === FrameKind.sessions) this.#loadSessions(body);
    else return this.#finish(decodeTotals(body));
    return null;
  }

  #loadEntries(body: Uint8Array): void {
    const { store } = this.#shard;
    for (const { keyStart, valueStart, end } of entryPlaces(body)) {
      store.set(body, keyStart, valueStart, body, valueStart, end);
    }
  }

  #loadSessions(body: Uint8Array): void {
    const { sessions } = this.#shard;
    for (const { state, start, end } of sessionItems(body)) {
      if (state !== null) this.#session = sessions.restore(body, start, end, state);
      else if (this.#session !== 0) sessions.restoreResult(this.#session, body, start, end);
    }
  }

  #finish(totals: SnapshotTotals): SnapshotTotals {
    const { store, sessions } = this.#shard;
    const isWhole = store.size === totals.keys && sessions.size === totals.sessions;
    if (!isWhole && !this.#isPartial) {
      throw new Error(
        `Snapshot has ${store.size} keys and ${sessions.size} sessions, ` +
          `expected ${totals.keys} and ${totals.sessions}`,
      );
    }
    sessions.restoreCounts(totals);
    return totals;
  }
}
