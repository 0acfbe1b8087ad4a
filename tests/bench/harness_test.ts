import { checkResults, WrongResult } from "../../bench/harness/check.ts";
import { gpuSamples, measure, type Timed } from "../../bench/harness/measure.ts";
import { makeRow, rate, rowsToJson } from "../../bench/harness/row.ts";
import { percentile } from "../../bench/harness/statistics.ts";
import { isOurs, rated, runsText, standings } from "../../bench/output/format.ts";
import { bestRate } from "../../bench/harness/roofline.ts";
import {
  assert,
  assertClose,
  assertEquals,
  assertRejects,
  assertThrows,
  test,
} from "../harness.ts";

const SETTING = {
  runtime: "Deno 1",
  adapter: "a card",
  software: false,
  driver: "D 1",
  date: "2026-01-01",
};
const WHAT = { workload: "matmul", shape: "2x2x2" };

test("percentile() interpolates between neighbours, in any order", () => {
  assertEquals(percentile([3, 1, 2], 0.5), 2);
  assertEquals(percentile([4, 1, 3, 2], 0.5), 2.5);
  assertEquals(percentile([0, 10], 0.1), 1);
  assertEquals(percentile([0, 10], 0.9), 9);
  assertEquals(percentile([7], 0.9), 7);
  assertEquals(percentile([1, 10, 100], 0), 1);
  assertEquals(percentile([1, 10, 100], 1), 100);
  assertThrows(() => percentile([], 0.5), RangeError, "no samples");
});

test("a row of --json has the fields that were promised, in that order", () => {
  const row = makeRow(WHAT, { label: "wgrad 1", cpu: false }, SETTING, {
    samples: [2, 1, 3],
    repeats_per_sync: 5,
    gflops: rate(4e6, 2),
    check: { ok: true, max_abs: 1e-6 },
  });
  assertEquals(JSON.parse(rowsToJson([row])), [{
    workload: "matmul",
    shape: "2x2x2",
    framework: "wgrad 1",
    runtime: "Deno 1",
    adapter: "a card",
    software: false,
    clock: "wall",
    repeats_per_sync: 5,
    median_ms: 2,
    p10_ms: 1.2,
    p90_ms: 2.8,
    gflops: 2,
    check: { ok: true, max_abs: 1e-6 },
    date: "2026-01-01",
    driver: "D 1",
  }]);
});

test("a failed row says why and has no time", () => {
  const row = makeRow(WHAT, { label: "peer", cpu: true }, SETTING, { failure: new Error("no") });
  assertEquals(
    [row.median_ms, row.check, row.error, row.software],
    [null, { ok: false, max_abs: null }, "no", true],
  );
});

test("checkResults() finds wrong, missing and undefined values", () => {
  const want = { y: { values: [1, -2, 4] } };
  assertEquals(checkResults({ y: [1, -2, 4.003] }, want, 1e-3).ok, true);
  const off = assertThrows(() => checkResults({ y: [1, -2, 4.005] }, want, 1e-3), WrongResult, "y");
  assert(Math.abs(off.check.max_abs! - 0.005) < 1e-9 && !off.check.ok);
  const nan = assertThrows(() => checkResults({ y: [NaN, -2, 4] }, want, 1e-3), WrongResult);
  assertEquals(nan.check, { ok: false, max_abs: null });
  assertThrows(() => checkResults({}, want, 1), WrongResult, "no result y");
  assertThrows(() => checkResults({ y: [1, -2] }, want, 1), WrongResult, "2 values");
});

test("checkResults() compares at the places that are given", () => {
  const want = { y: { values: [5, 7], at: [3, 0] } };
  assertEquals(checkResults({ y: [7, 0, 0, 5] }, want, 0), { ok: true, max_abs: 0 });
  assertThrows(() => checkResults({ y: [5, 0, 0, 7] }, want, 0.1), WrongResult);
});

