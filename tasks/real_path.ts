/**
 * Where a path really leads, for those who must not mix up two directories.
 *
 * @module
 */

import { basename, dirname, join, resolve } from "@std/path";

/**
 * The absolute path without links; what does not exist yet, or may not be looked at, is taken as it
 * is spelled.
 */
export function realPathOf(path: string): string {
  try {
    return Deno.realPathSync(path);
  } catch (error) {
    const outer = dirname(path);
    if (!(error instanceof Deno.errors.NotFound) || outer === path) return resolve(path);
    const target = targetOf(path);
    if (target !== null) return realPathOf(resolve(outer, target));
    return join(realPathOf(outer), basename(path));
  }
}

/** Where the link at `path` leads, though nothing is there yet; null if it is no link. */
function targetOf(path: string): string | null {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return null;
  }
}
