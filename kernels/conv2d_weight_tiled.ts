/**
 * Weight gradient of a convolution by register tiles: one invocation computes TM output channels x TN input channels of
 * one tap.
 *
 * Math    dw[o, t, c] = sum over the pixels P of y of g[P, o] x[S(P, t), c], where S(P, t) is the pixel of x that P meets at
 *         tap t: a product whose long k is the pixels (kernels/conv2d.ts).
 * Shapes  x [B, H, W, C], dOut [B, OH, OW, O] -> y = dw [O, KH, KW, C], with C >= TN, O >= TM, both divisible by 4. With
 *         splits > 1, y [splits, O, KH, KW, C] holds partial gradients for column_sum.ts to add (matmul_split_k.ts).
 * Work    Invocations are numbered over (split, tile of o, tap, tile of c), the last fastest. Last tiles are moved inward
 *         and store only what the one before does not own. The rows of y over all images are divided among the splits.
 * Memory  A pixel takes TM/4 + TN/4 vec4 loads for TM TN multiply-adds, as both factors have their channels side by side:
 *         with 16 x 16, 8 loads for 256. Padding costs nothing: at a given tap, the columns of y that meet columns of x
 *         are an interval, known before the loop over them; rows that meet none are skipped.
 * Measured conv2d_select.ts.
 * @module
 */
import { conv2dWeightBackwardReference } from "./conv2d.ts";
import { conv2dOutput, type Conv2dShape, conv2dWeightCost } from "./conv2d_shape.ts";
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import {
  epilogueBindings,
  type EpilogueConfig,
  epilogueConfig,
  epilogueFunction,
} from "./matmul_shape.ts";
import {
  type RegisterTile,
  stridedFactor,
  tileSteps,
  tileStores,
  tileSums,
} from "./register_tile.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

/** Invocations of a workgroup: one vector of a software adapter. */
const SIZE = 8;

const program = memoize((config: EpilogueConfig & RegisterTile) => {
  const { tm, tn } = config;
  const steps = tileSteps(
    config,
    stridedFactor("dOut", false, true, tm, 1),
    stridedFactor("x", false, true, tn, 1),
    1,
  );
  return defineProgram({
    name: "conv2d.weight_backward",
    variant: `tiled ${tm}x${tn}`,
    params: {
      tiles: "u32",
      tiles_m: "u32",
      tiles_n: "u32",
      lines: "u32", // rows of y over all images
      chunk: "u32", // of them, for one split
      height: "u32",
      width: "u32",
      channels: "u32",
      out_height: "u32",
      out_width: "u32",
      out_channels: "u32",
      kernel_width: "u32",
      taps: "u32",
      stride: "u32",
      padding: "u32",
      accumulate: "u32",
    },
    bindings: {
      x: "read vec4<f32>",
      dOut: "read vec4<f32>",
      ...epilogueBindings(config, "vec4<f32>"),
    },
    workgroupSize: SIZE,
    code: wgsl`
${epilogueFunction(config, "vec4f")}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (own >= params.tiles) { return; }
  let column_begin = own % params.tiles_n * ${tn}u;
  let tap = own / params.tiles_n % params.taps;
  let row_begin = own / params.tiles_n / params.taps % params.tiles_m * ${tm}u;
  let part = own / params.tiles_n / params.taps / params.tiles_m;
  let column = min(column_begin, params.channels - ${tn}u);
  let row = min(row_begin, params.out_channels - ${tm}u);
  let down = tap / params.kernel_width;
  let right = tap % params.kernel_width;
  // The columns of y whose column of x, stride q + right - padding, lies in [0, width).
  let k_begin = (max(params.padding, right) - right + params.stride - 1u) / params.stride;
  let reach = max(params.width + params.padding, right) - right;
  let k_end = min((reach + params.stride - 1u) / params.stride, params.out_width);
  let dOut_row = params.out_channels / 4u;
  let x_row = params.stride * params.channels / 4u;
  ${tileSums(config)}
  for (var line = part * params.chunk; line < min((part + 1u) * params.chunk, params.lines); line++) {
    let h = params.stride * (line % params.out_height) + down - params.padding; // below 0 it wraps
    if (h >= params.height) { continue; }
    let dOut_at = line * params.out_width * dOut_row + row / 4u;
    let x_line = (line / params.out_height * params.height + h) * params.width;
    // in vectors before it may wrap: a number below 0 cannot be divided
    let x_at = (x_line + right - params.padding) * (params.channels / 4u) + column / 4u;
    for (var k = k_begin; k < k_end; k++) {
${steps}
    }
  }
  let bias_at = 0u;
${
      tileStores(
        config,
        true,
        "(((part * params.out_channels + row + i) * params.taps + tap) * params.channels + column) / 4u",
      )
    }
}`,
  });
});

/** Can a tile of this size compute such a gradient? */
export function conv2dWeightTileFits(shape: Conv2dShape, { tm, tn }: RegisterTile): boolean {
  const { channels, outChannels } = shape;
  return channels % 4 === 0 && outChannels % 4 === 0 && tm % 4 === 0 && outChannels >= tm &&
    channels >= tn;
}

/**
 * dw by register tiles. Bindings: x, dOut, y.
 * @param accumulate left out, y is only written, with `splits` partial gradients; 0 and 1 need one split
 */
export function conv2dWeightBackwardTiled(
  shape: Conv2dShape,
  accumulate: 0 | 1 | undefined,
  { tm, tn }: RegisterTile,
  splits = 1,
): Kernel {
  const { batch, height, width, channels, outChannels, kernelHeight, kernelWidth } = shape;
  const { outHeight, outWidth } = conv2dOutput(shape);
  const taps = kernelHeight * kernelWidth;
  const tilesM = ceilDiv(outChannels, tm), tilesN = ceilDiv(channels, tn);
  const tiles = splits * tilesM * taps * tilesN;
  const chunk = ceilDiv(batch * outHeight, splits);
  const { sizes, flops, bytes } = conv2dWeightCost(shape, accumulate ?? 0);
  return {
    program: program({ ...epilogueConfig({ accumulate }), tm, tn }),
    params: {
      tiles,
      tiles_m: tilesM,
      tiles_n: tilesN,
      lines: batch * outHeight,
      chunk,
      height,
      width,
      channels,
      out_height: outHeight,
      out_width: outWidth,
      out_channels: outChannels,
      kernel_width: kernelWidth,
      taps,
      stride: shape.stride,
      padding: shape.padding,
      accumulate: accumulate ?? 0,
    },
    sizes: { ...sizes, y: sizes.y * splits },
    workgroups: foldWorkgroups(ceilDiv(tiles, SIZE)),
    flops,
    bytes: bytes + 4 * sizes.y * (splits - 1),
    reference: (inputs) =>
      conv2dWeightBackwardReference(shape, inputs, {
        accumulate,
        splits,
        pixels: chunk * outWidth,
      }),
  };
}
