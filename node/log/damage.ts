/**
 * Errors that say which data on disk is not what was written, or cannot be read. A node that cannot
 * do without that data stops before it serves anything, and changes nothing.
 *
 * @module
 */

/**
 * A batch holds what is no record, though its checksum is right: a bug wrote it. Code that knows
 * where the batch stands makes a {@linkcode DamageError} of this.
 */
export class UnreadableRecordError extends Error {
  override name = "UnreadableRecordError";
  /** Index of the first record that cannot be read; those before it could be. */
  readonly index: number;

  constructor(index: number, reason: string) {
    super(`record ${index} cannot be read: ${reason}`);
    this.index = index;
  }
}

/** Data on disk is not what was written, or the disk cannot read it: then that is the cause. */
export class DamageError extends Error {
  override name = "DamageError";
  readonly file: string;
  /** In bytes from the start of the file. */
  readonly offset: number;
  readonly reason: string;

  constructor(file: string, offset: number, reason: string, options?: ErrorOptions) {
    super(`Damage in "${file}" at byte ${offset}: ${reason}`, options);
    this.file = file;
    this.offset = offset;
    this.reason = reason;
  }
}
