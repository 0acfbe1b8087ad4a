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

/** Where names stand, and how much room there is, in units of the drawing. */
interface BarLayout {
  readonly width: number;
  /** Where bars begin. */
  readonly left: number;
  /** From one bar to the next. */
  readonly row: number;
  /** Room for the name above its bar; 0 where it stands before it. */
  readonly above: number;
}

/** For a page, for one whose names are long, and for a phone. */
export const BAR_LAYOUTS = {
  beside: { width: 640, left: 250, row: 22, above: 0 },
  wide: { width: 820, left: 370, row: 22, above: 0 },
  above: { width: 360, left: 4, row: 38, above: 16 },
} as const satisfies Record<string, BarLayout>;

/** `TICK`: the room that a number on the axis needs. */
const RIGHT = 70, TOP = 8, BAR = 14, TICK = 60;

/** Draws bars from the smallest power of ten below all of them. @param format a value as text */
export function barChart(
  title: string,
  bars: readonly Bar[],
  format: (value: number) => string,
  { width, left, row, above }: BarLayout = BAR_LAYOUTS.beside,
): string {
  const least = Math.min(...bars.map(({ low }) => low));
  const most = Math.max(...bars.map(({ high }) => high));
  const first = Math.floor(Math.log10(least)), last = Math.max(first + 1, Math.log10(most));
  const x = (value: number) =>
    left + (width - left - RIGHT) * (Math.log10(value) - first) / (last - first);
  const height = TOP + row * bars.length + 20;
  const powers = Array.from({ length: Math.floor(last) - first + 1 }, (_, i) => 10 ** (first + i));
  const apart = Math.ceil(TICK * powers.length / (width - left - RIGHT));
  const ticks = powers.filter((_, i) => i % apart === 0);
  const grid = ticks.map((tick) =>
    `<line x1="${fix(x(tick))}" x2="${fix(x(tick))}" y1="0" y2="${
      height - 18
    }" stroke="var(--line)"/>` +
    `<text x="${fix(x(tick))}" y="${height - 4}" text-anchor="${
      x(tick) < TICK / 2 ? "start" : "middle"
    }">${escapeHtml(format(tick))}</text>`
  );
  const rows = bars.map(({ name, value, low, high, ours, faint }, i) => {
    const nameAt = TOP + row * i, y = nameAt + above, middle = fix(y + 2 + BAR / 2);
    const color = ours ? "var(--a)" : "var(--b)";
    const place = above > 0
      ? `x="${left}" y="${nameAt + 12}"`
      : `x="${left - 8}" y="${y + 14}" text-anchor="end"`;
    return `<text ${place}>${escapeHtml(name)}</text>` +
      `<rect x="${left}" y="${y + 2}" width="${fix(Math.max(1, x(value) - left))}" ` +
      `height="${BAR}" fill="${color}" opacity="${faint ? ".4" : "1"}"/>` +
      `<line x1="${fix(x(low))}" x2="${fix(x(high))}" y1="${middle}" y2="${middle}" ` +
      `stroke="var(--ink)" stroke-width="1.5"/>` +
      `<text x="${fix(x(Math.max(value, high)) + 6)}" y="${y + 14}">${
        escapeHtml(format(value))
      }</text>`;
  });
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(title)}">
${grid.join("\n")}
${rows.join("\n")}
</svg>`;
}

function fix(value: number): string {
  return value.toFixed(1);
}
