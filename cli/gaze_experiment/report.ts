/**
 * The experiment as a Markdown text, a page and plots.
 * @module
 */
import { type Region, REGIONS } from "../../data/gaze/mod.ts";
import { duration } from "../progress.ts";
import { type Bar, barChart } from "../report/bar_chart.ts";
import { escapeHtml, page } from "../report/html.ts";
import { lineChart, type Series, standalone } from "../report/line_chart.ts";
import { htmlTable, markdownTable } from "../report/tables.ts";
import { ARM_TITLES, type ArmName } from "./arms.ts";
import type { RunResult, TrainingResult } from "./record.ts";
import {
  armsIn,
  degrees,
  errorOf,
  type Filter,
  runsOf,
  type Spread,
  spreadOf,
  verdicts,
} from "./summary.ts";

/** All that is shown. */
export interface Findings {
  /** At least one. */
  readonly runs: readonly RunResult[];
  /** The training before the arms. */
  readonly pretraining: TrainingResult;
  /** The command that made them. */
  readonly command: string;
  /** Frames with arrows, as a PNG file; null where there is no full model yet. */
  readonly frames: { readonly png: string; readonly text: string } | null;
}

/** The names of the plots' files. */
export const CURVES = "gaze-curves.svg", BARS = "gaze-bars.svg", FRAMES = "gaze-frames.png";

const ALL_REGIONS = Object.keys(REGIONS) as Region[];
const REGION_TITLES: Readonly<Record<Region, string>> = {
  all360: "all",
  front180: "front 180°",
  front40: "front 40°",
};

const COLORS: Readonly<Record<ArmName, string>> = {
  head: "#c2570c",
  single: "#2a9d8f",
  full: "#1f6feb",
};
const GREY = "#8a8f98";

/** The authors' own figures: mean errors in degrees with a ResNet-50, on the front 180° of Gaze360. */
export const PAPER = [
  ["Gaze360, all test frames of the front", "R-50", "10.74"],
  ["Gaze360, those in which a face was found (L2CS)", "R-50", "9.81"],
] as const;

const PAPER_NOTE =
  "From the authors of MCGaze (arXiv:2310.18131, github.com/zgchen33/MCGaze): another model, people instead of rendered " +
  "heads, another measure of difficulty. They stand here for orientation; nothing here is a claim of parity with them.";

function cell(spread: Spread | null): string {
  if (spread === null) return "–";
  const { mean, deviation } = spread;
  return mean.toFixed(2) + (deviation === null ? "" : ` ± ${deviation.toFixed(2)}`);
}

/** Errors by arm and region, without and with the filter, and those of the answers that look at no eye. */
export function errorRows(runs: readonly RunResult[]): string[][] {
  const filters: readonly Filter[] = ["raw", "smoothed"];
  const { constant, headPose } = runs[0].baselines;
  const baselines = [["always the mean gaze", constant], ["the true head pose", headPose]] as const;
  return [
    [
      "",
      ...ALL_REGIONS.map((region) => REGION_TITLES[region]),
      ...ALL_REGIONS.map((region) => `${REGION_TITLES[region]}, filtered`),
      "seeds",
    ],
    ...armsIn(runs).map((arm) => [
      ARM_TITLES[arm],
      ...filters.flatMap((filter) =>
        ALL_REGIONS.map((region) => cell(errorOf(runs, arm, region, filter)))
      ),
      runsOf(runs, arm).map(({ seed }) => seed).join(", "),
    ]),
    ...baselines.map(([name, errors]) => [
      name,
      ...ALL_REGIONS.map((region) => cell(spreadOf([errors[region].degrees]))),
      ...ALL_REGIONS.map(() => ""),
      "",
    ]),
  ];
}

/** Errors by clue, over all frames, and of the fused gaze where the eyes can be seen and where not. */
export function clueRows(runs: readonly RunResult[]): string[][] {
  return [
    ["", "face", "eyes", "head", "fused", "fused, eyes seen", "fused, eyes hidden"],
    ...armsIn(runs).map((arm) => [
      ARM_TITLES[arm],
      ...["face", "eyes", "head", "final"].map((clue) =>
        cell(errorOf(runs, arm, "all360", "raw", clue))
      ),
      cell(spreadOf(runsOf(runs, arm).map(({ evaluation }) => evaluation.visible))),
      cell(spreadOf(runsOf(runs, arm).map(({ evaluation }) => evaluation.hidden))),
    ]),
  ];
}

