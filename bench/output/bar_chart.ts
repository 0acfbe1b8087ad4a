/**
 * Horizontal bars on a logarithmic axis, as SVG.
 * @module
 */
import { escapeHtml } from "../../cli/report/html.ts";

/** A bar with the spread of its samples. */
export interface Bar {
  readonly name: string;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  /** Drawn strong. */
  readonly ours: boolean;
  /** Drawn pale: another kind of hardware or clock. */
  readonly faint: boolean;
}

const WIDTH = 640, LEFT = 250, RIGHT = 70, ROW = 22, TOP = 8;

/** Draws bars from the smallest power of ten below all of them. @param format a value as text */
export function barChart(
  title: string,
  bars: readonly Bar[],
  format: (value: number) => string,
): string {
  const least = Math.min(...bars.map(({ low }) => low));
  const most = Math.max(...bars.map(({ high }) => high));
  const first = Math.floor(Math.log10(least)), last = Math.max(first + 1, Math.log10(most));
  const x = (value: number) =>
    LEFT + (WIDTH - LEFT - RIGHT) * (Math.log10(value) - first) / (last - first);
  const height = TOP + ROW * bars.length + 20;
  const ticks = Array.from({ length: Math.floor(last) - first + 1 }, (_, i) => 10 ** (first + i));
  const grid = ticks.map((tick) =>
    `<line x1="${fix(x(tick))}" x2="${fix(x(tick))}" y1="0" y2="${
      height - 18
    }" stroke="var(--line)"/>` +
    `<text x="${fix(x(tick))}" y="${height - 4}" text-anchor="middle">${
      escapeHtml(format(tick))
    }</text>`
  );
  const rows = bars.map(({ name, value, low, high, ours, faint }, i) => {
    const y = TOP + ROW * i, middle = fix(y + ROW / 2 - 2);
    const color = ours ? "var(--a)" : "var(--b)";
    return `<text x="${LEFT - 8}" y="${y + 14}" text-anchor="end">${escapeHtml(name)}</text>` +
      `<rect x="${LEFT}" y="${y + 2}" width="${fix(Math.max(1, x(value) - LEFT))}" ` +
      `height="${ROW - 8}" fill="${color}" opacity="${faint ? ".4" : "1"}"/>` +
      `<line x1="${fix(x(low))}" x2="${fix(x(high))}" y1="${middle}" y2="${middle}" ` +
      `stroke="var(--ink)" stroke-width="1.5"/>` +
      `<text x="${fix(x(Math.max(value, high)) + 6)}" y="${y + 14}">${
        escapeHtml(format(value))
      }</text>`;
  });
  return `<svg viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${escapeHtml(title)}">
${grid.join("\n")}
${rows.join("\n")}
</svg>`;
}

function fix(value: number): string {
  return value.toFixed(1);
}
