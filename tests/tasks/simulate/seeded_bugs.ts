/**
 * Bugs that a store like this could have, each as a change of one place of the source: so that the
 * simulator shows that it would find them. Nothing of them is in the product.
 *
 * @module
 */

export interface SeededBug {
  readonly name: string;
  readonly file: string;
  /** What stands there, exactly once, and what stands there with the bug. */
  readonly find: string;
  readonly replace: string;
  /** The simulator finds it within so many seeds from 0, and usually within a third of them. */
  readonly seeds: number;
  /** Takes more seeds than the suite has time for. */
  readonly isSlow?: boolean;
}

export const SEEDED_BUGS: readonly SeededBug[] = [
  {
    name: "a batch is not synced",
    file: "node/log/segment_writer.ts",
    find: "await this.sync();\n    this.#chain = checksum;",
    replace: "this.#chain = checksum;",
    seeds: 60,
  },
  {
    name: "a write is answered before its sync has ended",
    file: "node/log/segment_writer.ts",
    find: "await this.sync();\n    this.#chain = checksum;",
    replace: "this.sync().catch(() => {});\n    this.#chain = checksum;",
    seeds: 60,
  },
  {
    name: "a write is applied, and read, before it is durable",
    file: "node/commit_queue.ts",
    find: "await log.append(body, batch.replies.length);",
    replace: "forEachCommand(body, firstIndex, (command, index) => " +
      "void this.#options.apply(command, index)); await log.append(body, batch.replies.length);",
    seeds: 60,
  },
  {
    name: "a failed sync is taken for done",
    file: "node/disk/disk_errors.ts",
    find: "throw new SyncError(`Cannot sync: ${errorMessage(cause)}`, { cause });",
    replace: "",
    seeds: 150,
  },
  {
    name: "what a restart read is not written again",
    file: "node/log/segment_writer.ts",
    find: "writeBytes(this.#file, lastFrame, this.#tail - lastFrame.length);",
    replace: "",
    seeds: 150,
  },
  {
    name: "what a restart writes again is read once more before",
    file: "node/log/segment_writer.ts",
    find: "writeBytes(this.#file, lastFrame, this.#tail - lastFrame.length);",
    replace: "this.#file.read(lastFrame, this.#tail - lastFrame.length); " +
      "writeBytes(this.#file, lastFrame, this.#tail - lastFrame.length);",
    seeds: 1500,
    isSlow: true,
  },
  {
    name: "zeros that a restart read are not written again",
    file: "node/log/segment_writer.ts",
    find: "dirtyBytes: filled - tail,",
    replace: "dirtyBytes: scan.tornBytes,",
    seeds: 3000,
    isSlow: true,
  },
  {
    name: "the checksum of a batch is not checked",
    file: "node/log/log_format.ts",
    find: "return crc32(segment.subarray(offset + FRAME_HEADER_BYTES, end), chain) === " +
      "header.bodyChecksum;",
    replace: "return end >= 0 || chain === 0;",
    seeds: 60,
  },
  {
    name: "a torn tail is taken for whole",
    file: "node/log/log_scan.ts",
    find: "return { sealed: false, tornBytes: tornFrame(path, bytes, offset, end) };",
    replace: "tornFrame(path, bytes, offset, end);",
    seeds: 150,
  },
  {
    name: "a torn tail is taken for damage",
    file: "node/log/log_scan.ts",
    find: "if (!isTorn(bytes, offset, end)) {",
    replace: "if (end > offset) {",
    seeds: 150,
  },
  {
    name: "the directory of a new segment is not synced",
    file: "node/disk/disk.ts",
    find: "await synced(disk.syncDirectory(directory));",
    replace: "",
    seeds: 60,
  },
  {
    name: "a segment is left without its seal",
    file: "node/log/file_log.ts",
    find: "await segment.seal();\n    this.#unsealed = undefined;",
    replace: "this.#unsealed = undefined;",
    seeds: 60,
  },
  {
    name: "zeros ahead of the frames are not synced",
    file: "node/log/segment_writer.ts",
    find: "await this.sync();\n    this.#filled = filled;",
    replace: "this.#filled = filled;",
    seeds: 150,
  },
  {
    name: "half a frame stays when the disk was full",
    file: "node/log/segment_writer.ts",
    find: "    this.#dirtyBytes = length;\n    try {\n      await this.wipe();",
    replace: "    try {\n      void length;",
    seeds: 1500,
    isSlow: true,
  },
  {
    name: "the time of a batch runs back with the clock",
    file: "node/commit_queue.ts",
    find: "this.#time = Math.max(this.#time, clock.now());",
    replace: "this.#time = clock.now();",
    seeds: 60,
  },
  {
    name: "a write that is sent again is applied again",
    file: "node/sessions/sessions.ts",
    find: "if (!this.#results.has(session, this.#row, seq)) return Outcome.applied;",
    replace: "if (seq > 0) return Outcome.applied;",
    seeds: 60,
  },
  {
    name: "the window of a session is one too large",
    file: "node/sessions/sessions.ts",
    find: "return Math.max(this.#top[session] - SESSION_WINDOW, this.#floor[session]);",
    replace: "return Math.max(this.#top[session] - SESSION_WINDOW - 1, this.#floor[session]);",
    seeds: 150,
  },
  {
    name: "the window of a session is one too small",
    file: "node/sessions/sessions.ts",
    find: "return Math.max(this.#top[session] - SESSION_WINDOW, this.#floor[session]);",
    replace: "return Math.max(this.#top[session] - SESSION_WINDOW + 1, this.#floor[session]);",
    seeds: 150,
  },
  {
    name: "two writes under one seq are taken for one",
    file: "node/sessions/sessions.ts",
    find: "return this.#results.fingerprintOf(session, this.#row) === fingerprint",
    replace: "return fingerprint >= 0",
    seeds: 60,
  },
  {
    name: "the router sends a write again as a new one",
    file: "router/link.ts",
    find: "const encode = (writer: ByteWriter) => encodeCommand(writer, command);",
    replace: "let sent = 0; const encode = (writer: ByteWriter) => encodeCommand(writer, " +
      "sent++ === 0 ? command : { ...command, client: `${command.client}+${sent}` });",
    seeds: 60,
  },
  {
    name: "the router does not send again what a broken link left unanswered",
    file: "router/link.ts",
    find: "for (const [id, pending] of this.#pending) this.#send(wire, id, pending);",
    replace: "void wire;",
    seeds: 60,
  },
  {
    name: "a snapshot forgets which writes were applied",
    file: "node/snapshot/snapshot_format.ts",
    find: "for (const result of sessions.resultsOf(session)) {",
    replace: "for (const result of [] as Uint8Array[]) {",
    seeds: 60,
  },
  {
    name: "a snapshot is renamed before it is synced",
    file: "node/snapshot/snapshot_writer.ts",
    find: "    await writer.sync();\n  } finally {",
    replace: "  } finally {",
    seeds: 60,
  },
  {
    name: "the directory of a new snapshot is not synced",
    file: "node/snapshot/snapshot_writer.ts",
    find: "await disk.syncDirectory(directory);",
    replace: "",
    seeds: 1500,
    isSlow: true,
  },
  {
    name: "segments are dropped before their snapshot is there",
    file: "node/snapshot/snapshot_scheduler.ts",
    find: "const snapshot = await this.#options.take(index, signal);",
    replace: "await this.#log.drop({ index, sizeBytes: 0 }); " +
      "const snapshot = await this.#options.take(index, signal);",
    seeds: 60,
  },
  {
    name: "the checksum of a snapshot is not checked",
    file: "node/snapshot/snapshot_scan.ts",
    find: "if (!bodyMatches(bytes, 0, header, chain)) {",
    replace: "if (!bodyMatches(bytes, 0, header, chain) && offset < 0) {",
    seeds: 150,
  },
];