function verdictRows(runs: readonly RunResult[]): string[][] {
  return [
    ["goal", "found", "met"],
    ...verdicts(runs).map(({ goal, found, met }) => [goal, found, met ? "yes" : "no"]),
  ];
}

function costRows({ runs, pretraining }: Findings): string[][] {
  const row = (name: string, results: readonly TrainingResult[]): string[] => {
    const steps = results[0].losses.length;
    const seconds = spreadOf(results.map(({ seconds }) => seconds))!.mean;
    return [
      name,
      results[0].parameters.toLocaleString("en"),
      String(steps),
      duration(seconds),
      `${(seconds / Math.max(1, steps)).toFixed(2)} s`,
    ];
  };
  return [
    ["training", "parameters", "steps", "time of a run", "a step"],
    row("before the arms, on single frames", [pretraining]),
    ...armsIn(runs).map((arm) => row(ARM_TITLES[arm], runsOf(runs, arm))),
  ];
}

const METHOD =
  "Clips are rendered: seven frames of a head whose pose, eyes, light and surroundings are drawn anew, eyes " +
  "independently of the head; in some frames they are shut, covered or blurred away. All arms start from one backbone " +
  "and pyramid, trained before on single frames with all clues, as the authors start from ImageNet's; the rest of an arm " +
  "is drawn from its seed. All arms of a seed see the same clips in the same order, as many frames each. Errors are mean " +
  "angles in degrees, on clips of people and lights that were never trained on, of all frames, of those whose true gaze " +
  "is within 90° and within 20° of the camera's direction to either side; filtered: after the authors' filter, each frame " +
  "by 0.6 and its neighbours by 0.4. ± is the standard deviation of a single run over the seeds.";

const METHOD_ALL = METHOD.replace(
  "All arms start from one backbone and pyramid, trained before on single frames with all clues, as the authors start " +
    "from ImageNet's; the rest of an arm is drawn from its seed.",
  "All arms start from the weights of one training before on single frames with all clues, as far as they fit by name.",
);

function method({ runs }: Findings): string {
  return runs[0].config.start === "all" ? METHOD_ALL : METHOD;
}

function setting({ runs, pretraining }: Findings): string {
  const all = [pretraining, ...runs];
  const seconds = all.reduce((sum, { seconds }) => sum + seconds, 0);
  const dates = all.map(({ date }) => date.slice(0, 10)).sort();
  const days = [...new Set([dates[0], dates.at(-1)])].join(" to ");
  const adapters = [...new Set(all.map(({ adapter }) => adapter))].join(", ");
  const { clips, model } = runs[0].config as { clips: number; model: { imageSize: number } };
  return `${runs.length} runs on ${adapters}, ${pretraining.runtime}, ${days}; ${
    duration(seconds)
  } of training, beside other work. ${clips} clips of ${model.imageSize} x ${model.imageSize} pixels to train on, ${
    runs[0].testClips
  } to measure on.`;
}

/** The results as Markdown; pictures are referred to by name. */
export function resultsMarkdown(findings: Findings): string {
  const { runs, command, frames } = findings;
  return `# MCGaze: what clues and time are worth

Made by \`${command}\`, which goes on with the runs that are missing here; do not edit by hand.

A small MCGaze learns where rendered heads look: from the head alone, from face, eyes and head in single frames, and from
all three over time. Trained on synthetic clips, not validated on people. ${setting(findings)}

${method(findings)}

## Errors in degrees

${markdownTable(errorRows(runs))}

![mean errors by arm](${BARS})

## What was to be shown

${markdownTable(verdictRows(runs))}

Beyond the spread of the seeds: the worst run of the full model is better than the best of its rival.

## By clue

${markdownTable(clueRows(runs))}

## While they learn

![errors on validation clips](${CURVES})
${
    frames === null ? "" : `
## Frames

![rendered heads and where they look](${FRAMES})

${frames.text}
`
  }
## What it took

${markdownTable(costRows(findings))}

## The authors' figures

${PAPER_NOTE}

${markdownTable(paperRows())}
`;
}

function paperRows(): string[][] {
  return [["setting", "backbone", "mean error, front 180°"], ...PAPER.map((row) => [...row])];
}

