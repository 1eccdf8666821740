/**
 * What is said of data on disk that is not what was written. A node that cannot do without that
 * data stops before it serves anything, and changes nothing.
 *
 * @module
 */

/** Data on disk is not what was written. */
export class DamageError extends Error {
  override name = "DamageError";
  readonly file: string;
  /** In bytes from the start of the file. */
  readonly offset: number;
  readonly reason: string;

  constructor(file: string, offset: number, reason: string) {
    super(`Damage in "${file}" at byte ${offset}: ${reason}`);
    this.file = file;
    this.offset = offset;
    this.reason = reason;
  }
}
