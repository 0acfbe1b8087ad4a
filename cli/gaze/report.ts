/**
 * The report of a training of MCGaze: one HTML file with its curves and errors.
 * @module
 */
import { escapeHtml, page } from "../report/html.ts";
import { lineChart, type Series } from "../report/line_chart.ts";
import { duration } from "../progress.ts";
import type { RunHistory } from "../run_checkpoint.ts";
import type { GazeEvaluation } from "./evaluate.ts";
import type { GazeAt } from "./trainer.ts";

/** What a report tells. */
export interface GazeRecord {
  readonly title: string;
  /** What was trained and measured on, in sentences. */
  readonly about: string;
  readonly history: RunHistory<GazeAt>;
  /** At the end, on clips of unseen subjects and lights. */
  readonly evaluation: GazeEvaluation;
  /** Mean errors in degrees of answers that look at no eye. */
  readonly baselines: Readonly<Record<string, number>>;
  /** Further facts, as rows of a table. */
  readonly facts: Readonly<Record<string, string>>;
}

const COLOURS: Readonly<Record<string, string>> = {
  final: "var(--a)",
  face: "#2f9e6e",
  eyes: "#8b5cd6",
  head: "var(--b)",
};

/** Steps of the running mean of the losses. */
const SMOOTH = 50;

/** Draws the report. */
export function gazeReport(record: GazeRecord): string {
  const { history, evaluation, baselines } = record;
  const clues = Object.entries(evaluation.clues);
  const cell = (value: number | null): string => value === null ? "–" : `${value.toFixed(2)}°`;
  const rows = clues.map(([clue, { raw, smoothed }]) => {
    const cells = [raw, smoothed].flatMap((e) => [e.all360, e.front180, e.front40]);
    return `<tr><td>${clue}</td>${
      cells.map(({ degrees }) => `<td>${cell(degrees)}</td>`).join("")
    }</tr>`;
  });
  const facts = Object.entries({
    ...record.facts,
    "Eyes to be seen": cell(evaluation.visible),
    "Eyes hidden": cell(evaluation.hidden),
    "Time": `${duration(history.seconds)}, ${
      (history.seconds / Math.max(1, history.losses.length)).toFixed(2)
    } s a step`,
  });
  return page(
    record.title,
    `<h1>${escapeHtml(record.title)}</h1>
<p>${escapeHtml(record.about)}</p>
<div class="row"><div>${errorChart(history, baselines)}</div><div>${lossChart(history)}</div></div>
<h2>Errors at the end</h2>
<div class="scroll"><table>
<tr><th></th><th colspan="3">frame by frame</th><th colspan="3">after the authors' filter</th></tr>
<tr><th>clue</th><th>all</th><th>front 180°</th><th>front 40°</th><th>all</th><th>front 180°</th><th>front 40°</th></tr>
${rows.join("\n")}
${
      Object.entries(baselines).map(([name, value]) =>
        `<tr><td>${escapeHtml(name)}</td><td>${cell(value)}</td></tr>`
      ).join("\n")
    }
</table></div>
<h2>How it was made</h2>
<table>
${
      facts.map(([name, value]) =>
        `<tr><td>${escapeHtml(name)}</td><td>${escapeHtml(value)}</td></tr>`
      ).join("\n")
    }
</table>`,
  );
}

function errorChart(
  { evaluations, losses }: RunHistory<GazeAt>,
  baselines: Readonly<Record<string, number>>,
): string {
  const measured: Series[] = Object.keys(COLOURS)
    .filter((name) => evaluations.some(({ errors }) => name in errors))
    .map((name) => ({
      name,
      color: COLOURS[name],
      points: evaluations.filter(({ errors }) => name in errors)
        .map(({ step, errors }) => ({ x: step, y: errors[name] })),
    }));
  const flat: Series[] = Object.entries(baselines).map(([name, y]) => ({
    name,
    color: "var(--soft)",
    points: [{ x: 0, y }, { x: Math.max(1, losses.length), y }],
  }));
  return lineChart([...flat, ...measured], {
    title: "Error on unseen clips, by clue",
    xTitle: "training step",
    yFormat: (value) => `${value}°`,
    yMin: 0,
  });
}

function lossChart({ losses }: RunHistory<GazeAt>): string {
  const means = losses.map((_, i) => {
    const from = Math.max(0, i + 1 - SMOOTH);
    return losses.slice(from, i + 1).reduce((a, b) => a + b, 0) / (i + 1 - from);
  });
  const every = Math.ceil(losses.length / 500);
  const points = means.map((y, i) => ({ x: i + 1, y })).filter((_, i) => i % every === every - 1);
  return lineChart([{ name: "loss", color: "var(--a)", points }], {
    title: `Training loss, mean of ${SMOOTH} steps`,
    xTitle: "training step",
    yFormat: (value) => String(value),
    yMin: 0,
  });
}
