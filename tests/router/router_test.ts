import { assertEquals, assertRejects } from "@std/assert";
import { UnavailableError } from "../../lib/key_value.ts";
import type { Link } from "../../router/link.ts";
import { Router } from "../../router/router.ts";

/** A router of two nodes: one is well, and the probes of the other one fail with `error`. */
function routerWith(error: Error): Router {
  const well = {
    nodeId: "n1",
    address: "test:1",
    health: () => Promise.resolve({ status: "ok", lastIndex: 7 }),
    metrics: () => Promise.resolve({ keys: 3 }),
  };
  const failing = {
    nodeId: "n2",
    address: "test:2",
    health: () => Promise.reject(error),
    metrics: () => Promise.reject(error),
  };
  return new Router([well, failing] as unknown as Link[]);
}

Deno.test("Router tells which nodes are up, and makes up nothing for the others", async () => {
  const router = routerWith(new UnavailableError("Node is down"));
  assertEquals(await router.health(), {
    status: "degraded",
    nodes: [
      { id: "n1", addr: "test:1", up: true, lastIndex: 7 },
      { id: "n2", addr: "test:2", up: false, lastIndex: null },
    ],
  });
  assertEquals(await router.metrics(), [
    { id: "n1", addr: "test:1", up: true, metrics: { keys: 3 } },
    { id: "n2", addr: "test:2", up: false },
  ]);
});

Deno.test("Router takes no bug for a node that is down", async () => {
  const router = routerWith(new TypeError("Cannot read properties of undefined"));
  await assertRejects(() => router.health(), TypeError);
  await assertRejects(() => router.metrics(), TypeError);
});
