import { assertEquals } from "@std/assert";
import {
  decodeFileHeader,
  encodeFileHeader,
  encodeFrame,
  frameBytes,
  FrameKind,
  Mark,
  SECTOR_BYTES,
} from "../../../node/log/log_format.ts";

// These pin what is on disk: a change here is a change of the format, and needs a new version.

Deno.test("encodeFrame() writes the bytes of the example", () => {
  const target = new Uint8Array(SECTOR_BYTES).fill(0xaa);
  const frame = { kind: FrameKind.batch, firstIndex: 1, count: 1, chain: 0 };
  encodeFrame(target, new TextEncoder().encode("abc"), frame);
  assertEquals(
    target.subarray(0, 31).toHex(),
    "9d010000" + "03000000" + "0100000000000000" + "01000000" + "171a3828" + "21ec7003" + "616263",
  );
  assertEquals(target.subarray(31).every((byte) => byte === 0), true, "padding");
});

Deno.test("encodeFrame() leaves no sector without a mark, whatever the body is", () => {
  for (const length of [0, 484, 485, 995, 996, 5000]) {
    const target = new Uint8Array(frameBytes(length));
    const frame = { kind: FrameKind.batch, firstIndex: 1, count: 1, chain: 0 };
    encodeFrame(target, new Uint8Array(length), frame);
    for (let sector = 0; sector < target.length; sector += SECTOR_BYTES) {
      assertEquals(target[sector], sector === 0 ? 0x9d : 0x67, `${length} bytes, at ${sector}`);
    }
  }
});

Deno.test("encodeFileHeader() writes the bytes of its table, and they are read back", () => {
  const logId = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
  const header = { firstIndex: 2 ** 40 + 7, chain: 0xdeadbeef, logId, nodeId: "n1" };
  const { sector, checksum } = encodeFileHeader(Mark.segment, header);
  assertEquals(
    sector.subarray(0, 44).toHex(),
    "f8010000" + "7369787061746873" + "0700000000010000" + "efbeadde" +
      "0102030405060708090a0b0c0d0e0f10" + "026e3100",
  );
  assertEquals(decodeFileHeader(Mark.segment, sector), { header, checksum });
  assertEquals(decodeFileHeader(Mark.snapshot, sector), "file is not a snapshot");
});
