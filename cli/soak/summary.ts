/**
 * What an hour of training leaves to say: is memory flat, is a step as fast at the end as at the beginning, is anything
 * read back that nobody asked for. Pure: from samples to text and charts.
 * @module
 */
import { page } from "../report/html.ts";
import { type ChartOptions, lineChart } from "../report/line_chart.ts";

/** What was seen every few steps. */
export interface Sample {
  /** Since the beginning. */
  readonly seconds: number;
  /** Steps so far. */
  readonly step: number;
  /** Whether the steps since the last sample were captured. */
  readonly captured: boolean;
  /** Of the last step. */
  readonly loss: number;
  /** Mean over the steps since the last sample; the first one after a change of mode includes its preparation. */
  readonly millisecondsPerStep: number;
  /** Reads of GPU memory since the last sample, those of the losses included, a step. */
  readonly readbacksPerStep: number;
  /** Bytes that tensors hold. */
  readonly liveBytes: number;
  /** Buffers that tensors hold. */
  readonly liveBuffers: number;
  /** Bytes held, the pool's free buffers included. */
  readonly reservedBytes: number;
  /** Resident memory of the process. */
  readonly processBytes: number;
}

/** What a soak ran on. */
export interface SoakSettings {
  readonly model: string;
  readonly batch: number;
  readonly seed: number;
  readonly adapter: string;
  readonly runtime: string;
  readonly date: string;
  /** Steps between two samples, each with one read. */
  readonly every: number;
}

/** The judgement on a run. */
export interface Verdict {
  /** What is wrong, a sentence each; empty when all is well. */
  readonly faults: readonly string[];
  /** Markdown, a line per figure. */
  readonly table: string;
}

const MODES = [["captured", true], ["eager", false]] as const;
const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(2)} MiB`;

/** Compares the beginning of a run with its end. */
export function judgeSoak(samples: readonly Sample[], settings: SoakSettings): Verdict {
  const faults: string[] = [];
  const rows: string[][] = [];
  for (const [name, captured] of MODES) {
    const own = samples.filter((sample) => sample.captured === captured);
    if (own.length < 2) {
      faults.push(`Too short: there are ${own.length} samples of ${name} steps.`);
      continue;
    }
    const first = own[0], last = own[own.length - 1];
    for (const [what, show] of FLAT) {
      const values = own.map((sample) => sample[what]);
      const low = Math.min(...values), high = Math.max(...values);
      if (low !== high) {
        faults.push(`${what} of ${name} steps is from ${show(low)} to ${show(high)}.`);
      }
      rows.push([`${what}, ${name}`, show(first[what]), show(last[what])]);
    }
    const asked = 1 / settings.every;
    const most = Math.max(...own.map((sample) => sample.readbacksPerStep));
    if (most > asked) {
      faults.push(`${name} steps read back ${most} times a step, ${asked} were asked for.`);
    }
    const quarter = Math.max(1, Math.floor(own.length / 4));
    const speed = (part: readonly Sample[]): string =>
      `${median(part.map((sample) => sample.millisecondsPerStep)).toFixed(1)} ms`;
    rows.push([
      `median step, ${name} (first and last quarter)`,
      speed(own.slice(0, quarter)),
      speed(own.slice(-quarter)),
    ]);
  }
  const first = samples[0], last = samples[samples.length - 1];
  if (first && last) {
    const quarter = Math.max(1, Math.floor(samples.length / 4));
    const resident = (part: readonly Sample[]): string =>
      mebibytes(median(part.map(({ processBytes }) => processBytes)));
    rows.push([
      "median of the process (first and last quarter)",
      resident(samples.slice(0, quarter)),
      resident(samples.slice(-quarter)),
    ]);
    rows.push(["loss", first.loss.toFixed(4), last.loss.toFixed(4)]);
    if (!Number.isFinite(last.loss)) faults.push(`The loss is ${last.loss}.`);
  }
  const lines = [["", "first", "last"], ["---", "---", "---"], ...rows];
  return { faults, table: lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n") };
}

/** Figures that must be the same in every sample of a mode, and how to show them. */
const FLAT: readonly (readonly ["liveBytes" | "liveBuffers", (value: number) => string])[] = [
  ["liveBytes", mebibytes],
  ["liveBuffers", String],
];

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** The summary that is committed, as Markdown. */
export function soakMarkdown(samples: readonly Sample[], settings: SoakSettings): string {
  const { faults, table } = judgeSoak(samples, settings);
  const last = samples[samples.length - 1];
  const minutes = ((last?.seconds ?? 0) / 60).toFixed(1);
  const verdict = faults.length === 0
    ? "Live bytes and buffers were the same in every sample of a mode, and nothing was read back that was not asked for."
    : faults.map((fault) => `- ${fault}`).join("\n");
  return `# Soak test

${minutes} minutes and ${
    last?.step ?? 0
  } steps of training (${settings.model}, batch ${settings.batch}, seed
${settings.seed}), captured and eager steps taking turns, on one model and one device; a sample every
${settings.every} steps, ${samples.length} in all. ${settings.adapter}, ${settings.runtime}, ${settings.date}.
Made by \`deno task soak --minutes ${Math.round(Number(minutes))} --summary\`.

${verdict}

${table}
`;
}

/** The plots, one HTML page. */
export function soakPage(samples: readonly Sample[], settings: SoakSettings): string {
  const { faults } = judgeSoak(samples, settings);
  const chart = (y: (sample: Sample) => number, options: Omit<ChartOptions, "xTitle">): string =>
    lineChart(
      MODES.map(([name, captured], i) => ({
        name,
        color: `var(--${"ab"[i]})`,
        points: samples.filter((sample) => sample.captured === captured)
          .map((sample) => ({ x: sample.seconds / 60, y: y(sample) })),
      })).filter(({ points }) => points.length > 0),
      { ...options, xTitle: "minutes" },
    );
  const mib = (value: number): string => value.toFixed(1);
  const charts = [
    chart((s) => s.liveBytes / 2 ** 20, { title: "Live MiB", yFormat: mib, yMin: 0 }),
    chart((s) => s.liveBuffers, { title: "Live buffers", yFormat: String, yMin: 0 }),
    chart((s) => s.reservedBytes / 2 ** 20, { title: "Reserved MiB", yFormat: mib, yMin: 0 }),
    chart((s) => s.processBytes / 2 ** 20, { title: "Process MiB", yFormat: mib, yMin: 0 }),
    chart((s) => s.millisecondsPerStep, { title: "Milliseconds a step", yFormat: mib, yMin: 0 }),
    chart((s) => s.readbacksPerStep, { title: "Reads a step", yFormat: String, yMin: 0 }),
    chart((s) => s.loss, { title: "Loss", yFormat: String }),
  ];
  const rows = charts.map((svg, i) =>
    i % 2 === 0 ? `<div class="row"><div>${svg}</div><div>${charts[i + 1] ?? ""}</div></div>` : ""
  );
  return page(
    "wgrad soak test",
    `<h1>Soak test: ${samples.length} samples</h1>
<p>${settings.model}, batch ${settings.batch}. ${settings.adapter}, ${settings.runtime}, ${settings.date}.</p>
<p>${faults.length === 0 ? "Memory is flat." : faults.join("<br>")}</p>
${rows.join("\n")}`,
  );
}
