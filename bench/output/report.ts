/**
 * The HTML page: a plot and a table for each workload, under what they were measured on.
 * @module
 */
import { escapeHtml, page } from "../../cli/report/html.ts";
import config from "../../deno.json" with { type: "json" };
import type { Roofline } from "../harness/roofline.ts";
import { percentile } from "../harness/statistics.ts";
import { isFloor, type Row, type Setting } from "../harness/row.ts";
import type { Workload } from "../workload.ts";
import type { ScaledSeries } from "../scaling/run.ts";
import { barChart } from "./bar_chart.ts";
import {
  byWorkload,
  digits,
  isOurs,
  isSize,
  percent,
  type Rated,
  rated,
  runsText,
  settingText,
  short,
  standings,
} from "./format.ts";
import { scalingHtml } from "./scaling.ts";

/** What is said of one runtime's rows. */
export interface Section {
  readonly setting: Setting;
  /** Milliseconds that a wait for nothing takes. */
  readonly wait: number;
  readonly roof: Roofline;
  readonly rows: readonly Row[];
  /** How costs grow; empty where that was not asked for. */
  readonly scaling: readonly ScaledSeries[];
}

/** The page. */
export function benchPage(sections: readonly Section[], workloads: readonly Workload[]): string {
  const body = sections.map((section) => sectionHtml(section, workloads)).join("\n");
  return page(
    "wgrad bench",
    `<h1>wgrad bench</h1>
<p>Median of interleaved samples, with the tenth and ninetieth percentile; every row was compared with plain loops in
float64 before and after it was timed. Compilation and reading back are outside. Shorter bars are better; axes are
logarithmic.</p>
${body}`,
  );
}

function sectionHtml(section: Section, workloads: readonly Workload[]): string {
  const { setting, wait, roof, rows, scaling } = section, { runtime, adapter } = setting;
  const on = `wgrad ${config.version} on ${settingText(setting)}`;
  const timed = rows.filter(({ workload }) => workload !== "roofline"); // it stands in the heading
  const groups = [...byWorkload(timed)].map(([name, group]) => {
    const workload = workloads.find((w) => `${w.name} ${w.shape}` === name);
    return workloadHtml(name, rated(group, workload, roof), on);
  });
  return `<h2>${escapeHtml(runtime)}: ${escapeHtml(adapter)}</h2>
<p class="soft">${escapeHtml(on)}. Roofline, measured in the same run: ${
    digits(roof.gflops)
  } GFLOP/s
(${escapeHtml(roof.shape)}), ${digits(roof.gbs)} GB/s copied ${
    escapeHtml(roof.copier)
  }. A wait for nothing takes ${digits(wait)} ms.</p>
${standingHtml(rows, on)}
${groups.join("\n")}
${scaling.length > 0 ? SCALING_NOTE : ""}
${scaling.map((series) => scalingHtml(series, on)).join("\n")}`;
}

const SCALING_NOTE = `<h2>Scaling</h2>
<p>wgrad alone; the points of a plot took turns. Dashed: what the first point would become if time grew as the operations do.
Peak: the most bytes that tensors held during a step, with parameters and data; beside it what
<code>device.estimate</code> said before.</p>`;

/** Under each plot, so that it says on what even when it is taken out of the page. */
function caption(on: string): string {
  return `<p class="soft">${escapeHtml(on)}</p>`;
}

function standingHtml(rows: readonly Row[], on: string): string {
  const all = standings(rows);
  if (all.length === 0) return "";
  const bars = all.map(({ workload, ratio }) => ({
    name: workload.length > 42 ? `${workload.slice(0, 41)}…` : workload,
    value: ratio,
    low: ratio,
    high: ratio,
    ours: ratio >= 1,
    faint: false,
  }));
  const median = digits(percentile(all.map(({ ratio }) => ratio), 0.5));
  return `<p>Time of the best peer on this adapter over wgrad's: ${median} on the median of ${all.length} workloads.</p>
${barChart("best peer over wgrad", bars, (ratio) => `${digits(ratio)}x`)}${caption(on)}`;
}

function workloadHtml(name: string, rows: readonly Rated[], on: string): string {
  const timed = rows.filter(({ row }) => row.median_ms !== null);
  const bars = timed.map(({ row }) => ({
    name: row.clock === "gpu" ? `${row.framework}, GPU time` : row.framework,
    value: row.median_ms!,
    low: row.p10_ms!,
    high: row.p90_ms!,
    ours: isOurs(row),
    faint: row.clock === "gpu" || isFloor(row),
  }));
  const cells = (values: readonly string[], tag: "td" | "th") =>
    `<tr>${values.map((value) => `<${tag}>${escapeHtml(value)}</${tag}>`).join("")}</tr>`;
  const head = ["framework", "clock", "median ms", "p10", "p90", "runs a wait", "GFLOP/s", "GB/s"];
  const lines = rows.map(({ row, gbs, share, ratio }) =>
    cells([
      row.framework,
      row.clock,
      digits(row.median_ms),
      digits(row.p10_ms),
      digits(row.p90_ms),
      runsText(row),
      digits(row.gflops),
      digits(gbs),
      percent(share),
      ratio === null ? "" : `${digits(ratio)}x`,
      verdict(row),
    ], "td")
  );
  return `<h3>${escapeHtml(name)}</h3>
${bars.length > 0 ? barChart(name, bars, (ms) => `${digits(ms)} ms`) + caption(on) : ""}
<details><summary>figures</summary><div class="scroll"><table>
${cells([...head, "of roof", "over wgrad", "check"], "th")}
${lines.join("\n")}
</table></div></details>`;
}

/** The last column: why it failed, its size, or how far it is off. */
function verdict(row: Row): string {
  if (row.error !== undefined) return short(row.error, 160);
  if (isSize(row)) return row.shape;
  const { max_abs } = row.check;
  return max_abs === null ? "" : `max ${max_abs.toExponential(1)}`;
}
