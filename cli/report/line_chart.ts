/**
 * A line chart as SVG: a few labelled series over training steps.
 * @module
 */
import { escapeHtml } from "./html.ts";

/** One line of a chart. */
export interface Series {
  /** Written at the line's end. */
  readonly name: string;
  /** CSS colour. */
  readonly color: string;
  /** Points in ascending x. */
  readonly points: readonly { readonly x: number; readonly y: number }[];
  /** Draws it thin and pale: the raw values behind a smoothed line. */
  readonly faint?: boolean;
  /** Draws it dashed. */
  readonly dashed?: boolean;
}

/** What a chart shows. */
export interface ChartOptions {
  readonly title: string;
  readonly xTitle: string;
  readonly yFormat: (value: number) => string;
  /** Range of y; default from the data. */
  readonly yMin?: number;
  readonly yMax?: number;
  /** Names beside the chart, the highest last value first, instead of at the lines' ends: for many lines. */
  readonly legend?: boolean;
}

const WIDTH = 560, HEIGHT = 320;
const LEFT = 52, TOP = 34, BOTTOM = 42;
/** Room for names at the lines' ends, and for a legend. */
const NAMES = 84, LEGEND = 204;

/** Draws the chart; the SVG scales to its container. */
export function lineChart(series: readonly Series[], options: ChartOptions): string {
  const all = series.flatMap((s) => s.points);
  const RIGHT = options.legend ? LEGEND : NAMES;
  const xMax = Math.max(1, ...all.map((p) => p.x));
  const low = options.yMin ?? Math.min(...all.map((p) => p.y));
  const high = options.yMax ?? Math.max(...all.map((p) => p.y));
  const ticks = niceTicks(low, high, 5);
  const yMin = Math.min(low, ticks[0]), yMax = Math.max(high, ticks[ticks.length - 1]);
  const x = (value: number): number => LEFT + value / xMax * (WIDTH - LEFT - RIGHT);
  const y = (value: number): number =>
    TOP + (yMax - value) / (yMax - yMin || 1) * (HEIGHT - TOP - BOTTOM);

  const grid = ticks.map((tick) =>
    `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${fix(y(tick))}" y2="${fix(y(tick))}" ` +
    `stroke="var(--line)"/><text x="${LEFT - 8}" y="${fix(y(tick) + 4)}" text-anchor="end">` +
    `${escapeHtml(options.yFormat(tick))}</text>`
  );
  const xTicks = niceTicks(0, xMax, 5).filter((tick) => tick <= xMax).map((tick) =>
    `<text x="${fix(x(tick))}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${tick}</text>`
  );
  const lines = series.map((s) => {
    const path = s.points.map((p) => `${fix(x(p.x))},${fix(y(p.y))}`).join(" ");
    const line = `<polyline points="${path}" fill="none" stroke="${s.color}" ` +
      `stroke-width="${s.faint ? 1 : 2.2}" stroke-linejoin="round" ${
        s.faint ? 'opacity=".28"' : ""
      }${s.dashed ? 'stroke-dasharray="5 4"' : ""}/>`;
    const last = s.points.at(-1);
    if (s.faint || !last || options.legend) return line;
    return `${line}<circle cx="${fix(x(last.x))}" cy="${
      fix(y(last.y))
    }" r="3.5" fill="${s.color}"/>` +
      `<text x="${fix(x(last.x) + 8)}" y="${
        fix(y(last.y) + 4)
      }" style="fill:${s.color};font-weight:600">` +
      `${escapeHtml(s.name)}</text>`;
  });
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${
    escapeHtml(options.title)
  }">
<text x="0" y="16" style="fill:var(--ink);font-weight:600;font-size:14px">${
    escapeHtml(options.title)
  }</text>
${grid.join("\n")}
${xTicks.join("\n")}
<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 6}" text-anchor="middle">${
    escapeHtml(options.xTitle)
  }</text>
${lines.join("\n")}
${options.legend ? legend(series) : ""}
</svg>`;
}

/** The chart as a file of its own, which no page gives colours to. */
export function standalone(svg: string): string {
  const style = "<style>svg { --ink: #1c2430; --line: #d9dee6; background: #fff; } " +
    "text { fill: #5d6878; font: 12px system-ui, sans-serif; }</style>";
  return svg.replace(/^<svg /, '<svg xmlns="http://www.w3.org/2000/svg" ')
    .replace(/^([^>]*>)/, `$1\n${style}`) + "\n";
}

function legend(series: readonly Series[]): string {
  const last = ({ points }: Series): number => points.at(-1)?.y ?? -Infinity;
  return series.filter(({ faint }) => !faint).toSorted((a, b) => last(b) - last(a)).map((s, i) => {
    const x = WIDTH - LEGEND + 14, y = TOP + 10 + 20 * i;
    return `<line x1="${x}" x2="${x + 18}" y1="${y - 4}" y2="${
      y - 4
    }" stroke="${s.color}" stroke-width="2.2"${
      s.dashed ? ' stroke-dasharray="5 4"' : ""
    }/><text x="${x + 24}" y="${y}">${escapeHtml(s.name)}</text>`;
  }).join("\n");
}

/** The mean over the last twentieth of the points up to each one, so that the trend is seen. */
export function runningMean(points: Series["points"]): { x: number; y: number }[] {
  const window = Math.max(1, Math.round(points.length / 20));
  return points.map(({ x }, i) => {
    const part = points.slice(Math.max(0, i - window + 1), i + 1);
    return { x, y: part.reduce((sum, { y }) => sum + y, 0) / part.length };
  });
}

/** Round numbers from at or below `low` to at or above `high`, about `count` of them. */
export function niceTicks(low: number, high: number, count: number): number[] {
  const span = high - low || 1;
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 2.5, 5, 10].find((m) => m * power >= rough) ?? 10);
  const first = Math.floor(low / step + 1e-9) * step;
  const ticks: number[] = [];
  for (let tick = first; tick < high + step * (1 - 1e-9); tick += step) {
    ticks.push(Number(tick.toPrecision(12)));
  }
  return ticks;
}

function fix(value: number): string {
  return value.toFixed(1);
}
