/**
 * What the errors of a disk mean. To whoever writes to it: nothing was taken, and a later try may
 * succeed; or nobody knows what is durable. To whoever reads from it: the data is damaged.
 *
 * @module
 */
import { errorMessage } from "../../lib/error_message.ts";
import { DamageError } from "../log/damage.ts";
import { LogRefusal } from "../log/log.ts";

/** What it means that a file cannot be read from `position` on, such as where a sector is bad. */
export function unreadable(path: string, position: number, cause: unknown): DamageError {
  return new DamageError(path, position, `cannot be read: ${errorMessage(cause)}`, { cause });
}

/** A sync failed: what of the file is durable is unknown, whatever the reason was. */
export class SyncError extends Error {
  override name = "SyncError";
}

/** Waits for a sync. @throws {SyncError} It failed. */
export async function synced(sync: Promise<void>): Promise<void> {
  try {
    await sync;
  } catch (cause) {
    if (isOutOfFiles(cause)) throw cause; // a directory could not be opened, so nothing was tried
    throw new SyncError(`Cannot sync: ${errorMessage(cause)}`, { cause });
  }
}

/**
 * The refusal that `error` stands for, if it says that the system took nothing because it is short
 * of something that may come back; null if it says anything else.
 */
export function asRefusal(error: unknown): LogRefusal | null {
  if (error instanceof LogRefusal) return error;
  if (error instanceof SyncError) return null; // its message may read like one of those below
  const reason = isOutOfSpace(error) ? "disk full" : isOutOfFiles(error) ? "too many files" : null;
  return reason && new LogRefusal(reason, errorMessage(error), { cause: error });
}

/** No space on the device or in the quota; or the process may not write files of that size. */
function isOutOfSpace(error: unknown): boolean {
  // Deno gives EFBIG, which is 27 everywhere, no code.
  return hasCode(error, ["ENOSPC", "EDQUOT"]) || /\(os error 27\)/.test(errorMessage(error));
}

function isOutOfFiles(error: unknown): boolean {
  return hasCode(error, ["EMFILE", "ENFILE"]);
}

/** Whether the device itself has failed, as at a bad sector. */
export function isDeviceError(error: unknown): boolean {
  return hasCode(error, ["EIO"]);
}

function hasCode(error: unknown, codes: string[]): boolean {
  return error instanceof Error && "code" in error && codes.includes(String(error.code));
}
