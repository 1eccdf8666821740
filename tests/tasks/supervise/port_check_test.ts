import { assertEquals, assertThrows } from "@std/assert";
import type { ClusterConfig } from "../../../lib/config.ts";
import { Failure } from "../../../tasks/subcommand.ts";
import { checkPorts } from "../../../tasks/supervise/port_check.ts";
import { freePorts } from "../../process.ts";

function configOn([port, nodePort, linkPort]: number[]): ClusterConfig {
  const host = "127.0.0.1";
  return {
    router: { host, port },
    nodes: [{ id: "n1", host, port: nodePort, linkPort, data: "data/n1" }],
  };
}

Deno.test("checkPorts() accepts ports that nobody listens on, and lets go of them", () => {
  const config = configOn(freePorts(3));
  checkPorts(config);
  checkPorts(config);
});

Deno.test("checkPorts() names the ports in use, and who wanted them", () => {
  const [free] = freePorts(1);
  using one = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  using other = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const [used, linkUsed] = [one.addr.port, other.addr.port];
  const failure = assertThrows(() => checkPorts(configOn([free, used, linkUsed])), Failure);
  assertEquals(
    failure.message,
    `Cannot listen: 127.0.0.1:${used} (n1) is in use, ` +
      `127.0.0.1:${linkUsed} (links of n1) is in use`,
  );
});

Deno.test("checkPorts() finds two spellings of one address", () => {
  const [port, one, other] = freePorts(3);
  const router = { host: "::ffff:127.0.0.1", port };
  const [node] = configOn([port, one, other]).nodes;
  const config = { router, nodes: [{ ...node, linkPort: port }] };
  const failure = assertThrows(() => checkPorts(config), Failure);
  assertEquals(failure.message, `Cannot listen: 127.0.0.1:${port} (links of n1) is in use`);
});
