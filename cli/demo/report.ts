/**
 * The demo's report: one HTML file with the comparison, the learning curves, the mistakes and the routing.
 * @module
 */
import { escapeHtml, page } from "../report/html.ts";
import { confusionTable } from "../report/confusion.ts";
import { lineChart, runningMean, type Series } from "../report/line_chart.ts";
import { duration } from "../progress.ts";
import { routingPictures, usagePictures } from "../routing/pictures.ts";
import { temperatureChart } from "../training/report.ts";
import type { DemoRecord, RunRecord } from "./record.ts";

const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;

/** Draws the report of a record. @param gaze a further section, as HTML */
export function demoReport(record: DemoRecord, gaze = ""): string {
  const { recycled, scratch, data } = record;
  const gap = 100 * (recycled.accuracy - scratch.accuracy);
  const steps = recycled.losses.length;
  return page(
    "wgrad demo: recycling a dense ViT",
    `<h1>A dense ViT, recycled into a mixture of experts, learns digits from ${data.train} images</h1>
<p>Both models are the same dual-path SpheroMoE ViT, trained on the same ${data.train} handwritten digits with the same
${steps} steps, schedule and augmentation. One starts from a dense ViT that has only ever seen clothes (Fashion-MNIST),
its MLPs recycled into experts; the other starts from random weights.</p>
<div class="row">
<div class="big">Recycled<b class="a">${
      percent(recycled.accuracy)
    }</b>of ${data.heldOut} held-out digits</div>
<div class="big">From scratch<b class="b">${percent(scratch.accuracy)}</b>of the same digits</div>
<div class="big">Difference<b>${gap >= 0 ? "+" : "−"}${
      Math.abs(gap).toFixed(1)
    }</b>percentage points</div>
</div>
<h2>Learning curves</h2>
<div class="row"><div>${accuracyChart(record)}</div><div>${lossChart(record)}</div></div>
<p class="soft">Left: along the way, measured on a part of the held-out digits (the last point: on all of them).
Right: loss of each batch (pale) and its running mean; label smoothing keeps it above zero.</p>
<h2>What is mistaken for what</h2>
<div class="row">${confusionTable("Recycled", "a", recycled.confusion)}${
      confusionTable("From scratch", "b", scratch.confusion)
    }</div>
<p class="soft">Rows: the true digit. Columns: the answer. Darker: a larger share of the row.</p>
<h2>Which patches feed which expert</h2>
${routingPictures(record.routing)}
<h2>How much each expert is used</h2>
${usagePictures(record.usage, record.usedOn)}
<h2>How the routing temperatures moved</h2>
<div class="chart">${temperatureChart(recycled.evaluations)}</div>
<h2>Where the experts come from</h2>
<details><summary>${record.recycling.length} tensors, their sources and the neurons taken</summary><div class="scroll"><table>
<tr><th>Tensor</th><th>Source</th></tr>
${
      record.recycling.map((r) =>
        `<tr><td>${escapeHtml(r.target)}</td><td>${escapeHtml(r.source)}</td></tr>`
      ).join("\n")
    }</table></div></details>
${gaze}
<h2>How it was made</h2>
<table>
${row("Adapter", record.adapter)}${row("Runtime", record.runtime)}${row("Date", record.date)}
${row("Seed", String(record.seed))}${row("Digits", data.source)}
${row("Recycled", speed(recycled))}${row("From scratch", speed(scratch))}
${row("Configuration", JSON.stringify(record.config))}
</table>`,
  );
}

function row(name: string, value: string): string {
  return `<tr><th>${escapeHtml(name)}</th><td>${escapeHtml(value)}</td></tr>\n`;
}

function speed(run: RunRecord): string {
  return `trained in ${duration(run.seconds)}, ${run.imagesPerSecond.toFixed(0)} images/s`;
}

function accuracyChart({ recycled, scratch }: DemoRecord): string {
  const series = (name: string, color: string, run: RunRecord): Series => ({
    name,
    color,
    points: run.evaluations.map((e) => ({ x: e.step, y: e.accuracy })),
  });
  return lineChart([
    series("recycled", "var(--a)", recycled),
    series("scratch", "var(--b)", scratch),
  ], {
    title: "Held-out accuracy",
    xTitle: "training step",
    yFormat: (value) => `${Math.round(100 * value)} %`,
    yMin: 0,
    yMax: 1,
  });
}

function lossChart({ recycled, scratch }: DemoRecord): string {
  const series = (name: string, color: string, run: RunRecord): Series[] => [
    { name, color, faint: true, points: run.losses.map((p) => ({ x: p.step, y: p.loss })) },
    { name, color, points: runningMean(run.losses.map((p) => ({ x: p.step, y: p.loss }))) },
  ];
  return lineChart([
    ...series("recycled", "var(--a)", recycled),
    ...series("scratch", "var(--b)", scratch),
  ], {
    title: "Training loss (cross-entropy)",
    xTitle: "training step",
    yFormat: (value) => value.toFixed(1),
    yMin: 0,
  });
}
