/**
 * The comparison as a page, a Markdown text and plots.
 * @module
 */
import { duration } from "../progress.ts";
import { escapeHtml, page } from "../report/html.ts";
import { lineChart, standalone } from "../report/line_chart.ts";
import { htmlTable, markdownTable } from "../report/tables.ts";
import { type Arm, armNamed, isJetpack } from "./arms.ts";
import { AUGMENTATIONS } from "./augmentation.ts";
import type { RunResult, StepCosts } from "./record.ts";
import type { ArmSummary, BudgetSummary } from "./summary.ts";
import { budgetOf, summarise } from "./summary.ts";
import { runsOfMain, temperatureRows } from "./temperature.ts";

/** All that is shown. */
export interface Findings {
  readonly runs: readonly RunResult[];
  readonly costs: StepCosts;
  /** The command that made them. */
  readonly command: string;
  /** What the dense model was trained on, and how well it does there. */
  readonly pretraining: string;
  /** Routing pictures of a recycled model, as HTML; "" where there is none. */
  readonly routing: string;
}

const percent = (value: number): string => (100 * value).toFixed(1);

/** The paper's accuracies (MoE Jetpack, arXiv:2406.04801, ViT-T), in per cent. */
export const PAPER: readonly {
  readonly title: string;
  readonly imagenet: number;
  readonly cifar100: number | null;
}[] = [
  { title: "dense ViT, from scratch", imagenet: 73.9, cifar100: 72.3 },
  { title: "dense ViT, fine-tuned", imagenet: 75.6, cifar100: 81.4 },
  { title: "Soft MoE, from scratch", imagenet: 77.1, cifar100: 75.9 },
  { title: "MoE Jetpack, copy", imagenet: 79.1, cifar100: null },
  { title: "MoE Jetpack, random", imagenet: 79.5, cifar100: null },
  { title: "MoE Jetpack, uniform", imagenet: 79.6, cifar100: null },
  { title: "MoE Jetpack, graph", imagenet: 79.8, cifar100: null },
  { title: "MoE Jetpack, importance", imagenet: 79.9, cifar100: 88.4 },
];

/** The rows of a budget's table: arm, accuracy with spread, range, seeds, steps to scratch's best. */
export function budgetRows(budget: BudgetSummary): string[][] {
  return [
    ["arm", "accuracy, %", "least to most", "seeds", "steps to scratch's best"],
    ...budget.arms.map((summary) => [
      summary.arm.title,
      percent(summary.mean) +
      (summary.deviation === null ? "" : ` ± ${percent(summary.deviation)}`),
      `${percent(summary.least)} to ${percent(summary.most)}`,
      summary.seeds.join(", "),
      stepsText(summary),
    ]),
  ];
}

function stepsText({ stepsToScratch, steps }: ArmSummary): string {
  if (stepsToScratch.length === 0) return "";
  return `${stepsToScratch.map((step) => step ?? "never").join(", ")} of ${steps}`;
}

/**
 * What a budget says of MoE Jetpack, a sentence a temperature: its best arm, of those with the most seeds, beside the same
 * model from scratch and beside dense fine-tuning, over the seeds that both have.
 */
export function verdicts(budget: BudgetSummary, runs: readonly RunResult[]): string[] {
  const all = runsOf(budget, runs);
  const arms = [...new Set(all.map(({ arm }) => arm))].map(armNamed);
  const temperatures = [...new Set(arms.flatMap(({ temperature }) => temperature ?? []))];
  return temperatures.sort((a, b) => a - b).flatMap((t) => {
    const own = arms.filter((arm) => isJetpack(arm) && arm.temperature === t);
    if (own.length === 0) return [];
    const seedsOf = (arm: Arm): number => all.filter((run) => run.arm === arm.name).length;
    const most = Math.max(...own.map(seedsOf));
    const compared = own.filter((arm) => seedsOf(arm) === most);
    const best = compared.map((arm) => ({ arm, mean: meanOf(all, arm.name) }))
      .reduce((a, b) => b.mean > a.mean ? b : a);
    const parts = [
      comparison(all, best.arm.name, `sphero-scratch-t${t}`, "the SpheroMoE from scratch"),
      comparison(all, best.arm.name, "dense-finetuned", "the fine-tuned dense ViT"),
    ].filter((text) => text !== "");
    if (parts.length === 0) return []; // no rival has run yet
    return [
      `${best.arm.title} (${percent(best.mean)} %, the best of ${compared.length} with ${
        countOf(most, "seed")
      }): ${parts.join("; ")}.`,
    ];
  });
}

