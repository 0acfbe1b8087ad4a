/**
 * Brings the page of the benchmark to life.
 * @module
 */
import { rowsToJson } from "../../../bench/harness/row.ts";
import type { Roofline } from "../../../bench/harness/roofline.ts";
import type { Row } from "../../../bench/harness/row.ts";
import { digits } from "../../../bench/output/format.ts";
import { ALL_WORKLOADS } from "../../../bench/workloads/all.ts";
import { element } from "../../client/dom.ts";
import { showAdapter } from "../../client/device.ts";
import { byId } from "../moe/elements.ts";
import { browserName } from "./browser.ts";
import type { Order, Report } from "./messages.ts";
import { addRows, drawBars } from "./results.ts";

const start = byId<HTMLButtonElement>("start"), stop = byId<HTMLButtonElement>("stop");
const save = byId<HTMLButtonElement>("save"), progress = byId<HTMLProgressElement>("progress");
const status = byId("status"), table = byId("table").querySelector("tbody")!;

let worker: Worker | undefined;
let rows: Row[] = [];
let roof: Roofline | undefined;
let done = 0, wanted = 0;

/** The run is over, by itself or not. */
function finish(message: string): void {
  worker?.terminate();
  worker = undefined;
  start.disabled = false;
  stop.disabled = true;
  save.disabled = rows.length === 0;
  status.textContent = message;
  document.documentElement.dataset.bench = "idle";
}

function hear(report: Report): void {
  if (report.kind === "started") {
    const { setting, wait } = report;
    roof = report.roof;
    rows = [...report.rows];
    byId("setting").textContent = `${setting.adapter}, ${
      setting.software ? "a processor, not a GPU; " : ""
    }${setting.runtime}, ${setting.date}. Roofline measured now: ${
      digits(roof.gflops)
    } GFLOP/s (${roof.shape}), ${digits(roof.gbs)} GB/s copied. A wait for nothing takes ${
      digits(wait)
    } ms.`;
  } else if (report.kind === "begins") {
    const { name, shape } = ALL_WORKLOADS[report.index];
    status.textContent = `${done + 1} of ${wanted}: ${name} ${shape} …`;
  } else if (report.kind === "rows") {
    rows.push(...report.rows);
    addRows(table, report.rows, ALL_WORKLOADS[report.index], roof!);
    drawBars(byId("bars"), rows.filter(({ workload }) => workload !== "roofline"));
    progress.value = ++done / wanted;
    save.disabled = false;
  } else if (report.kind === "failed") {
    finish(`It ended early: ${report.message}`);
  } else {
    const wrong = rows.filter(({ check }) => !check.ok).length;
    finish(
      wrong === 0
        ? `Done: ${done} workloads, every result right.`
        : `Done: ${done} workloads, ${wrong} rows failed.`,
    );
  }
}

function run(): void {
  const chosen = [...document.querySelectorAll<HTMLInputElement>("[name=workload]:checked")];
  if (chosen.length === 0) {
    status.textContent = "Choose a workload first.";
    return;
  }
  rows = [];
  done = 0;
  wanted = chosen.length;
  progress.value = 0;
  table.replaceChildren();
  byId("bars").replaceChildren();
  start.disabled = save.disabled = true;
  stop.disabled = false;
  status.textContent = "Measuring what this adapter can do …";
  document.documentElement.dataset.bench = "running";
  const order: Order = {
    runtime: browserName(),
    effort: byId<HTMLInputElement>("thorough").checked ? "full" : "quick",
    workloads: chosen.map(({ value }) => Number(value)),
  };
  worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  worker.addEventListener("message", ({ data }: MessageEvent<Report>) => hear(data));
  worker.addEventListener("error", ({ message }) => finish(`It ended early: ${message}`));
  worker.postMessage(order);
}

byId("choice").addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
stop.addEventListener(
  "click",
  () => finish(`Stopped: ${done} of ${wanted} workloads are measured.`),
);
save.addEventListener("click", () => {
  const url = URL.createObjectURL(new Blob([rowsToJson(rows)], { type: "application/json" }));
  element("a", { href: url, download: "wgrad-bench.json" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
});

if (await showAdapter() === null) {
  const missing = byId("missing");
  missing.textContent = `Nothing can be measured here. ${byId("adapter").textContent}`;
  missing.hidden = false;
  start.disabled = true;
  status.textContent = "Measuring needs WebGPU.";
}
document.documentElement.dataset.ready = "";
