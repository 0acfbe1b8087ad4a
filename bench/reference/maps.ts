/**
 * Operations on maps [B, H, W, C] as plain loops in float64: the patches of a convolution, max pooling, RoIAlign.
 * @module
 */
import { elements } from "../host_tensor.ts";
import type { RoiOptions } from "../ops/ops.ts";

/** A result on the host. */
export interface Maps {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/**
 * What each pixel of a convolution's result sees of one image [H, W, C].
 * @returns rows [OH OW, C KH KW] in the order of a filter, and the shape [OH, OW]
 */
export function patches(
  x: Float64Array,
  [height, width, channels]: readonly number[],
  { kernel: [kh, kw], stride, padding }: {
    readonly kernel: readonly [number, number];
    readonly stride: number;
    readonly padding: number;
  },
): { readonly rows: Float64Array; readonly shape: readonly [number, number] } {
  const outHeight = Math.floor((height + 2 * padding - kh) / stride) + 1;
  const outWidth = Math.floor((width + 2 * padding - kw) / stride) + 1;
  const taps = kh * kw, rows = new Float64Array(outHeight * outWidth * channels * taps);
  for (let i = 0; i < outHeight; i++) {
    for (let j = 0; j < outWidth; j++) {
      const row = (i * outWidth + j) * channels * taps;
      for (let tap = 0; tap < taps; tap++) {
        const h = i * stride - padding + Math.floor(tap / kw), w = j * stride - padding + tap % kw;
        if (h < 0 || h >= height || w < 0 || w >= width) continue;
        const from = (h * width + w) * channels;
        for (let c = 0; c < channels; c++) rows[row + c * taps + tap] = x[from + c];
      }
    }
  }
  return { rows, shape: [outHeight, outWidth] };
}

/** The maxima of 3 x 3 windows, every second row and column, one beyond the edges. */
export function maxima(
  x: Float64Array,
  [batch, height, width, channels]: readonly number[],
): Maps {
  const outHeight = Math.floor((height - 1) / 2) + 1, outWidth = Math.floor((width - 1) / 2) + 1;
  const shape = [batch, outHeight, outWidth, channels];
  const data = new Float64Array(elements(shape)).fill(-Infinity);
  let at = 0;
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < outHeight; i++) {
      for (let j = 0; j < outWidth; j++, at += channels) {
        for (let h = Math.max(0, 2 * i - 1); h <= Math.min(height - 1, 2 * i + 1); h++) {
          for (let w = Math.max(0, 2 * j - 1); w <= Math.min(width - 1, 2 * j + 1); w++) {
            const from = ((b * height + h) * width + w) * channels;
            for (let c = 0; c < channels; c++) data[at + c] = Math.max(data[at + c], x[from + c]);
          }
        }
      }
    }
  }
  return { shape, data };
}

/** RoIAlign, sample by sample; see `Ops.roiAlign`. */
export function regions(
  maps: readonly Maps[],
  boxes: Maps,
  { strides, bins, samples, finestScale }: RoiOptions,
): Maps {
  const [batch, count] = boxes.shape, channels = maps[0].shape[3], grid = bins * samples;
  const shape = [batch, count, bins, bins, channels], data = new Float64Array(elements(shape));
  for (let box = 0; box < batch * count; box++) {
    const [x1, y1, x2, y2] = boxes.data.subarray(4 * box, 4 * box + 4);
    const side = Math.sqrt(Math.max(0, (x2 - x1) * (y2 - y1)));
    const wanted = Math.floor(Math.log2(side / finestScale + 1e-6));
    const l = Math.max(0, Math.min(maps.length - 1, wanted));
    const [, height, width] = maps[l].shape, stride = strides[l];
    const image = Math.floor(box / count) * height * width;
    for (let i = 0; i < grid; i++) {
      const rows = neighbours((y1 + (i + 0.5) * (y2 - y1) / grid) / stride - 0.5, height);
      for (let j = 0; j < grid; j++) {
        const columns = neighbours((x1 + (j + 0.5) * (x2 - x1) / grid) / stride - 0.5, width);
        const bin = (box * bins + Math.floor(i / samples)) * bins + Math.floor(j / samples);
        for (const [h, byRow] of rows) {
          for (const [w, byColumn] of columns) {
            const weight = byRow * byColumn / samples ** 2;
            const from = (image + h * width + w) * channels;
            for (let c = 0; c < channels; c++) {
              data[bin * channels + c] += weight * maps[l].data[from + c];
            }
          }
        }
      }
    }
  }
  return { shape, data };
}

/** The pixels between which a position lies, with their weights; none farther out than one pixel. */
function neighbours(position: number, size: number): readonly (readonly [number, number])[] {
  if (position < -1 || position > size) return [];
  const at = Math.min(Math.max(position, 0), size - 1), low = Math.floor(at);
  const high = Math.min(low + 1, size - 1);
  return [[low, 1 - (at - low)], [high, at - low]];
}
