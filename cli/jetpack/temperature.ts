/**
 * The first temperature of routing, the one setting that the comparison was tried with in several values.
 * @module
 */
import { armNamed, isJetpack } from "./arms.ts";
import type { RunResult } from "./record.ts";

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
 * A table over all temperatures: SpheroMoE from scratch, and MoE Jetpack over all its methods, on the seeds that have both.
 * The table's head alone where no temperature but one has both.
 */
export function temperatureRows(runs: readonly RunResult[]): string[][] {
  const groups = Map.groupBy(
    runs,
    ({ arm, size, epochs }) => JSON.stringify([size, epochs, armNamed(arm).temperature]),
  );
  const rows = [...groups].flatMap(([key, group]) => {
    const [size, epochs, temperature] = JSON.parse(key) as [number, number, number | null];
    const scratch = group.filter(({ arm }) => armNamed(arm).start === "scratch");
    const seeds = scratch.map(({ seed }) => seed);
    const jetpack = group.filter(({ arm, seed }) =>
      isJetpack(armNamed(arm)) && seeds.includes(seed)
    );
    if (temperature === null || jetpack.length === 0) return [];
    return [{ size, epochs, temperature, scratch, jetpack }];
  }).sort((a, b) => a.size - b.size || a.epochs - b.epochs || a.temperature - b.temperature);
  const several = new Set(rows.map(({ temperature }) => temperature)).size > 1;
  return [
    ["digits", "epochs", "t", "SpheroMoE, from scratch", "MoE Jetpack, all methods", "seeds"],
    ...(several ? rows : []).map(({ size, epochs, temperature, scratch, jetpack }) => [
      size.toString(),
      epochs.toString(),
      temperature.toString(),
      percentOf(scratch),
      `${percentOf(jetpack)} (${jetpack.length} run${jetpack.length === 1 ? "" : "s"})`,
      [...new Set(jetpack.map(({ seed }) => seed))].sort((a, b) => a - b).join(", "),
    ]),
  ];
}

/** Mean accuracy in per cent. */
function percentOf(runs: readonly RunResult[]): string {
  return (100 * runs.reduce((sum, { accuracy }) => sum + accuracy, 0) / runs.length).toFixed(1);
}
