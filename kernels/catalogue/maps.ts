/**
 * The catalogue's calls of what maps go through besides convolutions.
 * @module
 */
import { maxPool, maxPoolBackward, type MaxPoolShape } from "../max_pool.ts";
import { roiAlign, roiAlignBackward, type RoiAlignShape, roiThresholds } from "../roi_align.ts";
import { upsampleAdd, upsampleAddBackward, type UpsampleAddShape } from "../upsample_add.ts";
import { type CatalogueEntry, coarse, each, entry } from "./entry.ts";

const pool = (
  [batch, height, width, channels]: readonly number[],
  [kernel, stride, padding]: readonly number[],
): MaxPoolShape => ({ batch, height, width, channels, kernel, stride, padding });
const POOLS = [
  pool([2, 9, 15, 7], [3, 2, 1]),
  pool([3, 15, 13, 20], [3, 2, 1]),
  pool([1, 9, 10, 8], [2, 2, 0]),
  pool([1, 11, 7, 5], [4, 1, 2]),
  pool([1, 8, 13, 4], [2, 5, 1]),
];
const HUGE_POOL = pool([2 ** 5, 2 ** 9, 2 ** 9 - 1, 3], [3, 1, 1]);

const pools = [
  entry("max_pool", maxPool, {
    small: each(POOLS),
    huge: [[HUGE_POOL]],
  }),
  entry("max_pool", maxPoolBackward, {
    small: each(POOLS),
    huge: [[HUGE_POOL]],
    // few values, so that many pixels of a window equal its maximum and others do not
    input: (value, name) => name === "dOut" ? value : coarse(value),
  }),
];

const UPSAMPLES: UpsampleAddShape[] = [
  { batch: 3, height: 9, width: 10, coarseHeight: 5, coarseWidth: 6, channels: 5 },
  { batch: 3, height: 9, width: 14, coarseHeight: 5, coarseWidth: 7, channels: 16 },
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
  }),
  entry("upsample_add", upsampleAddBackward, {
    small: each(UPSAMPLES),
    huge: [[HUGE_UPSAMPLE]],
  }),
];

const levelsOf = (...sizes: [height: number, width: number, stride: number][]) =>
  sizes.map(([height, width, stride]) => ({ height, width, stride }));
/** Pyramids of 1 to 5 levels, of scalars and of vectors; channels, bins, samples and boxes of a shape all differ. */
const ROIS: RoiAlignShape[] = [
  { channels: 3, levels: levelsOf([13, 12, 4], [7, 6, 8], [4, 3, 16]), bins: 4, finestScale: 20 },
  { channels: 5, levels: levelsOf([9, 8, 4]), bins: 3, finestScale: 20 },
  { channels: 7, levels: levelsOf([7, 10, 4], [4, 5, 8]), bins: 3, finestScale: 20 },
  {
    channels: 2,
    levels: levelsOf([11, 16, 4], [6, 8, 8], [3, 4, 16], [2, 2, 32]),
    bins: 7,
    finestScale: 30,
  },
  {
    channels: 5,
    levels: levelsOf([11, 16, 4], [6, 8, 8], [3, 4, 16], [2, 2, 32], [1, 1, 64]),
    bins: 3,
    finestScale: 20,
  },
  { channels: 12, levels: levelsOf([9, 9, 4]), bins: 4, samples: 5, finestScale: 20 },
  { channels: 80, levels: levelsOf([7, 10, 4], [4, 5, 8]), bins: 3, finestScale: 20 },
  { channels: 20, levels: levelsOf([13, 12, 4], [7, 6, 8], [4, 3, 16]), bins: 3, finestScale: 20 },
  {
    channels: 24,
    levels: levelsOf([11, 16, 4], [6, 8, 8], [3, 4, 16], [2, 2, 32]),
    bins: 4,
    finestScale: 20,
  },
  {
    channels: 8,
    levels: levelsOf([11, 16, 4], [6, 8, 8], [3, 4, 16], [2, 2, 32], [1, 1, 64]),
    bins: 7,
    finestScale: 30,
  },
].map((shape) => ({ batch: 2, boxes: 9, samples: 2, ...shape }));

/**
 * Boxes on the very bounds: first and last sample a pixel beyond the outermost of the finest level, and areas where a
 * level begins; and two of the finest level that from the origin on would be of the next one.
 */
function boundaryBoxes({ levels, bins, samples, finestScale }: RoiAlignShape): number[] {
  const [{ height, width, stride }] = levels, reach = bins * samples; // in pixels of the map: one to a sample
  const first = [-1, -1, reach - 1, reach - 1];
  const last = [width - reach + 1, height - reach + 1, width + 1, height + 1];
  const areas = roiThresholds(levels.length, finestScale);
  return [
    ...[...first, ...last].map((v) => v * stride),
    ...[1, 0, 2.5, 2.5, 0, 1, 2.5, 2.5].map((v) => v * finestScale),
    ...areas.flatMap((area) => {
      const side = 2 ** Math.round(Math.log2(area) / 2); // a power of two, so that the product is exact
      return [0, 0, Math.fround(area) / side, side];
    }),
  ];
}

/** Corners of boxes, in pixels: most of them begin or end outside; both corners may change places. */
const corner = (
  value: number,
  name: string,
  i: number,
  [shape]: readonly [RoiAlignShape, ...unknown[]],
) => {
  if (name !== "rois") return value;
  return boundaryBoxes(shape)[i % (4 * shape.boxes)] ??
    (i % 4 < 2 ? 16 * value + 4 : 32 * value + 48);
};
const levelsWith = ROIS.flatMap((shape) => shape.levels.map((_, level) => [shape, level] as const));
const HUGE_ROIS: RoiAlignShape = {
  ...ROIS[5],
  batch: 2 ** 10,
  channels: 2 ** 7 - 1,
  levels: levelsOf([2 ** 4, 2 ** 4, 4]),
  bins: 8,
  boxes: 4,
};

const rois = [
  entry("roi_align", roiAlign, {
    small: each(ROIS),
    huge: [[HUGE_ROIS]],
    input: corner,
  }),
  entry("roi_align", roiAlignBackward, {
    small: levelsWith,
    huge: [[HUGE_ROIS, 0]],
    input: corner,
  }),
];

/** Pooling, pyramids, and what boxes read from them. */
export const MAPS: readonly CatalogueEntry[] = [...pools, ...upsamples, ...rois];
