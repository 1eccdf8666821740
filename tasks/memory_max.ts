/**
 * The flag `--memory-max` of `node` and `cluster`.
 *
 * @module
 */

import { MEMORY_BYTES_MAX, MEMORY_BYTES_MIN } from "../lib/limits.ts";
import { wrongValue } from "./subcommand.ts";

const UNIT_BYTES: Record<string, number> = { "": 1, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/**
 * The bytes that a text such as `805306368`, `768MiB` or `4GiB` says; undefined without a
 * text.
 *
 * @throws {Failure} It says something else, or too few or too many.
 */
export function parseMemoryMax(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const [, digits, unit] = /^(\d{1,15})(MiB|GiB|)$/.exec(text) ?? [];
  const bytes = Number(digits) * UNIT_BYTES[unit];
  if (bytes >= MEMORY_BYTES_MIN && bytes <= MEMORY_BYTES_MAX) return bytes;
  throw wrongValue("memory-max", text, "a whole number with MiB or GiB, 384MiB to 32GiB");
}
