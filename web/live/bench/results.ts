/**
 * What was measured, as it comes in: table, plots and file.
 * @module
 */
import type { PageSession } from "../../../bench/chrome/page.ts";
import { type Row, rowsToJson } from "../../../bench/harness/row.ts";
import { BAR_LAYOUTS, barChart } from "../../../bench/output/bar_chart.ts";
import { digits, percent, type Rated, runsText, short } from "../../../bench/output/format.ts";
import { adapterName } from "../../client/device.ts";
import { element } from "../../client/dom.ts";
import { rooflinePlot, type RooflinePoint } from "../../client/roofline_plot.ts";
import { byId } from "../moe/elements.ts";
import type { Measured } from "./messages.ts";

/** CSS pixels below which names of bars stand above them. */
const NARROW = 560;

/** The part of the page below the buttons. */
export class Results {
  #session: PageSession | null = null;
  #rows: Row[] = [];
  #points: RooflinePoint[] = [];
  /** Workloads so far. */
  #count = 0;
  #narrow = false;

  constructor() {
    const place = byId("bars");
    new ResizeObserver(() => {
      const narrow = place.clientWidth < NARROW;
      if (narrow === this.#narrow) return;
      this.#narrow = narrow;
      this.#drawBars();
    }).observe(place);
  }

  /** Rows that did not pass. */
  get failures(): number {
    return this.#rows.filter(({ check }) => !check.ok).length;
  }

  /** Begins anew under what it is measured on. */
  begin(session: PageSession): void {
    this.#session = session;
    this.#rows = [...session.rows];
    this.#points = [];
    this.#count = 0;
    byId("rows").replaceChildren();
    byId("setting").replaceChildren(
      ...facts(session).map(([name, value]) =>
        element("div", {}, element("dt", {}, name), element("dd", {}, value))
      ),
    );
    byId("results").hidden = false;
    this.#draw();
  }

  /** Adds a workload. */
  add({ rows, intensity }: Measured): void {
    this.#count++;
    this.#rows.push(...rows.map(({ row }) => row));
    const { workload, shape } = rows[0].row;
    const name = element(
      "th",
      { scope: "row", rowspan: rows.length },
      `${this.#count}. ${workload} `,
      element("small", {}, shape),
    );
    const lines = rows.map(tableRow);
    lines[0].prepend(name);
    byId("rows").append(...lines);
    const gflops = rows.find(({ row }) => row.clock === "wall")?.row.gflops ?? null;
    if (intensity !== null && gflops !== null) {
      this.#points.push({ label: String(this.#count), intensity, gflops });
    }
    this.#draw();
  }

  #draw(): void {
    this.#drawBars();
    const { roof, setting } = this.#session!;
    byId("roof").replaceChildren(rooflinePlot(roof, this.#points));
    const link = byId<HTMLAnchorElement>("json");
    if (link.href) URL.revokeObjectURL(link.href);
    link.href = URL.createObjectURL(
      new Blob([rowsToJson(this.#rows)], { type: "application/json" }),
    );
    link.download = `wgrad-bench-${setting.date.replaceAll(":", "-").slice(0, 19)}.json`;
    link.hidden = false;
  }

  #drawBars(): void {
    const layout = this.#narrow ? BAR_LAYOUTS.above : BAR_LAYOUTS.wide;
    const bars = this.#rows.slice(this.#session?.rows.length ?? 0)
      .filter(({ median_ms }) => median_ms !== null && median_ms > 0) // a rounded clock may show nothing
      .map(({ workload, shape, clock, median_ms, p10_ms, p90_ms }) => ({
        name: clock === "gpu" ? "GPU" : `${workload} ${shape}`,
        value: median_ms!,
        low: p10_ms || median_ms!,
        high: p90_ms!,
        ours: true,
        faint: clock === "gpu",
      }));
    byId("bars").innerHTML = bars.length === 0
      ? ""
      : barChart("Time of a run of each workload", bars, (ms) => `${digits(ms)} ms`, layout);
  }
}

/** What the figures belong to. */
function facts({ setting, wait, roof }: PageSession): [name: string, value: string][] {
  const { adapter: label, software, driver, runtime, date } = setting;
  return [
    ["Adapter", adapterName({ label, software })],
    ...(driver === null ? [] : [["Driver", driver] as [string, string]]),
    ["Browser", runtime],
    ["Begun", new Date(date).toLocaleString()],
    ["Arithmetic at best", `${digits(roof.gflops)} GFLOP/s (${roof.shape})`],
    ["Copying at best", `${digits(roof.gbs)} GB/s ${roof.copier}`],
    ["A wait for nothing", `${digits(wait)} ms`],
  ];
}

/** A row's figures, without its name. */
function tableRow({ row, gbs, share }: Rated): HTMLTableRowElement {
  const { clock, median_ms, p10_ms, p90_ms, check, error } = row;
  const cells = [
    clock === "gpu" ? "GPU" : "wall",
    digits(median_ms),
    p10_ms === null ? "-" : `${digits(p10_ms)}–${digits(p90_ms)}`,
    runsText(row),
    digits(row.gflops),
    digits(gbs),
    percent(share),
  ];
  const verdict = error !== undefined
    ? short(error, 160)
    : `ok, ${check.max_abs!.toExponential(0)}`;
  return element(
    "tr",
    { "data-check": check.ok ? "ok" : "wrong" },
    ...cells.map((cell) => element("td", {}, cell)),
    element("td", { class: check.ok ? "ok" : "wrong" }, verdict),
  );
}
