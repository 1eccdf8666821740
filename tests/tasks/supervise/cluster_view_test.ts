import { assertEquals, assertStringIncludes } from "@std/assert";
import { setColorEnabled } from "@std/fmt/colors";
import { BUILT_IN_CONFIG } from "../../../lib/config.ts";
import { formatInvitation, formatNodes, prefixer } from "../../../tasks/supervise/cluster_view.ts";
import type { State } from "../../../tasks/supervise/supervised_process.ts";
import { inBlackAndWhite } from "../../black_and_white.ts";

function ready(keys: number, logBytes: number): State {
  return { kind: "ready", facts: { keys: `${keys}`, log_bytes: `${logBytes}`, pid: "4711" } };
}

Deno.test("formatNodes() shows what each node holds, or why it does not serve", () => {
  inBlackAndWhite(() =>
    assertEquals(
      formatNodes(BUILT_IN_CONFIG.nodes.slice(0, 5), [
        ready(1_234_567, 3 * 1024 * 1024),
        { kind: "starting" },
        { kind: "down", reason: "refuses to start on damaged data (code 3)" },
        { kind: "waiting", reason: "was ended by SIGKILL" },
        { kind: "starting", reason: "ended with code 1" },
      ]),
      `node  address         data     pid   keys       log
n1    127.0.0.1:8090  data/n1  4711  1,234,567  3 MiB
n2    127.0.0.1:8091  data/n2  -     -          is still starting
n3    127.0.0.1:8092  data/n3  -     -          refuses to start on damaged data (code 3)
n4    127.0.0.1:8093  data/n4  -     -          was ended by SIGKILL, and starts again
n5    127.0.0.1:8094  data/n5  -     -          ended with code 1, and starts again`,
    )
  );
});

Deno.test("formatInvitation() gives an address that one can connect to", () => {
  const router = { host: "0.0.0.0", port: 8080 };
  const text = formatInvitation({ ...BUILT_IN_CONFIG, router }, [ready(0, 0), ready(0, 0)]);
  assertStringIncludes(text, "router  http://127.0.0.1:8080 (pid 4711)\n");
});

Deno.test("formatInvitation() says that the router does not serve", () => {
  const ended: State = { kind: "waiting", reason: "ended with code 1" };
  const text = formatInvitation(BUILT_IN_CONFIG, [ready(0, 0), ended]);
  const row = "router  http://127.0.0.1:8080 ended with code 1, and starts again\n";
  assertStringIncludes(text, row);
});

Deno.test("formatInvitation() does not invite to a cluster without a node that is up", () => {
  assertEquals(
    formatInvitation(BUILT_IN_CONFIG, [{ kind: "starting" }, ready(0, 0)]),
    "router  http://127.0.0.1:8080 (pid 4711)\nstop    Ctrl-C",
  );
});

Deno.test("prefixer() lines names up", () => {
  inBlackAndWhite(() => {
    const prefix = prefixer(["n1", "router"]);
    assertEquals(prefix("n1", "a"), "n1     | a");
    assertEquals(prefix("router", "b"), "router | b");
  });
});

// With NO_COLOR in the environment the library cannot be told to colour.
Deno.test("prefixer() colours the name and leaves the line alone", { ignore: Deno.noColor }, () => {
  setColorEnabled(true);
  try {
    assertEquals(prefixer(["n1"])("n1", "a"), "\x1b[32mn1 |\x1b[39m a");
  } finally {
    setColorEnabled(!Deno.noColor);
  }
});
