/**
 * The story of a node that writes more than it keeps, as a real process with the permissions that
 * the supervisor gives it: it takes a snapshot in a thread of its own, is killed, and starts from
 * it.
 *
 * @module
 */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { formatAddress } from "../../lib/address.ts";
import { SNAPSHOT_GROWTH_BYTES_MIN } from "../../lib/limits.ts";
import { programsOf } from "../../tasks/supervise/program.ts";
import { startMain, temporaryDirectory, waitFor, writeFreeConfig } from "../process.ts";
import { get, put, request } from "./http_client.ts";

const VALUE_BYTES = 1_000_000;
const KEYS = 4;
const WRITES = Math.ceil(SNAPSHOT_GROWTH_BYTES_MIN / VALUE_BYTES) + KEYS;

function valueOf(seq: number): string {
  return `${seq} `.padEnd(VALUE_BYTES, "x");
}

Deno.test("a node may take a snapshot, and starts from it when it was killed", async () => {
  await using directory = await temporaryDirectory();
  const { config } = await writeFreeConfig(directory.path, 1);
  const [{ host, port, data }] = config.nodes;
  await Deno.mkdir(data);
  const url = `http://${formatAddress(host, port)}`;
  const permissions = programsOf(config)[0].args.filter((arg) => arg.startsWith("--allow"));
  const args = ["node", "--id", "n1", "--config", JSON.stringify(config)];
  const keyOf = (seq: number) => `k${seq % KEYS}`;
  const write = async (seq: number) =>
    (await put(url, { client: "c", seq, key: keyOf(seq), value: valueOf(seq) })).body;
  {
    await using node = startMain(args, { permissions });
    await node.line(/^listening/);
    for (let seq = 1; seq <= WRITES; seq++) assertEquals((await write(seq)).success, true);
    await waitFor("a snapshot", async () => {
      const { snapshot_total, snapshot_failures_total } = (await request(url, "/metrics")).body;
      assertEquals(snapshot_failures_total, 0, node.stderr.join("\n"));
      return snapshot_total > 0;
    });
    node.kill("SIGKILL");
    await node.exit();
  }
  await using check = startMain(["check", data]);
  assertEquals((await check.exit()).code, 0);
  assertMatch(check.stdout.join("\n"), /^snapshot {2}\d{16}\.snapshot {2}1 to \d+, .*, 4 keys/m);

  await using again = startMain(args, { permissions });
  await again.line(/^listening/);
  for (let seq = WRITES - KEYS + 1; seq <= WRITES; seq++) {
    const { value } = (await get(url, keyOf(seq))).body;
    assert(value === valueOf(seq), `value of write ${seq}`);
  }
  assertEquals((await write(1)).duplicate, true, "a write from before the snapshot, sent again");
});
