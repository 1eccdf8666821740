/**
 * A directory for as long as something runs.
 *
 * @module
 */

import { fromFileUrl } from "@std/path";

/** A new directory in `.tmp` of the checkout. It goes away at the end of its scope. */
export async function temporaryDirectory(
  prefix = "",
): Promise<AsyncDisposable & { path: string }> {
  const parent = fromFileUrl(new URL("../.tmp", import.meta.url));
  await Deno.mkdir(parent, { recursive: true });
  const path = await Deno.makeTempDir({ dir: parent, prefix });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}
