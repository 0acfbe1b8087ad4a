import { scalingHtml, scalingLines } from "../../bench/output/scaling.ts";
import { growthExponent } from "../../bench/scaling/growth.ts";
import { runSeries, type ScaledPoint, type ScaledSeries } from "../../bench/scaling/run.ts";
import { SCALING } from "../../bench/scaling/series.ts";
import { comparisons, growthOf, scalingRows } from "../../bench/scaling/summary.ts";
import { matmulWorkload } from "../../bench/workloads/matmul.ts";
import { trainingWorkload, vitGradientWorkload } from "../../bench/workloads/vit.ts";
import { assert, assertClose, assertEquals, gpuTest, OWN_DEVICE, test } from "../harness.ts";

const SETTING = {
  runtime: "test",
  adapter: "a card",
  software: false,
  driver: "D 1",
  date: "2026-01-01",
};

test("growthExponent() finds the power of a power law, and the best one between points", () => {
  const law = (p: number) => [1, 2, 5, 9].map((x): [number, number] => [x, 3 * x ** p]);
  for (const p of [0, 0.5, 1, 2, 3]) assertClose([growthExponent(law(p))!], [p], { atol: 1e-12 });
  // Slopes 1 and 3 over equal steps.
  assertClose([growthExponent([[1, 1], [2, 2], [4, 16]])!], [2], { atol: 1e-12 });
  assertEquals([growthExponent([]), growthExponent([[2, 3]])], [null, null]);
  assertEquals(growthExponent([[2, 3], [2, 4]]), null);
});

function point(x: number, ms: number | null, flops: number, peakBytes: number): ScaledPoint {
  const spread = ms === null ? null : { median: ms, p10: ms / 2, p90: 2 * ms, repeats: 7 };
  return {
    x,
    shape: `${x}x1`,
    flops,
    ms: spread,
    peakBytes,
    estimatedBytes: peakBytes + 4,
    maxAbs: 1e-6,
    ...(ms === null && { error: "the GPU went away" }),
  };
}

const MEASURED: ScaledSeries = {
  name: "a product by size",
  axis: "rows",
  lines: [
    {
      label: "plain",
      points: [point(1, 1, 1e6, 100), point(2, 2, 2e6, 200), point(4, 8, 4e6, 400)],
    },
    {
      label: "fancy",
      points: [point(1, 3, 2e6, 100), point(2, null, 4e6, 300), point(4, 16, 8e6, 500)],
    },
  ],
};

test("a series says how time, operations and memory grow, failed points apart", () => {
  const [plain, fancy] = MEASURED.lines.map(({ points }) => growthOf(points));
  assertClose([plain.time!, plain.timeAtEnd!], [1.5, 2], { atol: 1e-12 });
  assertClose([plain.arithmetic!, plain.arithmeticAtEnd!, plain.memory!], [1, 1, 1], {
    atol: 1e-12,
  });
  assertClose([fancy.time!], [Math.log(16 / 3) / Math.log(4)], { atol: 1e-12 });
  assertEquals(comparisons(MEASURED), [
    { x: 1, time: 3, arithmetic: 2, memory: 1 },
    { x: 4, time: 2, arithmetic: 2, memory: 1.25 },
  ]);
  assertEquals(comparisons({ ...MEASURED, lines: MEASURED.lines.slice(1) }), []);
});

test("a series as text, as HTML and as rows", () => {
  const text = scalingLines(MEASURED), html = scalingHtml(MEASURED, "a card, today");
  assert(html.includes("a card, today"), "what it was measured on");
  for (const shown of [text, html]) {
    for (const part of ["a product by size", "rows", "plain", "fancy", "the GPU went away"]) {
      assert(shown.includes(part), part);
    }
    assert(
      shown.includes("time grows as x^1.50 (last step x^2.00), operations as x^1.00 (x^1.00)"),
    );
    assert(shown.includes("fancy over plain: time 3.00, 2.00; operations 2.00, 2.00"));
  }
  assertEquals(html.match(/<circle/g)?.length, 5); // one a point that was measured
  const rows = scalingRows(MEASURED, { label: "wgrad 1", cpu: false }, SETTING);
  assertEquals(rows.map(({ workload }) => workload)[3], "a product by size: fancy");
  const { median_ms, p90_ms, gflops, repeats_per_sync, peak_bytes, estimated_peak_bytes } = rows[2];
  assertEquals([median_ms, p90_ms, gflops, repeats_per_sync], [8, 16, 0.5, 7]);
  assertEquals([peak_bytes, estimated_peak_bytes], [400, 404]);
  assertEquals([rows[4].error, rows[4].median_ms, rows[4].check.ok], [
    "the GPU went away",
    null,
    false,
  ]);
});

test("every series that --scaling knows grows, and is comparable", () => {
  const names = SCALING.map(({ name }) => name);
  assertEquals(new Set(names).size, names.length);
  for (const { name, lines, long } of SCALING) {
    for (const { label, points } of lines) {
      const at = `${name}: ${label}`;
      assert(points.length >= (long ? 1 : 4), at);
      points.slice(1).forEach(({ x, workload }, i) => {
        assert(x > points[i].x, `${at} has ${points[i].x} before ${x}`);
        assert(workload.flops! > points[i].workload.flops!, `${at} at ${x} is no more work`);
      });
    }
    const [first, ...rest] = lines.map(({ points }) => points.map(({ x }) => x));
    for (const xs of rest) assertEquals(xs, first);
  }
});

gpuTest("a series is checked and timed, and memory is what the estimate said", async (device) => {
  const vit = {
    imgSize: 8,
    patchSize: 4,
    inChans: 1,
    numClasses: 3,
    embedDim: 8,
    depth: 1,
    numHeads: 2,
  };
  const line = (label: string, workload: (size: number) => ReturnType<typeof matmulWorkload>) => ({
    label,
    points: [2, 3, 5].map((x) => ({ x, workload: workload(x) })),
  });
  const series = {
    name: "two",
    axis: "size",
    lines: [
      line("product", (size) => matmulWorkload(size, 4, 4)),
      line("training", (size) => trainingWorkload("tiny ViT", vit, size)),
      line("gradients", (size) => vitGradientWorkload("tiny ViT", vit, size)),
    ],
  };
  const before = device.memory.liveBytes;
  const { lines } = await runSeries(device, series, { rounds: 1, sampleMs: 0, seconds: 0 }, 2);
  assertEquals(lines.map(({ points }) => points.map(({ x }) => x)), [[2, 3], [2, 3], [2, 3]]);
  for (
    const { shape, ms, maxAbs, peakBytes, estimatedBytes, error } of lines.flatMap((l) => l.points)
  ) {
    assertEquals(error, undefined);
    assert(ms!.median > 0 && maxAbs! < 1e-3, shape);
    assertEquals(peakBytes, estimatedBytes, shape);
  }
  // Two inputs and the result of a product are at least what it holds.
  assert(lines[0].points[0].peakBytes >= 4 * (2 * 4 + 4 * 4 + 2 * 4));
  await device.sync(); // what was disposed of is free now
  assertEquals(device.memory.liveBytes, before);
}, OWN_DEVICE);
