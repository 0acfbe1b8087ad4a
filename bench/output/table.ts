/**
 * The table in the terminal.
 * @module
 */
import { percentile } from "../harness/statistics.ts";
import type { Row } from "../harness/row.ts";
import { digits, isSize, percent, type Rated, runsText, short, standings } from "./format.ts";

const NAME_WIDTH = 34;

/** What the columns hold. */
export const HEADER: string = line("framework", [
  "median ms",
  "p10",
  "p90",
  "runs",
  "GFLOP/s",
  "GB/s",
  "of roof",
  "x wgrad",
  "max error",
]);

/** The rows of one workload under its name. */
export function workloadLines(name: string, rows: readonly Rated[]): string {
  return [`\n${name}`, ...rows.map(rowLine)].join("\n");
}

function rowLine({ row, gbs, share, ratio }: Rated): string {
  const name = row.clock === "gpu" ? `  GPU time of ${row.framework}` : row.framework;
  if (row.error !== undefined) return `  ${name.padEnd(NAME_WIDTH)}${short(row.error)}`;
  if (isSize(row)) return `  ${name.padEnd(NAME_WIDTH)}${row.shape}`;
  return line(name, [
    digits(row.median_ms),
    digits(row.p10_ms),
    digits(row.p90_ms),
    runsText(row),
    digits(row.gflops),
    digits(gbs),
    percent(share),
    ratio === null ? "" : digits(ratio),
    row.check.max_abs === null ? "-" : row.check.max_abs.toExponential(0),
  ]);
}

function line(name: string, cells: readonly string[]): string {
  return `  ${name.padEnd(NAME_WIDTH)}${cells.map((cell) => cell.padStart(10)).join("")}`;
}

/** Where wgrad stands against the best peer on the same adapter; empty without peers. */
export function standingLines(rows: readonly Row[]): string {
  const all = standings(rows);
  if (all.length === 0) return "";
  const behind = all.filter(({ ratio }) => ratio < 1);
  const median = percentile(all.map(({ ratio }) => ratio), 0.5);
  return [
    `\nTime of the best peer on this adapter over wgrad's, by wall clock (above 1: wgrad is ahead)`,
    ...all.map(({ workload, ratio, peer }) =>
      `  ${digits(ratio).padStart(6)}  ${workload.padEnd(60)} ${peer}`
    ),
    `median ${digits(median)} over ${all.length} workloads; behind on ${behind.length}`,
  ].join("\n");
}