/** The results as a self-contained page. */
export function resultsPage(findings: Findings): string {
  const { runs, command, frames } = findings;
  const table = (rows: string[][]): string => `<div class="scroll">${htmlTable(rows)}</div>`;
  const title = "MCGaze: what clues and time are worth";
  return page(
    title,
    `<h1>${title}</h1>
<p>A small MCGaze learns where rendered heads look: from the head alone, from face, eyes and head in single frames, and
from all three over time. Trained on synthetic clips, not validated on people.</p>
<p class="soft">${escapeHtml(setting(findings))}</p>
<p class="soft">${escapeHtml(method(findings))}</p>
<h2>Errors in degrees</h2>
${table(errorRows(runs))}
<div class="chart">${bars(runs)}</div>
<h2>What was to be shown</h2>
${table(verdictRows(runs))}
<h2>By clue</h2>
${table(clueRows(runs))}
<h2>While they learn</h2>
<div class="row"><div>${pretrainCurve(findings)}</div><div>${curves(runs)}</div></div>
${
      frames === null ? "" : `<h2>Frames</h2>
<p class="soft">${escapeHtml(frames.text)}</p>
<img style="max-width:100%" alt="rendered heads and where they look" src="${frames.png}">`
    }
<h2>What it took</h2>
${table(costRows(findings))}
<h2>The authors' figures</h2>
<p class="soft">${escapeHtml(PAPER_NOTE)}</p>
${table(paperRows())}
<h2>How it was made</h2>
<p><code>${escapeHtml(command)}</code></p>
<details><summary>Model and recipe of each arm</summary><pre>${
      escapeHtml(JSON.stringify(
        Object.fromEntries(runs.map(({ arm, config }) => [arm, config])),
        null,
        1,
      ))
    }</pre></details>`,
  );
}

/** The plots as files: name and SVG. */
export function resultPlots({ runs }: Findings): Map<string, string> {
  return new Map([[CURVES, standalone(curves(runs))], [BARS, standalone(bars(runs))]]);
}

function bars(runs: readonly RunResult[]): string {
  const { constant, headPose } = runs[0].baselines;
  const rows: Bar[] = [
    { name: "always the mean gaze", value: constant.all360.degrees!, color: GREY },
    { name: "the true head pose", value: headPose.all360.degrees!, color: GREY },
    ...armsIn(runs).map((arm): Bar => {
      const { mean, values } = errorOf(runs, arm)!;
      const range = [Math.min(...values), Math.max(...values)] as const;
      return {
        name: ARM_TITLES[arm],
        value: mean,
        ...(values.length > 1 ? { range } : {}),
        color: COLORS[arm],
      };
    }),
  ];
  return barChart(rows, {
    title: "Mean error on unseen people and lights; lines from the best to the worst seed",
    format: (value) => `${Number(value.toFixed(1))}°`,
  });
}

/** One line an arm: the mean over its seeds. */
function curves(runs: readonly RunResult[]): string {
  const pose = runs[0].baselines.headPose.all360.degrees!;
  const arms = armsIn(runs).map((arm): Series => {
    const own = runsOf(runs, arm);
    const points = own[0].evaluations.map(({ step }, i) => ({
      x: step,
      y: spreadOf(own.map(({ evaluations }) => evaluations[i]?.errors.final))!.mean,
    }));
    return { name: arm, color: COLORS[arm], points };
  });
  const end = Math.max(...runs.map(({ losses }) => losses.length));
  const flat: Series = {
    name: "true head pose",
    color: GREY,
    points: [{ x: 0, y: pose }, { x: end, y: pose }],
    dashed: true,
  };
  return lineChart([flat, ...arms], {
    title: "Error on validation clips: mean over seeds",
    xTitle: "training step of an arm",
    yFormat: (value) => `${value}°`,
    yMin: 0,
    legend: true,
  });
}

function pretrainCurve({ pretraining: { evaluations } }: Findings): string {
  const series = ["face", "eyes", "head", "final"].map((clue, i): Series => ({
    name: clue === "final" ? "fused" : clue,
    color: ["#2f9e6e", "#8b5cd6", "#c2570c", "#1f6feb"][i],
    points: evaluations.map(({ step, errors }) => ({ x: step, y: errors[clue] })),
  }));
  return lineChart(series, {
    title: "Before the arms: error on validation clips",
    xTitle: "training step",
    yFormat: (value) => `${value}°`,
    yMin: 0,
    legend: true,
  });
}

/** One line an arm for the terminal. */
export function summaryLines(runs: readonly RunResult[]): string[] {
  return armsIn(runs).map((arm) => {
    const all = errorOf(runs, arm)!, filtered = errorOf(runs, arm, "all360", "smoothed")!;
    return `${ARM_TITLES[arm].padEnd(38)} ${cell(all).padStart(14)}°  filtered ${
      degrees(filtered.mean)
    }  (${all.values.length} seed${all.values.length === 1 ? "" : "s"})`;
  });
}
