/**
 * Takes a snapshot: reads the files that no longer change, which are the snapshot before and the
 * sealed segments after it, replays them with the code that starts a node, and has the state
 * written. The node that serves meanwhile is not asked and not touched; all it has to do is to cut
 * its log first.
 *
 * @module
 */
import { scanDirectory } from "../log/directory_scan.ts";
import type { Disk } from "../disk/disk.ts";
import type { SnapshotInfo } from "../log/log.ts";
import { type FileHeader, indexOfName, isSegmentName } from "../log/log_format.ts";
import { type LogScan, scanSegments } from "../log/log_scan.ts";
import { Replay } from "../replay.ts";
import type { SessionsOptions } from "../sessions/sessions.ts";
import { writeSnapshot } from "./snapshot_writer.ts";

export interface SnapshotMakerOptions extends SessionsOptions {
  readonly disk: Disk;
  readonly directory: string;
}

/** A state, and the header of its snapshot, which says what comes next in the log. */
interface MadeState {
  readonly replay: Replay;
  readonly header: FileHeader;
}

/**
 * Takes the snapshots of one node, one at a time. It keeps the state of the one that it took last,
 * so that the next one takes a replay of the segments since then, and not of the snapshot as well.
 */
export class SnapshotMaker {
  readonly #options: SnapshotMakerOptions;
  #last: MadeState | null = null;

  constructor(options: SnapshotMakerOptions) {
    this.#options = options;
  }

  /**
   * Writes a snapshot of the records up to `index`, with which a sealed segment ends. Resolves when
   * it is durable and was read back. Nothing else is changed: a failure leaves at most a file that
   * the next start removes, and the next call begins from what is on disk.
   *
   * @throws {DamageError} What it is made from, or what was written, is not intact.
   */
  async take(index: number): Promise<SnapshotInfo> {
    const { disk, directory } = this.#options;
    const last = this.#last;
    this.#last = null; // it is about to change, and is of use only if all goes well
    const made = await (last === null ? this.#fromDisk(index) : this.#from(last, index));
    const info = await writeSnapshot(disk, directory, made.header, made.replay);
    this.#last = made;
    return info;
  }

  async #fromDisk(lastIndex: number): Promise<MadeState> {
    const { disk, directory } = this.#options;
    const replay = new Replay(this.#options);
    const scan = await scanDirectory(disk, directory, replay, { lastIndex });
    if (scan === null) throw new RangeError(`Directory "${directory}" has no log to read`);
    return { replay, header: headerAfter(scan) };
  }

  async #from({ replay, header }: MadeState, lastIndex: number): Promise<MadeState> {
    const { disk, directory } = this.#options;
    const names = (await disk.list(directory)).filter((name) =>
      isSegmentName(name) && indexOfName(name) >= header.firstIndex &&
      indexOfName(name) <= lastIndex
    );
    if (names.length === 0) throw new RangeError(`Directory "${directory}" has no log to read`);
    const start = { nextIndex: header.firstIndex, chain: header.chain, identity: header };
    const scan = await scanSegments(disk, directory, names, { start, lastIndex, visitor: replay });
    return { replay, header: headerAfter(scan) };
  }
}

/** The header of a snapshot says the same as that of the segment after it. */
function headerAfter({ segments, lastIndex, logId, nodeId }: LogScan): FileHeader {
  return { firstIndex: lastIndex + 1, chain: segments[segments.length - 1].chain, logId, nodeId };
}
