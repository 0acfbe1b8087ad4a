/**
 * Shows results: a line of the table for each row, a bar for each time.
 * @module
 */
import { barChart } from "../../../bench/output/bar_chart.ts";
import { digits, percent, rated, short } from "../../../bench/output/format.ts";
import type { Roofline } from "../../../bench/harness/roofline.ts";
import type { Row } from "../../../bench/harness/row.ts";
import type { Workload } from "../../../bench/workload.ts";
import { element } from "../../client/dom.ts";

const nameOf = ({ workload, shape }: Row): string => `${workload} ${shape}`;

/** Adds the rows of a workload to the table. */
export function addRows(
  table: HTMLElement,
  rows: readonly Row[],
  workload: Workload,
  roof: Roofline,
): void {
  for (const { row, gbs, share } of rated(rows, workload, roof)) {
    const { error, check } = row;
    const verdict = error !== undefined
      ? `failed: ${short(error)}`
      : `ok, off by ${check.max_abs?.toExponential(0) ?? "nothing"}`;
    const cells = [
      row.clock,
      digits(row.median_ms),
      digits(row.p10_ms),
      digits(row.p90_ms),
      String(row.repeats_per_sync),
      digits(row.gflops),
      digits(gbs),
      percent(share),
      verdict,
    ];
    const line = element(
      "tr",
      { "data-ok": String(check.ok && error === undefined) },
      element("th", { scope: "row" }, nameOf(row)),
      ...cells.map((text) => element("td", {}, text)),
    );
    table.append(line);
  }
}

/** Draws all times that there are, on one logarithmic axis. */
export function drawBars(place: HTMLElement, rows: readonly Row[]): void {
  const timed = rows.filter(({ median_ms }) => median_ms !== null && median_ms > 0);
  if (timed.length === 0) return place.replaceChildren();
  place.innerHTML = barChart(
    "Milliseconds of a run",
    timed.map((row) => ({
      name: shortened(row.clock === "gpu" ? `${nameOf(row)}, GPU` : nameOf(row)),
      value: row.median_ms!,
      low: row.p10_ms!,
      high: row.p90_ms!,
      ours: true,
      faint: row.clock === "gpu",
    })),
    (ms) => `${digits(ms)} ms`,
  );
}

/** What the chart has room for beside its bars. */
function shortened(name: string, most = 38): string {
  return name.length > most ? `${name.slice(0, most - 1)}…` : name;
}
