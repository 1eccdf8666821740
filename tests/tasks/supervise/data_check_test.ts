import { assertEquals, assertRejects } from "@std/assert";
import { openRealNode } from "../../../node/open_real_node.ts";
import { freeConfig } from "../../../tasks/free_config.ts";
import { shardOf } from "../../../tasks/shard_number.ts";
import { ExitCode, Failure } from "../../../tasks/subcommand.ts";
import { checkData } from "../../../tasks/supervise/data_check.ts";
import { temporaryDirectory } from "../../process.ts";

/** A config of three nodes, the first `count` of which have started once. */
async function startedOnce(directory: string, count: number) {
  const config = freeConfig(directory, 3);
  for (const node of config.nodes.slice(0, count)) {
    const { id: nodeId, data } = node;
    await using _node = await openRealNode({
      directory: data,
      nodeId,
      shard: shardOf(config, node),
    });
  }
  return config;
}

Deno.test("checkData() has nothing to say of new directories, nor of those of the config", async () => {
  for (const count of [0, 3]) {
    await using directory = await temporaryDirectory();
    assertEquals(await checkData(await startedOnce(directory.path, count)), []);
  }
});

Deno.test("checkData() names nodes without data beside others with some", async () => {
  await using directory = await temporaryDirectory();
  assertEquals(await checkData(await startedOnce(directory.path, 2)), [
    "n3 has no data, though other nodes have; if it had any, stop the cluster and put it back",
  ]);
});

Deno.test("checkData() refuses a config with a node more, and names all that is wrong", async () => {
  await using directory = await temporaryDirectory();
  const config = await startedOnce(directory.path, 2);
  const [n1, n2] = config.nodes;
  const failure = await assertRejects(
    () => checkData({ ...config, nodes: [n1, { ...n2, id: "other" }] }),
    Failure,
  );
  assertEquals(failure.exitCode, ExitCode.misuse);
  assertEquals(failure.message.split("; Cannot "), [
    `Cannot use "${n1.data}": it holds shard 1 of 3, and by the config node "n1" is shard 1 of 2; ` +
    "put the number and order of the nodes back as they were",
    `use "${n2.data}": it belongs to node "n2", expected "other"`,
  ]);
});
