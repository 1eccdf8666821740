/**
 * The one line by which a node or a router says that it serves, in logfmt:
 *
 *     listening id=n1 http=127.0.0.1:8090 link=127.0.0.1:8190 data=data/n1 keys=0 log_bytes=0 …
 *
 * The supervisor and the tests wait for it, and read from it what they tell.
 *
 * @module
 */

const START = "listening ";

/** The ready line with these facts. A text that would be ambiguous is put in quotes. */
export function formatReadyLine(facts: Record<string, string | number>): string {
  const pairs = Object.entries(facts).map(([name, value]) =>
    `${name}=${quoteIfNeeded(`${value}`)}`
  );
  return START + pairs.join(" ");
}

/** The facts of a ready line, or undefined when the line is another one, or cut short. */
export function parseReadyLine(line: string): Record<string, string> | undefined {
  if (!line.startsWith(START)) return undefined;
  const pairs = line.matchAll(/(\w+)=("(?:[^"\\]|\\.)*"|[^\s"]*)/g);
  try {
    return Object.fromEntries(
      pairs.map(([, name, value]) => [name, value.startsWith('"') ? JSON.parse(value) : value]),
    );
  } catch (error) {
    if (error instanceof SyntaxError) return undefined; // what is in quotes is no text of ours
    throw error;
  }
}

function quoteIfNeeded(value: string): string {
  return /^[^\s"\\=]+$/.test(value) ? value : JSON.stringify(value);
}
