/**
 * A measured series in words and numbers: how fast time and memory grow, and how two lines compare.
 * @module
 */
import { makeRow, rate, type Row, type Setting, type Who } from "../harness/row.ts";
import { growthExponent } from "./growth.ts";
import type { ScaledPoint, ScaledSeries } from "./run.ts";

/** Exponents of growth; null where a line has too few points. */
export interface Growth {
  readonly time: number | null;
  /** Of the last two points, where what a run costs however small it is counts least. */
  readonly timeAtEnd: number | null;
  /** Of the operations. */
  readonly arithmetic: number | null;
  readonly arithmeticAtEnd: number | null;
  readonly memory: number | null;
}

/** How a line grows. */
export function growthOf(points: readonly ScaledPoint[]): Growth {
  const timed = points.filter(({ ms }) => ms !== null);
  const exponent = (of: readonly ScaledPoint[], y: (point: ScaledPoint) => number) =>
    growthExponent(of.map((point) => [point.x, y(point)]));
  const time = ({ ms }: ScaledPoint) => ms!.median, flops = (point: ScaledPoint) => point.flops;
  const end = timed.slice(-2);
  return {
    time: exponent(timed, time),
    timeAtEnd: exponent(end, time),
    arithmetic: exponent(timed, flops),
    arithmeticAtEnd: exponent(end, flops),
    memory: exponent(points, ({ peakBytes }) => peakBytes),
  };
}

/** The second of two lines over the first at one x. */
export interface Comparison {
  readonly x: number;
  readonly time: number;
  readonly arithmetic: number;
  readonly memory: number;
}

/** Ratios of two lines where both were measured; empty for another number of lines. */
export function comparisons({ lines }: ScaledSeries): Comparison[] {
  if (lines.length !== 2) return [];
  return lines[1].points.flatMap((point) => {
    const first = lines[0].points.find(({ x }) => x === point.x);
    if (!first?.ms || !point.ms) return [];
    return [{
      x: point.x,
      time: point.ms.median / first.ms.median,
      arithmetic: point.flops / first.flops,
      memory: point.peakBytes / first.peakBytes,
    }];
  });
}

/** The points as rows of `--json`. */
export function scalingRows({ name, lines }: ScaledSeries, who: Who, setting: Setting): Row[] {
  return lines.flatMap(({ label, points }) =>
    points.map((point) => {
      const { shape, ms, flops, error, maxAbs, peakBytes, estimatedBytes } = point;
      const figures = {
        gflops: rate(flops, ms?.median ?? null),
        check: { ok: error === undefined, max_abs: maxAbs },
        peak_bytes: peakBytes,
        estimated_peak_bytes: estimatedBytes,
      };
      const row = makeRow({ workload: `${name}: ${label}`, shape }, who, setting, {
        ...figures,
        ...(error !== undefined && { failure: error }),
      });
      return {
        ...row,
        repeats_per_sync: ms?.repeats ?? 0,
        median_ms: ms?.median ?? null,
        p10_ms: ms?.p10 ?? null,
        p90_ms: ms?.p90 ?? null,
      };
    })
  );
}
