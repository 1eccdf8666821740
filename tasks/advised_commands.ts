/**
 * The shell commands that messages advise, with paths as they came: to make them absolute would
 * take a permission that a node does not have.
 *
 * @module
 */

import { basename, dirname, join, resolve } from "@std/path";
import { MAIN } from "./source.ts";

/** Checks a data directory, with the permission that it takes. */
export function checkCommand(data: string): string {
  return `deno run ${allow("read", data)} ${shellWord(MAIN)} check ${shellWord(data)}`;
}

/** Removes the data of all nodes, wherever it is. */
export function cleanCommand(configFile: string | undefined): string {
  const config = configFile === undefined ? "" : ` --config ${shellWord(configFile)}`;
  return `deno run --allow-read --allow-write ${shellWord(MAIN)} clean${config}`;
}

/** Saves what is intact of a data directory into a new one beside it. */
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