test("measure() takes turns, and a failure ends only its own samples", async () => {
  const order: string[] = [];
  let calls = 0;
  const timed = (name: string, fails: boolean): Timed => ({
    mostRuns: 4,
    run: (times) => {
      order.push(`${name}${times}`);
      return fails && ++calls > 2 ? Promise.reject(new Error("broke")) : Promise.resolve();
    },
  });
  const options = { rounds: 3, sampleMs: 1e9, seconds: 100 };
  const samples = await measure([timed("a", false), timed("b", true), timed("c", false)], options);
  assertEquals(samples.map(({ perRun }) => perRun.length), [3, 0, 3]);
  assertEquals(samples[1].error, "broke");
  // Each warms up and grows to the most runs it may hold; then the rounds, each begun by another.
  assertEquals(samples.map(({ repeats }) => repeats)[0], 4);
  assertEquals(order.slice(-6), ["a4", "c4", "c4", "a4", "c4", "a4"]);
});

test("measure() takes a sample again with more runs where the candidate has become faster", async () => {
  const asked: number[] = [];
  let calls = 0;
  const timed: Timed = {
    mostRuns: Infinity,
    run: (times) => {
      asked.push(times);
      return new Promise((resolve) => setTimeout(resolve, times * (calls++ < 2 ? 30 : 3)));
    },
  };
  const [{ perRun, repeats }] = await measure([timed], { rounds: 3, sampleMs: 25, seconds: 100 });
  // One run is long enough at first: of 3 ms each it takes eight or more.
  assertEquals(asked.slice(0, 2), [1, 1]);
  assert(repeats >= 8 && asked.at(-1) === repeats, `${asked}`);
  assertEquals(perRun.length, 3);
  for (const ms of perRun) assert(ms < 25 && ms >= 2.9, `${perRun}`);
});

test("gpuSamples() means over so many runs that the steps of the clock do not count", async () => {
  const asked: number[] = [];
  const clock = (ms: number) => (times: number) => {
    asked.push(times);
    return Promise.resolve(Math.floor(10 * ms * times) / 10 / times); // steps of a tenth
  };
  assertEquals(await gpuSamples(clock(0.05), 2), { perRun: [0.05, 0.05], repeats: 64 });
  assertEquals(asked, [1, 64, 64]);
  assertEquals(await gpuSamples(clock(4), 1), { perRun: [4], repeats: 5 });
  assertEquals(await gpuSamples(clock(300), 1), { perRun: [300], repeats: 1 });
});

test("bestRate() leaves out samples whose wait came back before the work was done", async () => {
  // Ten units take 1 ms: 10^-5 thousand million a second; of the samples after the growth the second is too good.
  const early = new Set([3]);
  let calls = 0;
  const sample = (times: number) =>
    Promise.resolve({ work: 10 * times, ms: early.has(++calls) ? 0.01 : times });
  assertClose([await bestRate(1, 3, sample)], [1e-5], { rtol: 1e-9 });
  assertEquals(calls, 2 + 4);
  let count = 0;
  const never = (times: number) => Promise.resolve({ work: times, ms: ++count < 3 ? 9 : 0 });
  await assertRejects(() => bestRate(9, 1, never), Error, "before the work");
});

test("runsText() says where waiting is more than a twentieth of a sample", () => {
  const row = makeRow(WHAT, { label: "wgrad 1", cpu: false }, SETTING, {
    samples: [2],
    repeats_per_sync: 7,
  });
  assertEquals(runsText({ ...row, wait_share: 0.05 }), "7");
  assertEquals(runsText({ ...row, wait_share: 0.2 }), "7 (20% wait)");
});

test("standings() compares wall times with the best peer on the same adapter", () => {
  const row = (label: string, cpu: boolean, samples: number[], clock: "wall" | "gpu" = "wall") =>
    makeRow(WHAT, { label, cpu }, SETTING, { samples, clock });
  const rows = [
    row("wgrad 1", false, [2]),
    row("wgrad 1", false, [1], "gpu"),
    row("slow", false, [9]),
    row("fast", false, [3]),
    row("processor", true, [0.1]),
    makeRow(WHAT, { label: "broken", cpu: false }, SETTING, { failure: "no" }),
  ];
  assertEquals(standings(rows), [{ workload: "matmul 2x2x2", ratio: 1.5, peer: "fast" }]);
  assertEquals(rows.map(isOurs), [true, true, false, false, false, false]);
  const roof = { gflops: 100, gbs: 10, shape: "", copier: "" };
  const ratios = rated(rows, undefined, roof).map(({ ratio }) => ratio);
  assertEquals(ratios, [null, null, 4.5, 1.5, 0.05, null]);
});
