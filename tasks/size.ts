/**
 * Sizes for readers.
 *
 * @module
 */

import { format } from "@std/fmt/bytes";

/** The size in the unit that suits it, such as `512 B`, `1.5 KiB` or `3 GiB`. */
export function formatSize(bytes: number): string {
  return format(bytes, { binary: true }).replace("kiB", "KiB"); // the library's own spelling
}
