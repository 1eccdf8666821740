/**
 * What a process prints, line by line.
 *
 * @module
 */

import { TextLineStream } from "@std/streams/text-line-stream";

/** Calls `onLine` for each line of `output`, and resolves when that has ended. */
export async function forEachLine(
  output: ReadableStream<Uint8Array<ArrayBuffer>>,
  onLine: (line: string) => void,
): Promise<void> {
  const lines = output.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
  for await (const line of lines) onLine(line);
}
