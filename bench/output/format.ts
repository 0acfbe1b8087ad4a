/**
 * Numbers for people: rows with what follows from the workload's operations and bytes.
 * @module
 */
import { isFloor, rate, type Row, type Setting } from "../harness/row.ts";
import type { Roofline } from "../harness/roofline.ts";
import type { Workload } from "../workload.ts";

/** A row with its rates. */
export interface Rated {
  readonly row: Row;
  /** 10^9 bytes a second; null where bytes say nothing. */
  readonly gbs: number | null;
  /** Share of the nearer roof, 0 to 1; null for rows on the processor. */
  readonly share: number | null;
  /** How many times longer than wgrad's row by the same clock it takes; null for wgrad and failed rows. */
  readonly ratio: number | null;
}

/** Whether a row is no time but a size, which stands in the place of the shape. */
export function isSize({ median_ms, error }: Row): boolean {
  return median_ms === null && error === undefined;
}

/** Whether a row is ours. */
export function isOurs({ framework }: Row): boolean {
  return framework.startsWith("wgrad");
}

/** Adds the rates to the rows of one workload. */
export function rated(
  rows: readonly Row[],
  workload: Workload | undefined,
  roof: Roofline | null,
): Rated[] {
  const ours = rows.find((row) => isOurs(row) && row.clock === "wall")?.median_ms ?? null;
  return rows.map((row) => {
    const gbs = rate(workload?.bytes ?? null, row.median_ms);
    const shares = roof === null || isFloor(row)
      ? []
      : [(row.gflops ?? 0) / roof.gflops, (gbs ?? 0) / roof.gbs];
    return {
      row,
      gbs,
      share: row.median_ms === null || shares.length === 0 ? null : Math.max(...shares),
      ratio: isOurs(row) || row.median_ms === null || ours === null ? null : row.median_ms / ours,
    };
  });
}

/** What figures belong to, in a line: adapter, driver, runtime, date. */
export function settingText({ adapter, driver, runtime, date }: Setting): string {
  return [adapter, driver, runtime, date].filter((part) => part !== null).join(", ");
}

/** The most that waiting may be of a sample. */
const MOST_WAITING = 0.05;

/** Runs between two waits; with what a wait takes of them where that is too much, since more results fit no memory. */
export function runsText({ repeats_per_sync, wait_share = 0 }: Row): string {
  return wait_share > MOST_WAITING
    ? `${repeats_per_sync} (${percent(wait_share)} wait)`
    : String(repeats_per_sync);
}

/** Three significant digits, `-` for nothing. */
export function digits(value: number | null): string {
  if (value === null) return "-";
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value >= 1 ? value.toFixed(2) : value.toPrecision(3);
}

/** A share in per cent. */
export function percent(share: number | null): string {
  if (share === null || share === 0) return "-";
  return share < 0.0995 ? `${(100 * share).toFixed(1)}%` : `${(100 * share).toFixed(0)}%`;
}

/** The first line of an error, not too long. */
export function short(error: string, most = 90): string {
  const [line] = error.trim().split("\n");
  return line.length > most ? `${line.slice(0, most - 3)}...` : line;
}

/** Rows grouped by workload and shape, in their order; rows that are sizes and no times, by workload. */
export function byWorkload(rows: readonly Row[]): Map<string, Row[]> {
  const groups = new Map<string, Row[]>();
  for (const row of rows) {
    const key = isSize(row) ? row.workload : `${row.workload} ${row.shape}`;
    const group = groups.get(key);
    if (group) group.push(row);
    else groups.set(key, [row]);
  }
  return groups;
}

/** How wgrad stands against the peers that compute on the same adapter. */
export interface Standing {
  readonly workload: string;
  /** The best peer's time over ours; above 1 we are ahead. */
  readonly ratio: number;
  /** Who that peer is. */
  readonly peer: string;
}

/** One standing for each workload that at least one peer computed rightly on the GPU, by wall time. */
export function standings(rows: readonly Row[]): Standing[] {
  return [...byWorkload(rows)].flatMap(([workload, group]) => {
    const walls = group.filter((row) => row.clock === "wall" && row.median_ms !== null);
    const ours = walls.find(isOurs);
    const peers = walls.filter((row) => !isOurs(row) && !isFloor(row));
    if (ours === undefined || peers.length === 0) return [];
    const best = peers.reduce((a, b) => a.median_ms! <= b.median_ms! ? a : b);
    return [{ workload, ratio: best.median_ms! / ours.median_ms!, peer: best.framework }];
  });
}
