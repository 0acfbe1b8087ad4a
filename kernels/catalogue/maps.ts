/**
 * The catalogue's calls of what maps go through besides convolutions.
 * @module
 */
import {
  maxPool,
  maxPoolBackward,
  maxPoolBackwardReference,
  maxPoolOutput,
  maxPoolReference,
  type MaxPoolShape,
} from "../max_pool.ts";
import {
  upsampleAdd,
  upsampleAddBackward,
  upsampleAddBackwardReference,
  upsampleAddReference,
  type UpsampleAddShape,
} from "../upsample_add.ts";
import { array, type CatalogueEntry, coarse, each, entry } from "./entry.ts";

const pool = (
  [batch, height, width, channels]: readonly number[],
  [kernel, stride, padding]: readonly number[],
): MaxPoolShape => ({ batch, height, width, channels, kernel, stride, padding });
const POOLS = [
  pool([2, 7, 9, 3], [3, 2, 1]),
  pool([2, 8, 6, 12], [3, 2, 1]),
  pool([1, 9, 10, 8], [2, 2, 0]),
  pool([1, 11, 7, 5], [4, 1, 2]),
  pool([1, 8, 13, 4], [2, 5, 1]),
];
const HUGE_POOL = pool([2 ** 5, 2 ** 9, 2 ** 9 - 1, 3], [3, 1, 1]);

const pools = [
  entry("max_pool", maxPool, {
    small: each(POOLS),
    huge: [[HUGE_POOL]],
    reference: ({ x }, [shape]) => maxPoolReference(shape, x),
  }),
  entry("max_pool", maxPoolBackward, {
    small: each(POOLS),
    huge: [[HUGE_POOL]],
    // few values, so that many pixels of a window equal its maximum and others do not
    input: (value, name) => name === "dOut" ? value : coarse(value),
    reference: ({ x, y, dOut }, [shape]) => ({ dx: equalTo(shape, x, y, dOut) }),
  }),
];

/** dx where y need not be the maximum: the first pixel of the window that equals it, if one does. */
function equalTo(
  shape: MaxPoolShape,
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  dOut: ArrayLike<number>,
): Float64Array {
  const { channels } = shape, { outHeight, outWidth } = maxPoolOutput(shape);
  const dx = new Float64Array(x.length), perImage = outHeight * outWidth * channels;
  for (let at = 0; at < y.length; at++) {
    const image = Math.floor(at / perImage), single = { ...shape, batch: 1 };
    const size = x.length / shape.batch;
    const equal = array(size, (i) => x[image * size + i] === y[at] ? 1 : 0);
    if (maxPoolReference(single, equal).y[at % perImage] === 0) continue;
    const one = array(perImage, (i) => i === at % perImage ? dOut[at] : 0);
    maxPoolBackwardReference(single, equal, one).dx.forEach((d, i) => dx[image * size + i] += d);
  }
  return dx;
}

const UPSAMPLES: UpsampleAddShape[] = [
  { batch: 2, height: 7, width: 6, coarseHeight: 4, coarseWidth: 3, channels: 3 },
  { batch: 2, height: 9, width: 14, coarseHeight: 5, coarseWidth: 7, channels: 8 },
  { batch: 1, height: 5, width: 11, coarseHeight: 5, coarseWidth: 3, channels: 4 },
  { batch: 1, height: 3, width: 4, coarseHeight: 7, coarseWidth: 9, channels: 2 },
];
const HUGE_UPSAMPLE = {
  batch: 2 ** 5,
  height: 2 ** 9,
  width: 2 ** 9 - 1,
  coarseHeight: 2 ** 9 - 1,
  coarseWidth: 2 ** 9 - 1,
  channels: 3,
};

const upsamples = [
  entry("upsample_add", upsampleAdd, {
    small: each(UPSAMPLES),
    huge: [[HUGE_UPSAMPLE]],
    reference: ({ coarse, fine }, [shape]) => upsampleAddReference(shape, coarse, fine),
  }),
  entry("upsample_add", upsampleAddBackward, {
    small: each(UPSAMPLES),
    huge: [[HUGE_UPSAMPLE]],
    reference: ({ dOut }, [shape]) => upsampleAddBackwardReference(shape, dOut),
  }),
];

/** Pooling and pyramids. */
export const MAPS: readonly CatalogueEntry[] = [...pools, ...upsamples];
