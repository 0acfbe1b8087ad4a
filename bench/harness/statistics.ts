/**
 * Median and spread of samples.
 * @module
 */

/** The value below which a share of the samples lies, by linear interpolation between neighbours. @param share 0 to 1 */
export function percentile(samples: readonly number[], share: number): number {
  if (samples.length === 0) throw new RangeError("percentile(): no samples");
  const sorted = samples.toSorted((a, b) => a - b);
  const place = share * (sorted.length - 1), below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
}

/** What a row says about its samples. */
export interface Spread {
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
}

/** Median, tenth and ninetieth percentile. */
export function spread(samples: readonly number[]): Spread {
  return {
    median: percentile(samples, 0.5),
    p10: percentile(samples, 0.1),
    p90: percentile(samples, 0.9),
  };
}
