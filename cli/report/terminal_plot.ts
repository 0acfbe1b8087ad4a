/**
 * A line chart of characters, drawn again and again while numbers come in.
 * @module
 */
import { endBar, type ProgressTarget, STDERR } from "../progress.ts";

/** Characters of a plot. */
const WIDTH = 64, HEIGHT = 8;
/** Dots of a braille character, by row and column. */
const DOTS = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

/** Points of a curve. */
export type Curve = readonly { readonly x: number; readonly y: number }[];

/**
 * Draws a curve with braille dots, its range of y beside it and a title above.
 * @param xMax where the plot ends, such as the number of steps in all
 */
export function terminalPlot(
  title: string,
  curve: Curve,
  xMax: number,
  { width = WIDTH, height = HEIGHT }: { width?: number; height?: number } = {},
): string[] {
  const cells = Array.from({ length: height }, () => new Uint8Array(width));
  const values = curve.map(({ y }) => y).filter(Number.isFinite);
  const low = Math.min(...values), high = Math.max(...values);
  const columns = 2 * width, rows = 4 * height;
  let last: number | undefined, lastColumn = 0;
  for (const { x, y } of curve) {
    if (!Number.isFinite(y)) continue;
    const column = Math.min(columns - 1, Math.trunc(x / Math.max(1, xMax) * columns));
    const row = Math.round((high - y) / (high - low || 1) * (rows - 1));
    // A line from the point before, so that a curve of few points holds together.
    const from = last ?? row, start = last === undefined ? column : lastColumn;
    for (let c = start; c <= column; c++) {
      const r = column === start
        ? row
        : Math.round(from + (row - from) * (c - start) / (column - start));
      cells[r >> 2][c >> 1] |= DOTS[r & 3][c & 1];
    }
    last = row;
    lastColumn = column;
  }
  const label = (value: number): string => value.toPrecision(3).padStart(9);
  const edge = (i: number): string => {
    if (values.length === 0) return " ".repeat(9);
    return i === 0 ? label(high) : i === height - 1 ? label(low) : " ".repeat(9);
  };
  return [
    `${" ".repeat(10)}${title}`,
    ...cells.map((row, i) =>
      `${edge(i)} ┤${Array.from(row, (dots) => String.fromCharCode(0x2800 + dots)).join("")}`
    ),
  ];
}

/** A plot above a progress bar: it takes the place of the one before it. In a log there is none. */
export class LivePlot {
  #lines = 0;
  constructor(private readonly target: ProgressTarget = STDERR) {}

  /** Draws the lines; the bar below is drawn at its next update. */
  draw(lines: readonly string[]): void {
    if (!this.target.interactive) return;
    const most = Math.max(20, this.target.columns - 1);
    const up = this.#lines > 0 ? `\x1b[${this.#lines}A` : "";
    const text = lines.map((line) => [...line].slice(0, most).join("")).join("\n");
    this.target.write(`\r${up}\x1b[J${text}\n`);
    this.#lines = lines.length;
  }

  /** Leaves the plot where it is; the next one is drawn below. */
  end(): void {
    endBar(this.target);
    this.#lines = 0;
  }
}
