/**
 * What was measured of steps, as a Markdown table.
 * @module
 */
import type { StepCost, StepCosts } from "./measure.ts";

/** Where and how the figures were taken. */
export interface StepCostSettings {
  /** Images of a step. */
  readonly batch: number;
  /** Steps each way. */
  readonly rounds: number;
  /** The adapter's label. */
  readonly adapter: string;
  /** The runtime and its version. */
  readonly runtime: string;
  /** As 2025-01-31. */
  readonly date: string;
  /** What the times are: processor time or wall clock. */
  readonly clock: string;
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(2)} MiB`;
const perDispatch = ({ milliseconds, dispatches }: StepCost): string =>
  `${(1000 * milliseconds / dispatches).toFixed(1)} µs`;

/** A line for each step. */
export function stepCostTable(costs: readonly StepCosts[]): string {
  const lines = [
    ["step", "dispatches", "eager", "replayed", "ratio", "eager peak", "replayed peak"],
    ["---", "---", "---", "---", "---", "---", "---"],
    ...costs.map(({ name, eager, replayed }) => [
      name,
      String(replayed.dispatches),
      `${eager.milliseconds.toFixed(2)} ms, ${perDispatch(eager)} each`,
      `${replayed.milliseconds.toFixed(2)} ms, ${perDispatch(replayed)} each`,
      (eager.milliseconds / replayed.milliseconds).toFixed(1),
      mebibytes(eager.peakBytes),
      mebibytes(replayed.peakBytes),
    ]),
  ];
  return lines.map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** The summary that is committed. */
export function stepCostMarkdown(costs: readonly StepCosts[], settings: StepCostSettings): string {
  const { batch, rounds, adapter, runtime, date, clock } = settings;
  return `# What capture saves

JavaScript's time for one step of the demo's models, batch ${batch}: recorded, encoded and submitted anew (eager), and
replayed. Median of ${rounds} steps each way, taken in turn with the GPU idle before each; ${clock}. Peaks are bytes of
GPU memory beyond parameters, gradients and optimiser state. ${adapter}, ${runtime}, ${date}. Made by
\`deno task step-cost --summary\`.

${stepCostTable(costs)}
`;
}
