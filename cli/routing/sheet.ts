/**
 * Routing as one picture of pixels: a row for the dispatch and one for the combine weights of each layer, a cell an expert,
 * core experts first, after the image itself.
 * @module
 */
import type { Picture } from "../../data/mod.ts";
import type { RoutedImage } from "./pictures.ts";

/** Side of a cell and what lies between two, in pixels. */
const CELL = 56, GAP = 4;
/** Most experts in a row. */
const MOST = 48;
const BACKGROUND = 24, CORE: readonly number[] = [255, 157, 92];

/** Draws the sheet of an image. */
export function routingSheet(image: RoutedImage): Picture {
  const rows = image.layers.flatMap(({ coreExperts, dispatch, combine }) => {
    const top = Math.max(1e-9, ...combine.flat());
    return [
      { coreExperts, maps: dispatch, scale: null },
      { coreExperts, maps: combine, scale: top },
    ];
  });
  const columns = 1 + Math.min(MOST, Math.max(0, ...rows.map(({ maps }) => maps.length)));
  const width = GAP + columns * (CELL + GAP), height = GAP + rows.length * (CELL + GAP);
  const data = new Uint8Array(3 * width * height).fill(BACKGROUND);
  const place =
    (column: number, row: number) => (x: number, y: number, rgb: readonly number[]): void => {
      const at = (GAP + row * (CELL + GAP) + y) * width + GAP + column * (CELL + GAP) + x;
      for (let c = 0; c < 3; c++) data[3 * at + c] = rgb[c];
    };
  for (const [row, { coreExperts, maps, scale }] of rows.entries()) {
    drawImage(image, place(0, row));
    for (const [e, weights] of maps.slice(0, MOST).entries()) {
      drawMap(image, weights, scale ?? Math.max(...weights), e < coreExperts, place(1 + e, row));
    }
  }
  return { height, width, data };
}

type Put = (x: number, y: number, rgb: readonly number[]) => void;

function drawImage(image: RoutedImage, put: Put): void {
  for (let y = 0; y < CELL; y++) {
    for (let x = 0; x < CELL; x++) put(x, y, colorAt(image, x, y));
  }
}

function drawMap(
  image: RoutedImage,
  weights: readonly number[],
  scale: number,
  core: boolean,
  put: Put,
): void {
  const rows = Math.max(1, Math.round(Math.sqrt(weights.length * image.height / image.width)));
  const columns = Math.round(weights.length / rows);
  for (let y = 0; y < CELL; y++) {
    for (let x = 0; x < CELL; x++) {
      const edge = x < 2 || y < 2 || x >= CELL - 2 || y >= CELL - 2;
      const patch = Math.trunc(y * rows / CELL) * columns + Math.trunc(x * columns / CELL);
      const w = scale > 0 ? weights[patch] / scale : 0;
      const below = colorAt(image, x, y).map((value) => 0.3 * value);
      const heat = [60 * w, 150 * w, 255 * w];
      // Screen: 255 - (255 - a)(255 - b) / 255.
      const rgb = below.map((value, c) => Math.round(255 - (255 - value) * (255 - heat[c]) / 255));
      put(x, y, core && edge ? CORE : rgb);
    }
  }
}

function colorAt({ channels, height, width, pixels }: RoutedImage, x: number, y: number): number[] {
  const at = (Math.trunc(y * height / CELL) * width + Math.trunc(x * width / CELL)) * channels;
  return [0, 1, 2].map((c) => pixels[at + (channels === 3 ? c : 0)]);
}
