import { setColorEnabled } from "@std/fmt/colors";

/** Runs a test of what is printed without its colours. */
export function inBlackAndWhite(run: () => void): void {
  setColorEnabled(false);
  try {
    run();
  } finally {
    setColorEnabled(!Deno.noColor);
  }
}
