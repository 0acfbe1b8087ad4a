/**
 * Curves over two logarithmic axes, as SVG: what was measured, and beside it the arithmetic, which begins at the same point.
 * @module
 */
import { escapeHtml } from "../../cli/report/html.ts";

/** One line. */
export interface GrowthCurve {
  readonly name: string;
  /** CSS colour. */
  readonly color: string;
  readonly points: readonly {
    readonly x: number;
    readonly y: number;
    /** What y would be if it grew as the arithmetic does. */
    readonly arithmetic: number;
  }[];
}

const WIDTH = 560, HEIGHT = 280, LEFT = 76, RIGHT = 150, TOP = 12, BOTTOM = 42;

/** Draws the curves; dashed is the arithmetic. @param format a value of y as text */
export function growthChart(
  { title, axis }: { readonly title: string; readonly axis: string },
  curves: readonly GrowthCurve[],
  format: (value: number) => string,
): string {
  const points = curves.flatMap((curve) => curve.points);
  const range = (values: readonly number[]) =>
    [Math.log(Math.min(...values)), Math.log(Math.max(...values))] as const;
  const [x0, x1] = range(points.map(({ x }) => x));
  const [y0, y1] = range(points.flatMap(({ y, arithmetic }) => [y, arithmetic]));
  const x = (value: number) =>
    LEFT + (Math.log(value) - x0) / (x1 - x0 || 1) * (WIDTH - LEFT - RIGHT);
  const y = (value: number) =>
    TOP + (y1 - Math.log(value)) / (y1 - y0 || 1) * (HEIGHT - TOP - BOTTOM);
  const xTicks = [...new Set(points.map((point) => point.x))].map((value) =>
    `<text x="${fix(x(value))}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${value}</text>`
  );
  const from = Math.ceil(y0 / Math.LN10), to = Math.floor(y1 / Math.LN10);
  const powers = Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => 10 ** (from + i));
  const yTicks = (powers.length > 0 ? powers : [Math.exp(y0), Math.exp(y1)]).map((value) =>
    `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${fix(y(value))}" y2="${fix(y(value))}" ` +
    `stroke="var(--line)"/><text x="${LEFT - 8}" y="${fix(y(value) + 4)}" text-anchor="end">` +
    `${escapeHtml(format(value))}</text>`
  );
  const drawn = curves.filter((curve) => curve.points.length > 0).map(({ name, color, points }) => {
    const path = (of: (point: GrowthCurve["points"][number]) => number) =>
      points.map((point) => `${fix(x(point.x))},${fix(y(of(point)))}`).join(" ");
    const dots = points.map((point) =>
      `<circle cx="${fix(x(point.x))}" cy="${fix(y(point.y))}" r="3" fill="${color}"/>`
    );
    const last = points[points.length - 1];
    return `<polyline points="${
      path(({ arithmetic }) => arithmetic)
    }" fill="none" stroke="${color}" ` +
      `stroke-dasharray="5 4" opacity=".6"/>` +
      `<polyline points="${
        path(({ y }) => y)
      }" fill="none" stroke="${color}" stroke-width="2.2"/>` +
      `${dots.join("")}<text x="${fix(x(last.x) + 8)}" y="${fix(y(last.y) + 4)}" ` +
      `style="fill:${color};font-weight:600">${escapeHtml(name)}</text>`;
  });
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(title)}">
${yTicks.join("\n")}
${xTicks.join("\n")}
<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 6}" text-anchor="middle">${
    escapeHtml(axis)
  }</text>
${drawn.join("\n")}
</svg>`;
}

function fix(value: number): string {
  return value.toFixed(1);
}