function meanOf(runs: readonly RunResult[], arm: string): number {
  const own = runs.filter((run) => run.arm === arm);
  return own.reduce((sum, { accuracy }) => sum + accuracy, 0) / own.length;
}

function countOf(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/** How far one arm is above another, seed by seed; "" where they share no seed. */
function comparison(
  runs: readonly RunResult[],
  arm: string,
  rival: string,
  title: string,
): string {
  const gaps = runs.filter((run) => run.arm === arm).flatMap((run) => {
    const other = runs.find((one) => one.arm === rival && one.seed === run.seed);
    return other ? [100 * (run.accuracy - other.accuracy)] : [];
  });
  if (gaps.length === 0) return "";
  const mean = gaps.reduce((a, b) => a + b) / gaps.length;
  const each = gaps.length > 1 ? ` (${gaps.map((gap) => gap.toFixed(1)).join(", ")})` : "";
  const seeds = countOf(gaps.length, "seed");
  return `${Math.abs(mean).toFixed(1)} points ${
    mean >= 0 ? "above" : "below"
  } ${title} over ${seeds}${each}`;
}

/** The rows of the table of costs. */
export function costRows({ models }: StepCosts): string[][] {
  const names = { dense: "dense ViT", soft: "Soft MoE", sphero: "SpheroMoE" } as const;
  return [
    ["model", "parameters", "GFLOP a step", "by dense", "time a step, by dense (quartiles)"],
    ...(["dense", "soft", "sphero"] as const).map((kind) => {
      const { parameters, flops, ratio: [lower, median, upper] } = models[kind];
      return [
        names[kind],
        parameters.toLocaleString("en"),
        (flops / 1e9).toFixed(2),
        (flops / models.dense.flops).toFixed(2),
        `${median.toFixed(2)} (${lower.toFixed(2)} to ${upper.toFixed(2)})`,
      ];
    }),
  ];
}

function paperRows(): string[][] {
  return [
    ["arm", "ImageNet-1k", "CIFAR-100"],
    ...PAPER.map(({ title, imagenet, cifar100 }) => [
      title,
      imagenet.toFixed(1),
      cifar100?.toFixed(1) ?? "",
    ]),
  ];
}

const PAPER_NOTE =
  "From MoE Jetpack (arXiv:2406.04801), ViT-T: other models, data and budgets than here. They stand beside ours for " +
  "orientation, not as a claim of parity. The paper also reports convergence 2 times faster on ImageNet-1k, and up to " +
  "8 times on small data sets.";

const METHOD_NOTE =
  "All arms of a seed see the same training images in the same order, with the same steps, schedule, augmentation and " +
  "new classifier. ± is the standard deviation of a single run over the seeds. Steps to scratch's best: the first " +
  "measured step at which a curve is at or above the best point of the curve from scratch of the same seed, kind of " +
  "model and temperature. t is the first temperature of routing, dispatch and combine alike; the authors' is 0.5.";

const AUGMENTATION_NOTE = `Augmentation: ${
  Object.entries(AUGMENTATIONS).map(([name, words]) => `${name}, ${words}`).join("; ")
}.`;

const TEMPERATURE_NOTE =
  "Temperatures are learned but move little in so few steps, so the first one decides. Cosines of random directions spread " +
  "by 1/8 in this narrow model: at 0.5 an expert starts with nearly the mean of all tokens, at 0.05 with a few of them. " +
  "The main tables' temperature was chosen by such runs, on training sets and held-out digits that they share.";

/** What was said of data and machine. */
function setting({ runs, costs, pretraining }: Findings): string {
  const seconds = runs.reduce((sum, run) => sum + run.seconds, 0);
  const dates = runs.map(({ date }) => date.slice(0, 10)).sort();
  const adapters = [...new Set(runs.map(({ adapter }) => adapter))].join(", ");
  const days = [...new Set([dates[0], dates.at(-1)])].join(" to ");
  return `${runs.length} runs on ${adapters}, ${costs.runtime}, ${days}; ${
    duration(seconds)
  } of training, beside other work. Pre-trained: ${pretraining}.`;
}

/** The results as Markdown; plots are referred to by name. */
export function resultsMarkdown(findings: Findings): string {
  const { costs } = findings;
  const runs = runsOfMain(findings.runs), budgets = summarise(runs);
  return `# MoE Jetpack: the comparison

Made by \`${findings.command}\`, which goes on with the runs that are missing here; do not edit by hand.

A small dense ViT (0.3 million parameters) that has only seen clothes (Fashion-MNIST) learns handwritten digits (MNIST):
as it is, as a mixture of experts made from it, and beside models that start from random weights. ${
    setting(findings)
  }

${METHOD_NOTE} ${AUGMENTATION_NOTE}

${
    budgets.map((budget) =>
      `## ${budgetTitle(budget)}

${markdownTable(budgetRows(budget))}

${verdicts(budget, runs).join("\n\n")}

![${budgetTitle(budget)}](${plotName(budget)})
`
    ).join("\n")
  }${temperatureSection(findings.runs)}
## What a step costs

Batch ${costs.batch}, forward, backward and AdamW; ${costs.rounds} rounds in turns on ${costs.adapter}. Floating-point operations
are those that the kernels declare.

${markdownTable(costRows(costs))}

## The paper's figures

${PAPER_NOTE}

${markdownTable(paperRows())}
`;
}

function temperatureSection(runs: readonly RunResult[]): string {
  const rows = temperatureRows(runs);
  if (rows.length === 1) return "";
  return `
## The first temperature

${TEMPERATURE_NOTE}

${markdownTable(rows)}
`;
}

function temperaturePart(runs: readonly RunResult[]): string {
  const rows = temperatureRows(runs);
  if (rows.length === 1) return "";
  return `<h2>The first temperature</h2>
<p class="soft">${escapeHtml(TEMPERATURE_NOTE)}</p>
<div class="scroll">${htmlTable(rows)}</div>`;
}

/** The results as a self-contained page. */
export function resultsPage(findings: Findings): string {
  const { costs } = findings;
  const runs = runsOfMain(findings.runs), budgets = summarise(runs);
  return page(
    "MoE Jetpack: the comparison",
    `<h1>MoE Jetpack against training from scratch and dense fine-tuning</h1>
<p>A small dense ViT that has only seen clothes (Fashion-MNIST) learns handwritten digits (MNIST): as it is, as a mixture
of experts made from it, and beside models that start from random weights.</p>
<p class="soft">${escapeHtml(setting(findings))}</p>
<p class="soft">${escapeHtml(`${METHOD_NOTE} ${AUGMENTATION_NOTE}`)}</p>
${
      budgets.map((budget) =>
        `<h2>${escapeHtml(budgetTitle(budget))}</h2>
<div class="scroll">${htmlTable(budgetRows(budget))}</div>
${verdicts(budget, runs).map((text) => `<p>${escapeHtml(text)}</p>`).join("\n")}
<div class="chart">${budgetPlot(budget, runs)}</div>
<details><summary>Each run</summary><div class="row">${
          budget.arms.map((summary) => `<div>${armPlot(summary, runsOf(budget, runs))}</div>`).join(
            "\n",
          )
        }</div></details>`
      ).join("\n")
    }
${temperaturePart(findings.runs)}
<h2>What a step costs</h2>
<p class="soft">Batch ${costs.batch}, forward, backward and AdamW; ${costs.rounds} rounds in turns on ${
      escapeHtml(costs.adapter)
    }. Floating-point operations are those that the kernels declare.</p>
<div class="scroll">${htmlTable(costRows(costs))}</div>
<h2>The paper's figures</h2>
<p class="soft">${escapeHtml(PAPER_NOTE)}</p>
<div class="scroll">${htmlTable(paperRows())}</div>
${findings.routing}
<h2>How it was made</h2>
<p><code>${escapeHtml(findings.command)}</code></p>
<details><summary>Model and recipe of each arm</summary><pre>${
      escapeHtml(JSON.stringify(
        Object.fromEntries(findings.runs.map(({ arm, config }) => [arm, config])),
        null,
        1,
      ))
    }</pre></details>`,
  );
}

/** The plots as files: name and SVG. */
export function resultPlots(findings: Findings): Map<string, string> {
  const runs = runsOfMain(findings.runs);
  return new Map(
    summarise(runs).map((budget) => [plotName(budget), standalone(budgetPlot(budget, runs))]),
  );
}

function budgetTitle({ size, epochs, augmentation, heldOut }: BudgetSummary): string {
  return `${size} digits, ${epochs} epochs, ${augmentation} (measured on ${heldOut} others)`;
}

function plotName(budget: BudgetSummary): string {
  return `jetpack-${budgetOf(budget)}.svg`;
}

const COLORS: Readonly<Record<string, string>> = {
  "dense-scratch": "#8a8f98",
  "dense-finetuned": "#1f6feb",
  "soft-scratch": "#b58900",
  "sphero-scratch": "#c2570c",
  "jetpack-copy": "#7a52c7",
  "jetpack-random": "#2a9d8f",
  "jetpack-uniform": "#1a7f37",
  "jetpack-graph": "#d6336c",
  "jetpack-importance": "#0b7285",
};

/** An arm's colour is that of its name. */
function colorOf(name: string): string {
  return COLORS[name.replace(/-t[0-9.]+$/, "")];
}

const axes = {
  xTitle: "training step",
  yFormat: (v: number) => `${Math.round(100 * v)} %`,
  yMin: 0,
  yMax: 1,
};

function runsOf(budget: BudgetSummary, runs: readonly RunResult[]): RunResult[] {
  return runs.filter((run) => budgetOf(run) === budgetOf(budget));
}

/** One line an arm: the mean over its seeds. */
function budgetPlot(budget: BudgetSummary, runs: readonly RunResult[]): string {
  const all = runsOf(budget, runs);
  const series = budget.arms.map(({ arm }) => {
    const own = all.filter((run) => run.arm === arm.name);
    const points = own[0].evaluations.map(({ step }, i) => ({
      x: step,
      y: own.reduce((sum, run) => sum + run.evaluations[i].accuracy, 0) / own.length,
    }));
    return { name: arm.name, color: colorOf(arm.name), points, dashed: !isJetpack(arm) };
  });
  return lineChart(series, {
    ...axes,
    title: `Held-out accuracy, ${budget.size} digits, ${budget.augmentation}: mean over seeds`,
    legend: true,
  });
}

/** One line a seed. */
function armPlot({ arm }: ArmSummary, runs: readonly RunResult[]): string {
  const series = runs.filter((run) => run.arm === arm.name).map((run) => ({
    name: `seed ${run.seed}`,
    color: colorOf(arm.name),
    points: run.evaluations.map(({ step, accuracy }) => ({ x: step, y: accuracy })),
  }));
  return lineChart(series, { ...axes, title: arm.title, legend: true });
}
