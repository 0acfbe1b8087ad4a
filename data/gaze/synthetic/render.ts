/**
 * The picture of a scene: several rays a pixel, then what camera and sensor do to it.
 * @module
 */
import { ShapeError } from "../../../engine/errors.ts";
import type { Rng } from "../../random.ts";
import { Caster } from "./caster.ts";
import { blur } from "./blur.ts";
import type { Scene } from "./scene.ts";
import { backdropAt } from "./surroundings.ts";
import { eyesRegion } from "./truth.ts";

/** Rays a pixel along each axis: around the eyes, and elsewhere. */
const EYE_RAYS = 4, RAYS = 2;

/**
 * Renders a scene.
 * @param size side of the square picture in pixels
 * @param rng of this frame, for the sensor's noise
 * @returns size * size pixels of three bytes, row by row
 * @throws {ShapeError} size is no whole number >= 8
 */
export function renderScene(scene: Scene, size: number, rng: Rng): Uint8Array {
  if (!Number.isInteger(size) || size < 8) {
    throw new ShapeError(`renderScene: size must be a whole number >= 8, got ${size}`);
  }
  const picture = exposed(scene, size);
  blur(picture, size, scene.blur * size);
  const bytes = new Uint8Array(picture.length);
  for (let i = 0; i < bytes.length; i++) {
    // Gamma 2, which only needs a square root; noise is added to the encoded value.
    const value = Math.sqrt(Math.min(1, picture[i])) + scene.noise * rng.normal();
    bytes[i] = Math.max(0, Math.min(255, Math.round(255 * value)));
  }
  return bytes;
}

/** Linear values, [size, size, 3]. */
function exposed(scene: Scene, size: number): Float64Array {
  const caster = new Caster(scene);
  const eyes = eyesRegion(scene);
  const picture = new Float64Array(size * size * 3);
  const sum = new Float64Array(3), seen = new Float64Array(3);
  for (let row = 0, at = 0; row < size; row++) {
    for (let column = 0; column < size; column++, at += 3) {
      const x = (column + 0.5) / size, y = (row + 0.5) / size;
      const inEyes = eyes !== undefined && x > eyes[0] && x < eyes[2] && y > eyes[1] && y < eyes[3];
      const rays = inEyes ? EYE_RAYS : RAYS;
      let missed = 0;
      sum.fill(0);
      for (let i = 0; i < rays * rays; i++) {
        const dx = (i % rays + 0.5) / rays, dy = (Math.floor(i / rays) + 0.5) / rays;
        if (caster.cast((column + dx) / size, (row + dy) / size, seen) === "backdrop") missed++;
        else for (let c = 0; c < 3; c++) sum[c] += seen[c];
      }
      if (missed > 0) {
        backdropAt(scene.around, x, y, seen);
        for (let c = 0; c < 3; c++) sum[c] += missed * seen[c];
      }
      const scale = scene.around.exposure / (rays * rays);
      for (let c = 0; c < 3; c++) picture[at + c] = sum[c] * scale;
    }
  }
  return picture;
}
