/**
 * Value noise: a smooth random function of space, for skin, hair and cloth. Integer hashes and + - * only.
 * @module
 */
import { mix } from "./draws.ts";

/** A smooth function of three coordinates with values in [0, 1) and features of about size 1. */
export function noise3(x: number, y: number, z: number, seed = 0): number {
  const ix = Math.floor(x), iy = Math.floor(y), iz = Math.floor(z);
  const tx = ease(x - ix), ty = ease(y - iy), tz = ease(z - iz);
  const near = mix(edge(ix, iy, iz, tx, seed), edge(ix, iy + 1, iz, tx, seed), ty);
  const far = mix(edge(ix, iy, iz + 1, tx, seed), edge(ix, iy + 1, iz + 1, tx, seed), ty);
  return mix(near, far, tz);
}

/** Between two neighbours in x. */
function edge(x: number, y: number, z: number, amount: number, seed: number): number {
  return mix(lattice(x, y, z, seed), lattice(x + 1, y, z, seed), amount);
}

function ease(t: number): number {
  return t * t * (3 - 2 * t);
}

/** A hash of a lattice point, in [0, 1). */
function lattice(x: number, y: number, z: number, seed: number): number {
  let h = Math.imul(x, 0x27d4eb2d) ^ Math.imul(y, 0x165667b1) ^ Math.imul(z, 0x9e3779b1) ^ seed;
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  h = Math.imul(h ^ (h >>> 12), 0x297a2d39);
  return ((h ^ (h >>> 15)) >>> 8) / 2 ** 24;
}
