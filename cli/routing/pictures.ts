/**
 * Routing as pictures in a page: heat maps over the image, and bars for how much the experts are used.
 * @module
 */
import type { FloatImage } from "../../data/mod.ts";
import { bitmapUri, escapeHtml } from "../report/html.ts";
import type { LayerRouting, LayerUsage } from "./routing.ts";

/** An image with its way through the experts. */
export interface RoutedImage {
  /** What is said of it: `a 3, taken for 5`. */
  readonly caption: string;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  /** Bytes [H, W, C]. */
  readonly pixels: readonly number[];
  readonly layers: readonly LayerRouting[];
}

/** Most experts of a kind whose maps are shown; of more, those that weigh most. */
const SHOWN = 24;

const percent = (value: number): string => `${(100 * value).toFixed(1)} %`;

/** The bytes of an image with values in [0, 1], [H, W, C]. */
export function pixelsOf({ channels, height, width, data }: FloatImage): number[] {
  const size = height * width;
  return Array.from(
    { length: size * channels },
    (_, i) => Math.round(255 * data[(i % channels) * size + Math.trunc(i / channels)]),
  );
}

/** The maps of some images; the first one open. */
export function routingPictures(images: readonly RoutedImage[]): string {
  return `<p>Dispatch: every expert reads a weighted mean of the patches; bright patches weigh most. Combine: how much of what
comes back to a patch is the expert's; all experts of a layer share one scale there. Outlined: core experts, which keep
the whole dense MLP; the others are the small universal experts.</p>
${images.map(routedImage).join("\n")}`;
}

function routedImage(image: RoutedImage, index: number): string {
  return `<details${index === 0 ? " open" : ""}><summary><img class="digit" src="${
    pictureUri(image, 1)
  }" alt="">${escapeHtml(image.caption)}</summary>
${image.layers.map((layer) => layerMaps(layer, image)).join("\n")}
</details>`;
}

function layerMaps(routing: LayerRouting, image: RoutedImage): string {
  const dim = pictureUri(image, 0.35);
  const top = Math.max(1e-9, ...routing.combine.flat());
  const maps = (name: "dispatch" | "combine"): string => {
    const chosen = shownExperts(routing, name);
    const figures = chosen.map((e) => {
      const weights = routing[name][e];
      const scale = name === "combine" ? top : Math.max(...weights);
      return expertMap(routing, e, weights, scale, image);
    });
    const left = routing[name].length - chosen.length;
    const more = left > 0
      ? `, the ${chosen.length} that weigh most of ${left + chosen.length}`
      : "";
    return `<p class="soft">${escapeHtml(routing.layer)}, ${name}${more}</p>
<div class="experts" style="--digit:url(${dim})">${figures.join("")}</div>`;
  };
  return maps("dispatch") + maps("combine");
}

/** The experts to show, in order: all of a kind, or those whose strongest patch is strongest. */
function shownExperts(
  { coreExperts, ...routing }: LayerRouting,
  name: "dispatch" | "combine",
): number[] {
  const weights = routing[name];
  const pick = (from: number, to: number): number[] =>
    Array.from({ length: to - from }, (_, i) => from + i)
      .map((e) => ({ e, top: Math.max(...weights[e]) }))
      .sort((a, b) => b.top - a.top).slice(0, SHOWN).map(({ e }) => e).sort((a, b) => a - b);
  return [...pick(0, coreExperts), ...pick(coreExperts, weights.length)];
}

function expertMap(
  { coreExperts }: LayerRouting,
  e: number,
  weights: readonly number[],
  scale: number,
  { height, width }: RoutedImage,
): string {
  // Patches are square: as many rows to columns as the image has pixels.
  const rows = Math.max(1, Math.round(Math.sqrt(weights.length * height / width)));
  const columns = Math.round(weights.length / rows);
  const heat = bitmapUri(columns, rows, (x, y) => {
    const w = scale > 0 ? weights[y * columns + x] / scale : 0;
    return [Math.round(60 * w), Math.round(150 * w), Math.round(255 * w)];
  });
  const core = e < coreExperts;
  const name = core ? `core ${e}` : `univ ${e - coreExperts}`;
  const title = `${name}: strongest patch ${percent(Math.max(...weights))}`;
  return `<figure><div class="patch${
    core ? " core" : ""
  }" title="${title}" style="aspect-ratio:${width}/${height};` +
    `background-image:url(${heat}),var(--digit)"></div><figcaption>${name}</figcaption></figure>`;
}

function pictureUri({ channels, height, width, pixels }: RoutedImage, light: number): string {
  return bitmapUri(width, height, (x, y) => {
    const at = (y * width + x) * channels;
    const value = (c: number): number => Math.round(light * pixels[at + (channels === 3 ? c : 0)]);
    return [value(0), value(1), value(2)];
  });
}

const BAR = 9, GAP = 2, TALL = 90;

/** Bars for each layer: how much of the answers is each expert's. Core experts first. */
export function usagePictures(usage: readonly LayerUsage[], images: number): string {
  if (usage.length === 0) return "";
  return `<p>Share of each expert in the answers, over all patches of ${images} images. Equal shares would be at the line.</p>
<div class="row">${usage.map((layer) => `<div>${layerBars(layer)}</div>`).join("\n")}</div>`;
}

function layerBars({ layer, coreExperts, share, active }: LayerUsage): string {
  const experts = share.length, top = Math.max(...share);
  const sum = (from: number, to: number): number =>
    share.slice(from, to).reduce((total, value) => total + value, 0);
  const idle = active.filter((value) => value === 0).length;
  const width = experts * (BAR + GAP);
  const bars = share.map((value, e) => {
    const height = TALL * value / top;
    const core = e < coreExperts;
    const name = core ? `core ${e}` : `univ ${e - coreExperts}`;
    return `<rect x="${e * (BAR + GAP)}" y="${(TALL - height).toFixed(1)}" width="${BAR}" height="${
      height.toFixed(1)
    }" fill="var(--${core ? "b" : "a"})"><title>${name}: ${percent(value)}, reaches ${
      percent(active[e])
    } of the patches</title></rect>`;
  });
  const line = (TALL - TALL / experts / top).toFixed(1);
  return `<p class="soft">${escapeHtml(layer)}: <span class="b">core ${
    percent(sum(0, coreExperts))
  }</span>${
    coreExperts < experts
      ? `, <span class="a">universal ${percent(sum(coreExperts, experts))}</span> (by number ${
        percent(1 - coreExperts / experts)
      })`
      : ""
  }${idle > 0 ? `; ${idle} never used` : ""}</p>
<svg viewBox="0 0 ${width} ${TALL}" role="img" aria-label="use of the experts of ${
    escapeHtml(layer)
  }">${
    bars.join("")
  }<line x1="0" x2="${width}" y1="${line}" y2="${line}" stroke="var(--soft)" stroke-dasharray="3 3"/></svg>`;
}
