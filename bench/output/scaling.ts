/**
 * Series of growing workloads, as text and as HTML.
 * @module
 */
import { escapeHtml } from "../../cli/report/html.ts";
import { rate } from "../harness/row.ts";
import type { ScaledPoint, ScaledSeries } from "../scaling/run.ts";
import { comparisons, growthOf } from "../scaling/summary.ts";
import { digits, short } from "./format.ts";
import { growthChart, type GrowthCurve } from "./growth_chart.ts";

/** What the columns hold. */
const HEAD = ["median ms", "p10", "p90", "GFLOP", "GFLOP/s", "peak MB", "estimate", "max error"];

function cells({ ms, flops, peakBytes, estimatedBytes, maxAbs }: ScaledPoint): string[] {
  return [
    digits(ms?.median ?? null),
    digits(ms?.p10 ?? null),
    digits(ms?.p90 ?? null),
    digits(flops / 1e9),
    digits(rate(flops, ms?.median ?? null)),
    digits(peakBytes / 1e6),
    digits(estimatedBytes / 1e6),
    maxAbs === null ? "-" : maxAbs.toExponential(0),
  ];
}

/** The growth of a line as a sentence. */
function growthText(points: readonly ScaledPoint[]): string {
  const { time, timeAtEnd, arithmetic, arithmeticAtEnd, memory } = growthOf(points);
  const power = (exponent: number | null) => exponent === null ? "-" : `x^${exponent.toFixed(2)}`;
  return `time grows as ${power(time)} (last step ${power(timeAtEnd)}), operations as ${
    power(arithmetic)
  } (${power(arithmeticAtEnd)}), memory as ${power(memory)}`;
}

/** How the second line stands to the first. */
function comparisonText(series: ScaledSeries): string | null {
  const all = comparisons(series);
  if (all.length === 0) return null;
  const [first, second] = series.lines.map(({ label }) => label);
  const list = (of: "time" | "arithmetic" | "memory") =>
    all.map((comparison) => digits(comparison[of])).join(", ");
  return `${second} over ${first}: time ${list("time")}; operations ${list("arithmetic")}; memory ${
    list("memory")
  }`;
}

/** The table of one series. */
export function scalingLines(series: ScaledSeries): string {
  const { name, axis, lines } = series;
  const row = (x: string, values: readonly string[]) =>
    `    ${x.padStart(6)}${values.map((value) => value.padStart(11)).join("")}`;
  const body = lines.flatMap(({ label, points }) => [
    `  ${label}`,
    row("x", HEAD),
    ...points.map((point) =>
      point.error === undefined
        ? row(String(point.x), cells(point))
        : row(String(point.x), [`  ${short(point.error)}`])
    ),
    `    ${growthText(points)}`,
  ]);
  const comparison = comparisonText(series);
  return [`\n${name}; x: ${axis}`, ...body, ...(comparison === null ? [] : [`  ${comparison}`])]
    .join("\n");
}

/** Plot and table of one series. @param on what it was measured on */
export function scalingHtml(series: ScaledSeries, on: string): string {
  const { name, axis, lines } = series;
  const curves = lines.map(({ label, points }, i): GrowthCurve => {
    const timed = points.filter(({ ms }) => ms !== null);
    return {
      name: label,
      color: i === 0 ? "var(--a)" : "var(--b)",
      points: timed.map(({ x, ms, flops }) => {
        return { x, y: ms!.median, arithmetic: timed[0].ms!.median * flops / timed[0].flops };
      }),
    };
  });
  const tr = (values: readonly string[], tag: "td" | "th") =>
    `<tr>${values.map((value) => `<${tag}>${escapeHtml(value)}</${tag}>`).join("")}</tr>`;
  const rows = lines.flatMap(({ label, points }) =>
    points.map((point) => {
      const last = point.error === undefined ? "" : short(point.error, 160);
      return tr([label, String(point.x), point.shape, ...cells(point), last], "td");
    })
  );
  const texts = [
    ...lines.map(({ label, points }) => `${label}: ${growthText(points)}.`),
    ...[comparisonText(series)].filter((text) => text !== null).map((text) => `${text}.`),
  ];
  const drawn = curves.some(({ points }) => points.length > 0);
  return `<h3>${escapeHtml(name)}</h3>
${drawn ? growthChart({ title: name, axis }, curves, (ms) => `${digits(ms)} ms`) : ""}
<p class="soft">${escapeHtml(on)}</p>
<p>${texts.map(escapeHtml).join("<br>")}</p>
<details><summary>figures</summary><div class="scroll"><table>
${tr(["", "x", "shape", ...HEAD, ""], "th")}
${rows.join("\n")}
</table></div></details>`;
}
