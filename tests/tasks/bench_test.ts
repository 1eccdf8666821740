import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { setColorEnabled } from "@std/fmt/colors";
import { join } from "@std/path";
import { type AutocannonResult, fromAutocannon } from "../../tasks/bench/autocannon.ts";
import {
  formatManyKeys,
  formatMemory,
  formatRestart,
  formatRow,
  formatSnapshotPauses,
} from "../../tasks/bench/bench_view.ts";
import { compare, type Comparison, measurePairs, type Pair } from "../../tasks/bench/comparison.ts";
import { parseRedisBenchmark } from "../../tasks/bench/redis.ts";
import { problemOf, type RowResult } from "../../tasks/bench/rows.ts";
import { median, percentile } from "../../tasks/bench/statistics.ts";
import type { LoadResult } from "../../tasks/bench/workload.ts";
import { parseWrk } from "../../tasks/bench/wrk.ts";
import { inBlackAndWhite } from "../black_and_white.ts";
import { startMain, temporaryDirectory } from "../process.ts";

function slice(requests: number, failures = 0): LoadResult {
  return { requests, seconds: 2, failures, p50Ms: requests / 100, p99Ms: requests / 10, maxMs: 1 };
}

const COMPARISON: Comparison = {
  rate: 52_345.6,
  baselineRate: 80_123.4,
  ratio: 0.654,
  ratioMin: 0.61,
  ratioMax: 0.7,
  p50Ms: 1.2,
  p99Ms: 3.4,
  baselineP50Ms: 0.8,
  baselineP99Ms: 2,
  failures: 0,
};

const ROW: RowResult = {
  id: "put",
  title: "PUT, one node",
  connections: 64,
  ...COMPARISON,
  goal: 0.65,
  syncsPerWrite: 0.034,
};

Deno.test("parseWrk() finds the line of the script in the output of wrk", () => {
  const output = `Running 2s test @ http://127.0.0.1:8090
  1 threads and 64 connections
result {"requests":1000,"microseconds":2010000,"status":1,"connect":2,"read":3,"write":4,` +
    `"timeout":5,"p50":1250,"p99":4500,"max":9000}
`;
  assertEquals(parseWrk(output), {
    requests: 1000,
    seconds: 2.01,
    failures: 15,
    p50Ms: 1.25,
    p99Ms: 4.5,
    maxMs: 9,
  });
});

Deno.test("parseWrk() shows an output that has no such line", () => {
  const error = assertThrows(() => parseWrk("unable to connect"), Error);
  assertEquals(
    error.message,
    `Output of wrk has no line "result …", but: unable to connect`,
  );
});

Deno.test("fromAutocannon() counts answers of every status, and what failed", () => {
  const result: AutocannonResult = {
    duration: 2.04,
    errors: 3,
    non2xx: 4,
    "2xx": 100,
    latency: { p50: 5, p99: 13, max: 21 },
  };
  assertEquals(fromAutocannon(result), {
    requests: 104,
    seconds: 2.04,
    failures: 7,
    p50Ms: 5,
    p99Ms: 13,
    maxMs: 21,
  });
});

Deno.test("parseRedisBenchmark() finds its figures by their names", () => {
  const output = `"test","rps","avg_latency_ms","p50_latency_ms","p99_latency_ms","max_latency_ms"
"SET","50000.00","0.700","0.615","2.631","5.015"
`;
  assertEquals(parseRedisBenchmark(output, 100_000), {
    requests: 100_000,
    seconds: 2,
    failures: 0,
    p50Ms: 0.615,
    p99Ms: 2.631,
    maxMs: 5.015,
  });
});

Deno.test("parseRedisBenchmark() names the figure that is missing", () => {
  const error = assertThrows(() => parseRedisBenchmark(`"SET","50000.00"`, 1), Error);
  assertStringIncludes(error.message, `Output of redis-benchmark has no "rps"`);
});

Deno.test("median() is the middle figure, or the mean of the two in the middle", () => {
  assertEquals(median([3, 1, 10]), 3);
  assertEquals(median([4, 1, 10, 2]), 3);
  assertEquals(median([7]), 7);
  assertThrows(() => median([]), RangeError);
});

Deno.test("percentile() is the smallest figure that so many do not pass", () => {
  const figures = Array.from({ length: 1000 }, (_, i) => i + 1);
  assertEquals(percentile(figures, 0.999), 999);
  assertEquals(percentile(figures, 1), 1000);
  assertEquals(percentile(figures, 0), 1);
  assertThrows(() => percentile([], 0.5), RangeError);
});

Deno.test("compare() takes ratios pair by pair: a machine may get slower between them", () => {
  const pairs: Pair[] = [
    { baseline: slice(1000), row: slice(500) },
    { baseline: slice(100), row: slice(60) },
    { baseline: slice(10), row: slice(4) },
  ];
  const { ratio, ratioMin, ratioMax, rate, baselineRate, p50Ms } = compare(pairs);
  assertEquals([ratio, ratioMin, ratioMax], [0.5, 0.4, 0.6]);
  assertEquals([rate, baselineRate, p50Ms], [30, 50, 0.6]);
});

Deno.test("compare() adds up the failures of rows and baselines", () => {
  assertEquals(compare([{ baseline: slice(9, 1), row: slice(9, 2) }]).failures, 3);
});

Deno.test("measurePairs() measures baseline and row in turns", async () => {
  const order: string[] = [];
  const measure = (name: string) => () => {
    order.push(name);
    return Promise.resolve(slice(10));
  };
  await measurePairs(2, { baseline: measure("baseline"), row: measure("row") });
  assertEquals(order, ["baseline", "row", "baseline", "row"]);
});

