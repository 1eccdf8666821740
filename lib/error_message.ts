/** What went wrong: the message of `error`, or what was thrown as text if it is not an `Error`. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
