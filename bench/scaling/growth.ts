/**
 * How fast a cost grows: the exponent p of a power law y = c x^p.
 * @module
 */

/** A point of a curve; both numbers above 0. */
export type Point = readonly [x: number, y: number];

/**
 * The exponent that fits the points best: the slope of the least-squares line through their logarithms. 1 is proportional
 * growth, 2 quadratic, 0 none.
 * @returns null for fewer than two different x
 */
export function growthExponent(points: readonly Point[]): number | null {
  const logs = points.map(([x, y]) => [Math.log(x), Math.log(y)] as const);
  const mean = (axis: 0 | 1) => logs.reduce((sum, point) => sum + point[axis], 0) / logs.length;
  const [x0, y0] = [mean(0), mean(1)];
  const spread = logs.reduce((sum, [x]) => sum + (x - x0) ** 2, 0);
  if (logs.length < 2 || spread === 0) return null;
  return logs.reduce((sum, [x, y]) => sum + (x - x0) * (y - y0), 0) / spread;
}
