/**
 * When to stop: someone presses Ctrl-C, a signal asks for it, or the parent is gone.
 *
 * @module
 */

import type { Clock } from "../../lib/clock.ts";

const PARENT_POLL_MS = 250;

const SIGNALS = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK"] as const
  : ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Resolves at the first signal that asks this process to stop. From the call on no such signal ends
 * the process by itself, and a second one changes nothing: stopping is under way.
 */
export function stopSignal(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const signal of SIGNALS) Deno.addSignalListener(signal, resolve);
  return promise;
}

/** Resolves when a node or router is to stop: at a signal, or when its supervisor is gone. */
export function stopRequest(isSupervised: boolean): Promise<void> {
  return isSupervised ? Promise.race([stopSignal(), endOfInput()]) : stopSignal();
}

/**
 * Resolves when standard input ends. The supervisor holds the other end of it open and never
 * writes, so the end means that the supervisor is gone, however it went: even `kill -9` closes its
 * files.
 */
export async function endOfInput(): Promise<void> {
  const buffer = new Uint8Array(64);
  try {
    while (await Deno.stdin.read(buffer) !== null);
  } catch {
    // Input that cannot be read has nobody at its other end either.
  }
}

/**
 * Resolves when the process that started this one is gone. For a process whose standard input is
 * not its parent's to hold, such as one on a terminal; it has to look again and again.
 */
export function parentGone(clock: Clock): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const parent = Deno.ppid;
  const look = () => {
    if (Deno.ppid === parent) clock.after(PARENT_POLL_MS, look);
    else resolve();
  };
  look();
  return promise;
}
