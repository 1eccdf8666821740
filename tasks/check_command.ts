/**
 * The command that is advised where data turns out to be damaged.
 *
 * @module
 */

import { MAIN } from "./source.ts";

/** The line for a shell that checks a data directory, with the permission that it takes. */
export function checkCommand(data: string): string {
  // A comma would part the list of the flag.
  const permission = data.includes(",") ? "--allow-read" : `--allow-read=${data}`;
  return `deno run ${shellWord(permission)} ${shellWord(MAIN)} check ${shellWord(data)}`;
}

function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