Deno.test("problemOf() says why figures mean nothing", () => {
  assertEquals(problemOf(0, 0), undefined);
  assertEquals(problemOf(2), "2 requests failed or were not answered with 2xx, expected 0");
  assertEquals(problemOf(0, 5), "5 writes were taken for duplicates, expected 0");
});

Deno.test("formatRow() puts a figure beside its goal", () => {
  inBlackAndWhite(() => {
    const start = "PUT, one node                  64   52,346   80,123   0.65  0.61-0.70";
    assertEquals(formatRow(ROW), `${start}  0.65  reached    1.20    3.40   0.034`);
    assertEquals(
      formatRow({ ...ROW, goal: 0.66 }),
      `${start}  0.66  missed     1.20    3.40   0.034`,
    );
    assertEquals(
      formatRow({ ...ROW, goal: undefined, syncsPerWrite: undefined }),
      `${start}                   1.20    3.40`,
    );
  });
});

Deno.test("formatRow() marks a row with failures as invalid, even if its goal is reached", () => {
  inBlackAndWhite(() => {
    const [line, reason] = formatRow({ ...ROW, problem: problemOf(2) }).split("\n");
    assertStringIncludes(line, "  0.65  INVALID  ");
    assertEquals(reason, "  2 requests failed or were not answered with 2xx, expected 0");
  });
});

// With NO_COLOR in the environment the library cannot be told to colour.
Deno.test("formatRow() is as wide in colour as without", { ignore: Deno.noColor }, () => {
  const plain = formatRow({ ...ROW, goal: undefined });
  setColorEnabled(true);
  try {
    const coloured = formatRow(ROW);
    assertStringIncludes(coloured, "\x1b[32mreached\x1b[39m");
    // deno-lint-ignore no-control-regex
    assertEquals(coloured.replaceAll(/\x1b\[\d+m/g, "").length, plain.length);
  } finally {
    setColorEnabled(!Deno.noColor);
  }
});

Deno.test("formatManyKeys() holds every figure against its goal", () => {
  inBlackAndWhite(() =>
    assertEquals(
      formatManyKeys({
        keyCount: 1_000_000,
        replayRate: 612_345,
        bytesPerKey: 250.4,
        get: { ...COMPARISON, ratio: 0.97 },
        put: { ...COMPARISON, ratio: 0.89 },
        stallMs: 8.25,
        emptyStallMs: 2.5,
        turnMsP999: 0.5,
        memory: [],
      }),
      `1,000,000 keys on one node                                figure                  goal
replay of the log                                      612,345/s    at least 500,000/s  reached
memory per key                                             250 B         at most 250 B  missed
GET against 10,000 keys                                     0.97         at least 0.90  reached
PUT against 10,000 keys                                     0.89         at least 0.90  missed
longest stall (of an empty node 2.5 ms)                   8.3 ms         at most 10 ms  reached`,
    )
  );
});

Deno.test("formatSnapshotPauses() holds the longest wait against that without a snapshot", () => {
  inBlackAndWhite(() =>
    assertEquals(
      formatSnapshotPauses({
        keyCount: 1_000_000,
        waits: [
          {
            method: "get",
            withoutMs: 10,
            withMs: 29.9,
            withoutMsMax: 90,
            withMsMax: 90,
            slices: 4,
          },
          {
            method: "put",
            withoutMs: 10,
            withMs: 30.1,
            withoutMsMax: 90,
            withMsMax: 90,
            slices: 4,
          },
        ],
        failures: 0,
      }),
      `a snapshot of 1,000,000 keys, longest wait                figure                  goal
GET, 4 slices (without 10.0 ms)                          29.9 ms    at most 20 ms more  reached
PUT, 4 slices (without 10.0 ms)                          30.1 ms    at most 20 ms more  missed`,
    )
  );
});

Deno.test("formatRestart() holds disk use and restart time against their goals", () => {
  inBlackAndWhite(() =>
    assertEquals(
      formatRestart({
        keyCount: 1000,
        writes: 10_000_000,
        snapshots: 39,
        snapshotBytes: 4 * 1024 * 1024,
        logBytes: 30 * 1024 * 1024,
        diskBytes: 36 * 1024 * 1024,
        diskBytesGoal: 204 * 1024 * 1024,
        startMs: 1200,
      }),
      `10,000,000 overwrites of 1,000 keys                       figure                  goal
disk use (snapshot 4 MiB, log 30 MiB)                     36 MiB       at most 204 MiB  reached
start until it serves                                   1,200 ms      at most 1,000 ms  missed`,
    )
  );
});

Deno.test("formatMemory() says so where memory cannot be told", () => {
  inBlackAndWhite(() =>
    assertEquals(
      formatMemory([{ name: "n1", residentBytes: 3 * 1024 * 1024 }, { name: "router" }]),
      `resident memory
n1                                                         3 MiB
router                                      unknown: no ps on the PATH`,
    )
  );
});

Deno.test("bench finds out before it measures that the figures cannot be written", async () => {
  await using directory = await temporaryDirectory();
  const file = join(directory.path, "none", "x.json");
  await using process = startMain(["bench", "--quick", "--json", file]);
  assertEquals((await process.exit()).code, 1);
  assertEquals([process.stdout, process.stderr], [[], [
    `sixpaths bench: Cannot write "${file}": ` +
    `No such file or directory (os error 2): open '${file}'`,
  ]]);
});
