/**
 * A roofline: what an adapter can do at most at each arithmetic intensity, and where kernels are below it.
 * @module
 */
import type { Roofline } from "../../mod.ts";
import { svg } from "./dom.ts";

/** The two rates that are drawn. */
type Roof = Pick<Roofline, "gflops" | "gbs">;

/** A kernel in the plot. */
export interface RooflinePoint {
  /** Short: its number among the rungs. */
  readonly label: string;
  /** Operations a byte. */
  readonly intensity: number;
  readonly gflops: number;
}

const WIDTH = 520, HEIGHT = 260, LEFT = 56, BOTTOM = 40, TOP = 12, RIGHT = 14;

/** Draws the roof and the points, both axes logarithmic. */
export function rooflinePlot(roof: Roof, points: readonly RooflinePoint[]): SVGSVGElement {
  const ridge = roof.gflops / roof.gbs;
  const shown = points.filter(({ intensity, gflops }) => intensity > 0 && gflops > 0);
  const xs = [ridge, 0.125, ...shown.map(({ intensity }) => intensity)];
  const low = Math.min(...xs) / 2, high = Math.max(...xs) * 4;
  const top = Math.max(roof.gflops, ...shown.map(({ gflops }) => gflops)) * 2;
  const floor = Math.min(low * roof.gbs, ...shown.map(({ gflops }) => gflops)) / 2;
  const scale = (value: number, from: number, to: number) =>
    Math.log(value / from) / Math.log(to / from);
  const x = (value: number) => LEFT + scale(value, low, high) * (WIDTH - LEFT - RIGHT);
  const y = (value: number) => HEIGHT - BOTTOM - scale(value, floor, top) * (HEIGHT - BOTTOM - TOP);
  const roofAt = (intensity: number) => Math.min(roof.gflops, intensity * roof.gbs);
  const path = [low, ridge, high].map((i) => `${x(i)},${y(roofAt(i))}`).join(" ");
  return svg(
    "svg",
    {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      class: "roof",
      role: "img",
      "aria-label": describe(roof, shown),
    },
    ...ticks(low, high).map((v) =>
      svg(
        "g",
        { class: "tick" },
        svg("line", { x1: x(v), x2: x(v), y1: TOP, y2: HEIGHT - BOTTOM }),
        svg("text", { x: x(v), y: HEIGHT - BOTTOM + 14, "text-anchor": "middle" }, short(v)),
      )
    ),
    ...ticks(floor, top).map((v) =>
      svg(
        "g",
        { class: "tick" },
        svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(v), y2: y(v) }),
        svg("text", { x: LEFT - 6, y: y(v) + 4, "text-anchor": "end" }, short(v)),
      )
    ),
    svg("polyline", { class: "edge", points: path }),
    svg(
      "text",
      { class: "axis", x: WIDTH - RIGHT, y: HEIGHT - 8, "text-anchor": "end" },
      "operations a byte",
    ),
    svg("text", { class: "axis", x: 4, y: TOP + 4 }, "GFLOP/s"),
    ...shown.map(({ label, intensity, gflops }) =>
      svg(
        "g",
        { class: "point" },
        svg("circle", { cx: x(intensity), cy: y(gflops), r: 5 }),
        svg("text", { x: x(intensity) + 9, y: y(gflops) + 4 }, label),
      )
    ),
  );
}

function ticks(from: number, to: number): number[] {
  const first = Math.ceil(Math.log10(from)), last = Math.floor(Math.log10(to));
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => 10 ** (first + i));
}

function short(value: number): string {
  return value >= 1 ? value.toLocaleString("en") : String(+value.toPrecision(1));
}

function describe(roof: Roof, points: readonly RooflinePoint[]): string {
  const list = points.map((p) =>
    `${p.label}: ${p.gflops.toPrecision(3)} GFLOP/s at ${
      p.intensity.toPrecision(3)
    } operations a byte`
  );
  return `Roofline: ${roof.gflops.toPrecision(3)} GFLOP/s, ${roof.gbs.toPrecision(3)} GB/s. ${
    list.join("; ")
  }`;
}
