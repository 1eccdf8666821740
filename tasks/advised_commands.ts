/**
 * The commands that are advised where data turns out to be damaged.
 *
 * @module
 */

import { basename, dirname, join, resolve } from "@std/path";
import { MAIN } from "./source.ts";

/** The shell command that checks a data directory, with the permission that it takes. */
export function checkCommand(data: string): string {
  return `deno run ${allow("read", data)} ${shellWord(MAIN)} check ${shellWord(data)}`;
}

/** The shell command that saves what is intact of a data directory into a new one beside it. */
export function salvageCommand(data: string): string {
  const path = /^\.{0,2}$/.test(basename(data)) ? resolve(data) : data;
  const parent = dirname(path);
  const to = join(parent, `${basename(path)}.salvaged`);
  const permissions = `${allow("read", parent)} ${allow("write", parent)}`;
  const [main, from, target] = [MAIN, data, to].map(shellWord);
  return `deno run ${permissions} ${main} salvage ${from} --to ${target}`;
}

function allow(kind: string, path: string): string {
  // A comma would part the list of the flag.
  return shellWord(path.includes(",") ? `--allow-${kind}` : `--allow-${kind}=${path}`);
}

function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
