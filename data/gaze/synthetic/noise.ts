/**
 * Value noise: a smooth random function of space, for skin, hair and cloth. Integer hashes and + - * only.
 * @module
 */

/** A smooth function of three coordinates with values in [0, 1) and features of about size 1. */
export function noise3(x: number, y: number, z: number, seed = 0): number {
  const ix = Math.floor(x), iy = Math.floor(y), iz = Math.floor(z);
  const tx = ease(x - ix), ty = ease(y - iy), tz = ease(z - iz);
  const edge = (dy: number, dz: number): number => {
    const a = lattice(ix, iy + dy, iz + dz, seed), b = lattice(ix + 1, iy + dy, iz + dz, seed);
    return a + (b - a) * tx;
  };
  const near = edge(0, 0) + (edge(1, 0) - edge(0, 0)) * ty;
  const far = edge(0, 1) + (edge(1, 1) - edge(0, 1)) * ty;
  return near + (far - near) * tz;
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
