import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { crc32 } from "node:zlib";
import { DamageError } from "../../../node/log/damage.ts";
import { FileLog } from "../../../node/log/file_log.ts";
import { SimulatedDisk } from "../../../tasks/simulate/simulated_disk.ts";
import { DIRECTORY, filesOf, openSmallNode, pathOf, takeFrom, write } from "../small_node.ts";

/**
 * A directory with a snapshot and two segments after it, small enough to damage at every bit; with
 * `covered`, the segment that the snapshot stands for is still there as well.
 */
async function directory(options: { covered: boolean }): Promise<SimulatedDisk> {
  const disk = new SimulatedDisk();
  await using opened = await openSmallNode(disk, { growthBytesMin: Infinity });
  await write(opened, 0, 6);
  const index = await opened.log.cut();
  const snapshot = await takeFrom(disk)(index, new AbortController().signal);
  if (!options.covered) await opened.log.drop(snapshot);
  await write(opened, 6, 8);
  await opened.log.cut();
  await write(opened, 8, 10);
  return disk.copy();
}

/** All that a start finds, as text: which parts and batches, and in which order. */
async function contentOf(disk: SimulatedDisk): Promise<string> {
  const found: string[] = [];
  const options = {
    disk,
    directory: DIRECTORY,
    nodeId: "n1",
    randomId: () => new Uint8Array(16),
    existing: true,
    report: () => {},
  };
  const log = await FileLog.open(options, {
    part: (kind, body) => found.push(`part ${kind} ${crc32(body)}`),
    batch: (body, firstIndex, count) => found.push(`${firstIndex}×${count} ${crc32(body)}`),
  });
  log.close();
  return found.join();
}

/** Damages copies of a directory, and counts what becomes of them. */
class Damager {
  readonly #whole: SimulatedDisk;
  /** What a start may find: from the snapshot, or from record 1 where the log goes back to it. */
  readonly #intact: readonly string[];
  refused = 0;
  whole = 0;

  private constructor(whole: SimulatedDisk, intact: readonly string[]) {
    this.#whole = whole;
    this.#intact = intact;
  }

  static async of(disk: SimulatedDisk, options: { covered: boolean }): Promise<Damager> {
    const intact = [await contentOf(disk.copy())];
    if (options.covered) {
      const withoutSnapshot = disk.copy();
      for (const name of await filesOf(disk)) {
        if (name.endsWith(".snapshot")) withoutSnapshot.files.delete(pathOf(name));
      }
      intact.push(await contentOf(withoutSnapshot));
    }
    return new Damager(disk, intact);
  }

  get count(): number {
    return this.refused + this.whole;
  }

  /** @throws {Error} A start on the damaged directory finds something else, and says nothing. */
  async try(what: string, damage: (disk: SimulatedDisk) => void): Promise<void> {
    const disk = this.#whole.copy();
    damage(disk);
    try {
      const content = await contentOf(disk);
      if (!this.#intact.includes(content)) throw new Error(`Silent loss: ${what}`);
      this.whole++;
    } catch (error) {
      assertInstanceOf(error, DamageError, `${what}: ${error}`);
      assert(error.file.startsWith(DIRECTORY) && error.offset >= 0, error.message);
      this.refused++;
    }
  }
}

for (const covered of [false, true]) {
  const what = covered ? "a snapshot and all segments" : "a snapshot and two segments";

  Deno.test(`Node has what was acknowledged or does not start: ${what}, one bit off`, async () => {
    const disk = await directory({ covered });
    const damager = await Damager.of(disk, { covered });
    // Every bit of what is needed; one of each byte where most of it can be done without.
    const step = covered ? 9 : 1;
    for (const name of await filesOf(disk)) {
      for (let bit = 0; bit < disk.bytes(pathOf(name)).length * 8; bit += step) {
        await damager.try(
          `bit ${bit} of ${name}`,
          (disk) => disk.bytes(pathOf(name))[bit >> 3] ^= 1 << (bit & 7),
        );
      }
    }
    assert(damager.count > 50_000 / step, `${damager.count} flips`);
    assert((covered ? damager.whole : damager.refused) > damager.count / 2, `${damager.refused}`);
  });

  Deno.test(`Node has what was acknowledged or does not start: ${what}, cut anywhere`, async () => {
    const disk = await directory({ covered });
    const damager = await Damager.of(disk, { covered });
    for (const name of await filesOf(disk)) {
      for (let length = 0; length < disk.bytes(pathOf(name)).length; length++) {
        await damager.try(`${name} cut at ${length}`, (disk) => disk.cut(pathOf(name), length));
      }
    }
    assert(damager.count > 6000, `${damager.count} cuts`);
  });

  Deno.test(`Node has what was acknowledged or does not start: ${what}, a file gone`, async () => {
    const disk = await directory({ covered });
    const damager = await Damager.of(disk, { covered });
    const names = await filesOf(disk);
    for (const name of names) {
      await damager.try(`${name} gone`, (disk) => disk.files.delete(pathOf(name)));
    }
    // With all segments there, the snapshot can be done without, and so can what it stands for.
    assertEquals([damager.refused, damager.whole], covered ? [2, 2] : [3, 0], names.join());
  });
}
