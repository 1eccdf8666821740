import { isAbsolute, relative, resolve } from "@std/path";

/** Whether a directory is the outer one or inside it, as both are spelled: links are not followed. */
export function isWithin(directory: string, outer: string): boolean {
  const path = relative(resolve(outer), resolve(directory));
  return !isAbsolute(path) && !/^\.\.([/\\]|$)/.test(path);
}
