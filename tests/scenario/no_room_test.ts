/**
 * Stories of a node that has no room, with real processes, on file systems that refuse for real:
 * the writes are refused, reads go on, and nothing that was acknowledged is lost.
 *
 * @module
 */
import { assert, assertEquals, assertGreater, assertStringIncludes } from "@std/assert";
import { join } from "@std/path";
import type { ClusterConfig } from "../../lib/config.ts";
import { startMain, temporaryDirectory, waitFor, writeFreeConfig } from "../process.ts";
import { type Answer, get, put, remove, request } from "./http_client.ts";

/** So large that a few fill what there is. */
const VALUE = "v".repeat(500_000);

/** What is served under one address, and the keys that were acknowledged or refused there. */
class Served {
  readonly acknowledged: string[] = [];
  readonly refused: string[] = [];
  #seq = 0;

  constructor(readonly url: string) {}

  ask(path: string): Promise<Answer> {
    return request(this.url, path);
  }

  delete(key: string): Promise<Answer> {
    return remove(this.url, { client: "c", seq: ++this.#seq, key });
  }

  put(value: string, seq = ++this.#seq): Promise<Answer> {
    return put(this.url, { client: "c", seq, key: `k${seq}`, value });
  }

  /** Puts one value after the other until one is refused. Returns the refusal. */
  async fill(): Promise<Answer> {
    for (;;) {
      const answer = await this.put(VALUE);
      const key = `k${this.#seq}`;
      if (answer.status !== 200) {
        this.refused.push(key);
        return answer;
      }
      this.acknowledged.push(key);
    }
  }

  async assertIntact(): Promise<void> {
    for (const key of this.acknowledged) {
      const { status, body } = await get(this.url, key);
      assert(status === 200 && body.value === VALUE, `${key} is not there: ${status}`);
    }
    for (const key of this.refused) assertEquals((await get(this.url, key)).status, 404);
  }
}

function nodeUrl({ nodes: [{ port }] }: ClusterConfig): string {
  return `http://127.0.0.1:${port}`;
}

Deno.test("a node whose files may not grow refuses writes, and goes on when they may", async () => {
  await using directory = await temporaryDirectory();
  const { file, config } = await writeFreeConfig(directory.path, 1);
  const args = ["node", "--id", "n1", "--config", file];
  const served = new Served(nodeUrl(config));
  // 8 MiB in units of 512 bytes. The system cuts a write short there, and refuses the next.
  const script = `trap "" XFSZ; ulimit -f 16384; exec "$0" "$@"`;
  for (const life of ["first", "second"]) {
    await using limited = startMain(args, { within: ["sh", "-c", script] });
    await limited.line(/^listening/);
    await served.assertIntact();
    const { status, body } = await served.fill();
    assertEquals(status, 507, body.error);
    assertStringIncludes(body.error, "Disk is full (File too large (os error 27))");
    assertGreater(served.acknowledged.length, 5);
    assertEquals(served.refused.length, life === "first" ? 1 : 2);
    await served.assertIntact();
    // What was acknowledged before is acknowledged again; that needs no space.
    assertEquals((await served.put(VALUE, 1)).body.duplicate, true);
    limited.kill("SIGKILL");
    await limited.exit();
  }
  await using node = startMain(args);
  await node.line(/^listening/);
  await served.assertIntact();
  const [key] = served.refused;
  assertEquals((await served.put(VALUE, Number(key.slice(1)))).status, 200);
});

/** Whether this user may mount a file system that nobody else sees. Containers often forbid it. */
async function canMount(): Promise<boolean> {
  try {
    const args = ["-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"];
    return (await new Deno.Command("unshare", { args, stderr: "null" }).output()).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false; // not on this system
    throw error;
  }
}

/** Runs what follows with a disk of 12 MiB at `$0`, a third of which a file called `$1` frees. */
const WITH_SMALL_DISK = `
  set -e
  disk="$0"; free="$1"; shift
  mount -t tmpfs -o size=12m tmpfs "$disk"
  head -c 4194304 /dev/zero > "$disk/filler"
  (while kill -0 $$ && [ ! -e "$free" ]; do sleep 0.05; done; rm "$disk/filler") > /dev/null 2>&1 &
  exec "$@"`;

Deno.test({
  name:
    "a node whose disk is full refuses writes behind its router, and goes on when there is space",
  ignore: !await canMount(),
  async fn() {
    await using directory = await temporaryDirectory();
    const { file, config } = await writeFreeConfig(directory.path, 2);
    const [n1, n2] = config.nodes;
    const disk = n1.data;
    const free = join(directory.path, "free");
    await Deno.mkdir(disk);
    const data = join(disk, "data");
    await Deno.writeTextFile(file, JSON.stringify({ ...config, nodes: [{ ...n1, data }, n2] }));
    const start = (...args: string[]) => startMain([...args, "--config", file]);
    await using full = startMain(["node", "--id", "n1", "--config", file], {
      within: ["unshare", "-Urm", "sh", "-c", WITH_SMALL_DISK, disk, free],
    });
    await using other = start("node", "--id", "n2");
    await using router = start("router");
    for (const process of [full, other, router]) await process.line(/^listening/);

    const direct = new Served(nodeUrl(config));
    const { status, body } = await direct.fill();
    assertEquals(status, 507, body.error);
    assertStringIncludes(body.error, "Disk is full (No space left on device (os error 28))");
    await direct.assertIntact();

    // Behind the router the keys of that node alone are concerned, and the answer names it.
    const routed = new Served(`http://127.0.0.1:${config.router.port}`);
    await waitFor(
      "the router has its links",
      async () => (await routed.ask("/health")).status === 200,
    );
    const answers = await Promise.all(Array.from({ length: 20 }, () => routed.put(VALUE)));
    const refusals = answers.filter((answer) => answer.status !== 200);
    assert(refusals.length > 0 && refusals.length < 20, `${refusals.length} refusals`);
    for (const { status, body } of refusals) {
      assertEquals(status, 507);
      assertStringIncludes(body.error, `Node "n1": Disk is full`);
    }
    const { body: metrics } = await direct.ask("/metrics");
    assertGreater(metrics.refused_disk_full_total, refusals.length);

    await Deno.writeTextFile(free, "");
    const [key] = direct.refused;
    const again = () => direct.put(VALUE, Number(key.slice(1)));
    await waitFor("the node takes writes again", async () => (await again()).status === 200);
    assertEquals((await again()).body.duplicate, true);
    direct.acknowledged.push(direct.refused.pop()!);
    await direct.assertIntact();
  },
});

Deno.test("a node whose memory is full refuses writes until keys are deleted", async () => {
  await using directory = await temporaryDirectory();
  const { file, config } = await writeFreeConfig(directory.path, 1);
  await using node = startMain(
    ["node", "--id", "n1", "--config", file, "--memory-max", "384MiB"],
  );
  await node.line(/^listening/);
  const served = new Served(nodeUrl(config));
  const { status, body } = await served.fill();
  assertEquals(status, 507, body.error);
  assertStringIncludes(body.error, "Memory is full: the store holds ");
  await served.assertIntact();
  for (let i = 0; i < 50; i++) assertEquals((await served.put(VALUE)).status, 507);
  const { body: metrics } = await served.ask("/metrics");
  assertEquals(metrics.refused_memory_full_total, 51);
  assertEquals(metrics.last_index, served.acknowledged.length);
  assertGreater(metrics.store_held_bytes, metrics.store_held_bytes_max - 2 * VALUE.length);

  const deleted = served.acknowledged.splice(0, 10);
  for (const key of deleted) assertEquals((await served.delete(key)).body.prevValue, VALUE);
  for (const _ of deleted) assertEquals((await served.put(VALUE)).status, 200);
  assertEquals((await served.put(VALUE)).status, 507);
});
