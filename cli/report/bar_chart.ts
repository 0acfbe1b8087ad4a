/**
 * A bar chart as SVG: rows of named values, each with its spread, in groups of one colour.
 * @module
 */
import { escapeHtml } from "./html.ts";
import { niceTicks } from "./line_chart.ts";

/** A bar. */
export interface Bar {
  /** Written before it. */
  readonly name: string;
  readonly value: number;
  /** Drawn as a line from the least to the most; undefined: there is one value alone. */
  readonly range?: readonly [least: number, most: number];
  /** CSS colour. */
  readonly color: string;
}

const WIDTH = 560, ROW = 26, BAR = 16;
const LEFT = 210, RIGHT = 64, TOP = 34, BOTTOM = 26;

/** Draws bars from 0, one below the other; the SVG scales to its container. */
export function barChart(
  bars: readonly Bar[],
  options: { readonly title: string; readonly format: (value: number) => string },
): string {
  const { title, format } = options;
  const height = TOP + ROW * bars.length + BOTTOM;
  const ticks = niceTicks(0, Math.max(...bars.map(({ value, range }) => range?.[1] ?? value)), 5);
  const x = (value: number): number =>
    LEFT + value / (ticks[ticks.length - 1] || 1) * (WIDTH - LEFT - RIGHT);
  const grid = ticks.map((tick) =>
    `<line x1="${fix(x(tick))}" x2="${fix(x(tick))}" y1="${TOP}" y2="${height - BOTTOM}" ` +
    `stroke="var(--line)"/><text x="${fix(x(tick))}" y="${height - 8}" text-anchor="middle">` +
    `${escapeHtml(format(tick))}</text>`
  );
  const rows = bars.map(({ name, value, range, color }, i) => {
    const top = TOP + ROW * i + (ROW - BAR) / 2, middle = top + BAR / 2;
    const spread = range === undefined
      ? ""
      : `<line x1="${fix(x(range[0]))}" x2="${fix(x(range[1]))}" y1="${middle}" y2="${middle}" ` +
        `stroke="var(--ink)" stroke-width="1.5"/>`;
    return `<text x="${LEFT - 8}" y="${middle + 4}" text-anchor="end">${escapeHtml(name)}</text>` +
      `<rect x="${LEFT}" y="${top}" width="${fix(x(value) - LEFT)}" height="${BAR}" ` +
      `fill="${color}"/>${spread}<text x="${fix(x(range?.[1] ?? value) + 6)}" y="${middle + 4}" ` +
      `style="font-weight:600">${escapeHtml(format(value))}</text>`;
  });
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeHtml(title)}">
<text x="0" y="16" style="fill:var(--ink);font-weight:600;font-size:14px">${
    escapeHtml(title)
  }</text>
${grid.join("\n")}
${rows.join("\n")}
</svg>`;
}

function fix(value: number): string {
  return value.toFixed(1);
}
