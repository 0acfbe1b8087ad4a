/**
 * The report of a training run: one HTML file with curves, mistakes and the whole recipe.
 * @module
 */
import type { MoeVitOptions } from "../../models/mod.ts";
import { duration } from "../progress.ts";
import { escapeHtml, page } from "../report/html.ts";
import { confusionTable } from "../report/confusion.ts";
import { lineChart, runningMean } from "../report/line_chart.ts";
import type { ClassifierResult } from "./classifier.ts";
import type { Evaluation } from "./evaluation.ts";
import type { Recipe } from "./recipe.ts";
import type { AccuracyAt } from "../run_checkpoint.ts";

/** All that is known of a run; `result.json`. */
export interface TrainingRecord {
  readonly command: string;
  /** The data set, as named. */
  readonly data: string;
  /** Training images. */
  readonly images: number;
  /** Held-out images of the final figures, and of the curve. */
  readonly heldOut: number;
  readonly curve: number;
  readonly seed: number;
  readonly adapter: string;
  readonly runtime: string;
  readonly date: string;
  /** Learned numbers. */
  readonly parameters: number;
  readonly model: MoeVitOptions;
  readonly recipe: Recipe;
  readonly names: readonly string[] | null;
  readonly run: ClassifierResult;
  readonly evaluation: Omit<Evaluation, "predictions">;
}

/** Most classes of which a table of mistakes can be read. */
const READABLE = 20;

const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;

/** Draws the report. */
export function trainingReport(record: TrainingRecord): string {
  const { run, evaluation, names } = record;
  const classes = evaluation.confusion.length;
  const losses = run.losses.map((y, i) => ({ x: i + 1, y }));
  const temperatures = temperatureChart(run.evaluations);
  const rows: [string, string][] = [
    ["Command", record.command],
    ["Data", `${record.data}: ${record.images} training images, ${record.heldOut} held out`],
    ["Model", `${record.parameters.toLocaleString("en")} parameters`],
    [
      "Steps",
      `${losses.length} in ${duration(run.seconds)}, ${run.imagesPerSecond.toFixed(0)} images/s`,
    ],
    ["Adapter", record.adapter],
    ["Runtime", record.runtime],
    ["Date", record.date],
    ["Seed", String(record.seed)],
  ];
  return page(
    "wgrad: a training run",
    `<h1>${percent(evaluation.accuracy)} of ${record.heldOut} held-out images</h1>
<p>Among the five likeliest classes: ${percent(evaluation.top5)}. Mean cross-entropy: ${
      evaluation.loss.toFixed(3)
    }.</p>
<h2>Learning curves</h2>
<div class="row"><div>${
      lineChart([{
        name: "held out",
        color: "var(--a)",
        points: run.evaluations.map(({ step, accuracy }) => ({ x: step, y: accuracy })),
      }], {
        title: "Held-out accuracy",
        xTitle: "training step",
        yFormat: (value) => `${Math.round(100 * value)} %`,
        yMin: 0,
        yMax: 1,
      })
    }</div><div>${
      lineChart([
        { name: "loss", color: "var(--b)", faint: true, points: losses },
        { name: "loss", color: "var(--b)", points: runningMean(losses) },
      ], {
        title: "Training loss (cross-entropy)",
        xTitle: "training step",
        yFormat: (value) => value.toFixed(1),
        yMin: 0,
      })
    }</div></div>
<p class="soft">Left: along the way, measured on ${record.curve} of the held-out images. Right: loss of each step (pale) and
its running mean; smoothing and mixing keep it above zero.</p>
${
      temperatures === ""
        ? ""
        : `<h2>Routing temperatures</h2><div class="chart">${temperatures}</div>`
    }
${
      classes > READABLE ? "" : `<h2>What is mistaken for what</h2>
${confusionTable("Held-out images", "a", evaluation.confusion, names ?? undefined)}
<p class="soft">Rows: the true class. Columns: the answer. Darker: a larger share of the row.</p>`
    }
<h2>How it was made</h2>
<table>${
      rows.map(([name, value]) =>
        `<tr><th>${escapeHtml(name)}</th><td>${escapeHtml(value)}</td></tr>`
      ).join("\n")
    }</table>
<h2>Recipe</h2>
<pre>${escapeHtml(JSON.stringify(record.recipe, null, 1))}</pre>
<h2>Model</h2>
<pre>${escapeHtml(JSON.stringify(record.model, null, 1))}</pre>`,
  );
}

/** How the temperatures of each layer moved; "" where there are none. */
export function temperatureChart(evaluations: readonly AccuracyAt[]): string {
  const points = evaluations.filter(({ temperatures }) => temperatures !== undefined);
  if (points.length === 0) return "";
  const layers = points[0].temperatures!.length;
  const series = Array.from(
    { length: layers },
    (_, layer) =>
      (["dispatch", "combine"] as const).map((name, i) => ({
        name: `${name}, layer ${layer + 1} of ${layers}`,
        color: `hsl(${Math.round(360 * layer / layers)} 65% 45%)`,
        dashed: i === 1,
        points: points.map(({ step, temperatures }) => ({ x: step, y: temperatures![layer][i] })),
      })),
  ).flat();
  return lineChart(series, {
    title: "Temperatures of the MoE layers",
    xTitle: "training step",
    yFormat: (value) => value.toFixed(2),
    legend: true,
  });
}
