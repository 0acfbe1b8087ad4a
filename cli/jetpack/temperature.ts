/**
 * The first temperature of routing, the one setting that the comparison was tried with in several values.
 * @module
 */
import { armNamed, isJetpack } from "./arms.ts";
import type { RunResult } from "./record.ts";
import { budgetOf, byBudget } from "./summary.ts";

/** The temperature with the most runs, of equals the lowest; null where no run has one. */
export function mainTemperature(runs: readonly RunResult[]): number | null {
  const counts = [...Map.groupBy(runs, ({ arm }) => armNamed(arm).temperature)]
    .flatMap(([temperature, own]) =>
      temperature === null ? [] : [{ temperature, count: own.length }]
    )
    .sort((a, b) => b.count - a.count || a.temperature - b.temperature);
  return counts[0]?.temperature ?? null;
}

/** Runs at the main temperature, and those that have none. */
export function runsOfMain(runs: readonly RunResult[]): RunResult[] {
  const main = mainTemperature(runs);
  return runs.filter(({ arm }) => [main, null].includes(armNamed(arm).temperature));
}

/**
 * A table over all temperatures: SpheroMoE from scratch, and MoE Jetpack over all its methods, on the seeds that have both;
 * beside them the fine-tuned dense model on those seeds. The table's head alone where only one temperature has both.
 */
export function temperatureRows(runs: readonly RunResult[]): string[][] {
  const groups = [
    ...Map.groupBy(
      runs,
      (run) => `${budgetOf(run)} ${armNamed(run.arm).temperature}`,
    ).values(),
  ].flatMap((group) => {
    const { temperature } = armNamed(group[0].arm);
    const scratch = group.filter(({ arm }) => armNamed(arm).start === "scratch");
    const seeds = scratch.map(({ seed }) => seed);
    const jetpack = group.filter(({ arm, seed }) =>
      isJetpack(armNamed(arm)) && seeds.includes(seed)
    );
    return temperature === null || jetpack.length === 0 ? [] : [{ temperature, scratch, jetpack }];
  }).sort((a, b) => byBudget(a.scratch[0], b.scratch[0]) || a.temperature - b.temperature);
  const several = new Set(groups.map(({ temperature }) => temperature)).size > 1;
  return [
    [
      "digits",
      "epochs",
      "augmentation",
      "t",
      "SpheroMoE, scratch",
      "MoE Jetpack",
      "dense, fine-tuned",
      "seeds",
    ],
    ...(several ? groups : []).map(({ temperature, scratch, jetpack }) => {
      const [{ size, epochs, augmentation }] = scratch;
      const seeds = [...new Set(jetpack.map(({ seed }) => seed))].sort((a, b) => a - b);
      const dense = runs.filter((run) =>
        run.arm === "dense-finetuned" && budgetOf(run) === budgetOf(scratch[0]) &&
        seeds.includes(run.seed)
      );
      return [
        size.toString(),
        epochs.toString(),
        augmentation,
        temperature.toString(),
        percentOf(scratch),
        `${percentOf(jetpack)} (${jetpack.length} run${jetpack.length === 1 ? "" : "s"})`,
        dense.length > 0 ? percentOf(dense) : "",
        seeds.join(", "),
      ];
    }),
  ];
}

/** Mean accuracy in per cent. */
function percentOf(runs: readonly RunResult[]): string {
  return (100 * runs.reduce((sum, { accuracy }) => sum + accuracy, 0) / runs.length).toFixed(1);
}
