import { createHandler } from "../lib/api.ts";
import { systemClock } from "../lib/clock.ts";
import { startNode } from "../node/server.ts";
import { startRouter } from "../router/server.ts";
import { HttpKeyValue } from "../tasks/simulate/http_key_value.ts";
import { testKeyValue } from "./key_value_conformance.ts";
import { MemoryNode, startMemoryCluster } from "./memory_cluster.ts";
import { temporaryDirectory } from "./process.ts";

testKeyValue("Node", async () => {
  const memory = await new MemoryNode("n1").start();
  return { store: memory.node, [Symbol.asyncDispose]: () => memory.stop() };
});

testKeyValue("Link", async () => {
  const cluster = await startMemoryCluster(1);
  return { store: cluster.links[0], [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
});

testKeyValue("Router", async () => {
  const cluster = await startMemoryCluster(6);
  return { store: cluster.router, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
});

testKeyValue("HTTP front of a router", async () => {
  const cluster = await startMemoryCluster(6);
  const store = new HttpKeyValue("http://memory", createHandler(cluster.router, systemClock));
  return { store, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
});

testKeyValue("HTTP server of a node", async () => {
  const directory = await temporaryDirectory();
  const node = await startNode({
    id: "n1",
    host: "127.0.0.1",
    port: 0,
    linkPort: 0,
    data: `${directory.path}/n1`,
  });
  return {
    store: new HttpKeyValue(`http://127.0.0.1:${node.httpPort}`, fetch),
    async [Symbol.asyncDispose]() {
      await node.close();
      await directory[Symbol.asyncDispose]();
    },
  };
});

testKeyValue("HTTP server of a router", async () => {
  const directory = await temporaryDirectory();
  const ids = ["n1", "n2", "n3"];
  const configs = ids.map((id) => {
    return { id, host: "127.0.0.1", port: 0, linkPort: 0, data: `${directory.path}/${id}` };
  });
  const nodes = await Promise.all(configs.map((config) => startNode(config)));
  const linked = configs.map((config, i) => ({ ...config, linkPort: nodes[i].linkPort }));
  const router = startRouter({ router: { host: "127.0.0.1", port: 0 }, nodes: linked });
  return {
    store: new HttpKeyValue(`http://127.0.0.1:${router.port}`, fetch),
    async [Symbol.asyncDispose]() {
      await router.close();
      await Promise.all(nodes.map((node) => node.close()));
      await directory[Symbol.asyncDispose]();
    },
  };
});
