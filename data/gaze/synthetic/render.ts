/**
 * The picture of a scene: one or more rays a pixel, then what camera and sensor do to it.
 * @module
 */
import { ShapeError } from "../../../engine/errors.ts";
import type { Rng } from "../../random.ts";
import type { Square } from "../head_boxes.ts";
import { Caster, type Part } from "./caster.ts";
import { blur } from "./blur.ts";
import type { Scene } from "./scene.ts";
import { backdropAt } from "./surroundings.ts";
import { eyesRegion } from "./truth.ts";
import { WHOLE_FRAME } from "./view.ts";

/** Rays a pixel along each axis: around the eyes, and where one thing ends and another begins. */
const EYE_RAYS = 3, EDGE_RAYS = 2;

/** Width of a uniform distribution whose standard deviation is 1: the root of 12. */
const UNIFORM_SPREAD = 3.4641016151377544;

/**
 * Renders a scene, or a square of it.
 * @param size side of the square picture in pixels
 * @param rng of this frame, for the sensor's noise
 * @param square what is rendered, in frames
 * @returns size * size pixels of three bytes, row by row
 * @throws {ShapeError} size is no whole number >= 8
 */
export function renderScene(
  scene: Scene,
  size: number,
  rng: Rng,
  square: Square = WHOLE_FRAME,
): Uint8Array {
  if (!Number.isInteger(size) || size < 8) {
    throw new ShapeError(`renderScene: size must be a whole number >= 8, got ${size}`);
  }
  const picture = exposed(scene, size, square);
  blur(picture, size, scene.blur * size / square.side);
  return developed(picture, scene.noise, rng);
}

/**
 * Bytes from linear values: gamma 2, which only needs a square root, and noise on top. One random word gives the noise
 * of a pixel's three channels, ten bits each.
 */
function developed(picture: Float64Array, noise: number, rng: Rng): Uint8Array {
  const bytes = new Uint8Array(picture.length);
  const scale = noise * UNIFORM_SPREAD / 1024;
  for (let i = 0; i < bytes.length; i += 3) {
    const word = rng.word();
    for (let c = 0; c < 3; c++) {
      const grain = scale * ((word >>> (10 * c) & 1023) - 511.5);
      const value = Math.sqrt(Math.min(1, picture[i + c])) + grain;
      bytes[i + c] = Math.max(0, Math.min(255, Math.round(255 * value)));
    }
  }
  return bytes;
}

/** Linear values, [size, size, 3]: one ray a pixel, and then more where that is too few. */
function exposed(scene: Scene, size: number, { left, top, side }: Square): Float64Array {
  const caster = new Caster(scene);
  const across = (column: number): number => left + side * column / size;
  const down = (row: number): number => top + side * row / size;
  const picture = new Float64Array(size * size * 3);
  const parts = new Array<Part>(size * size);
  const seen = new Float64Array(3), sum = new Float64Array(3);
  for (let i = 0; i < parts.length; i++) {
    const x = across(i % size + 0.5), y = down(Math.floor(i / size) + 0.5);
    parts[i] = caster.cast(x, y, seen);
    if (parts[i] === "backdrop") backdropAt(scene.around, x, y, seen);
    for (let c = 0; c < 3; c++) picture[3 * i + c] = scene.around.exposure * seen[c];
  }
  const eyes = eyesRegion(scene);
  for (let i = 0; i < parts.length; i++) {
    const column = i % size, row = Math.floor(i / size);
    const x = across(column + 0.5), y = down(row + 0.5);
    const inEyes = eyes !== undefined && x > eyes[0] && x < eyes[2] && y > eyes[1] && y < eyes[3];
    const rays = inEyes ? EYE_RAYS : onEdge(parts, i, size) ? EDGE_RAYS : 1;
    if (rays > 1) refine(i, rays, (u, v) => [across(column + u), down(row + v)]);
  }
  return picture;

  /** The mean over rays * rays places of a pixel, at shares (u, v) of it. */
  function refine(i: number, rays: number, at: (u: number, v: number) => [number, number]): void {
    sum.fill(0);
    for (let k = 0; k < rays * rays; k++) {
      const [x, y] = at((k % rays + 0.5) / rays, (Math.floor(k / rays) + 0.5) / rays);
      if (caster.cast(x, y, seen) === "backdrop") backdropAt(scene.around, x, y, seen);
      for (let c = 0; c < 3; c++) sum[c] += seen[c];
    }
    const scale = scene.around.exposure / (rays * rays);
    for (let c = 0; c < 3; c++) picture[3 * i + c] = scale * sum[c];
  }
}

/** Whether a pixel shows another thing than one of its four neighbours. */
function onEdge(parts: readonly Part[], i: number, size: number): boolean {
  const part = parts[i], column = i % size;
  return (column > 0 && parts[i - 1] !== part) || (column < size - 1 && parts[i + 1] !== part) ||
    (i >= size && parts[i - size] !== part) ||
    (i + size < parts.length && parts[i + size] !== part);
}
