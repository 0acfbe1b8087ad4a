/**
 * Weight gradient of a convolution by workgroup tiles: the variant for real GPUs.
 *
 * Math    dw[o, (t, c)] = sum over the pixels P of y of g[P, o] x[S(P, t), c]: a product whose long k is the pixels.
 * Shapes  x [B, H, W, C], dOut [B, OH, OW, O] -> y = dw [O, KH, KW, C], both channel counts divisible by 4. With splits > 1,
 *         y [splits, O, KH, KW, C] holds partial gradients for column_sum.ts to add (matmul_split_k.ts).
 * Work    A workgroup computes TILE channels o x TILE columns (t, c); for every DEPTH pixels its invocations copy the blocks
 *         of g and x that all of them need to workgroup memory. An invocation copies the same four columns at every turn,
 *         so it divides them into tap and channel once; the four never straddle two taps. Pixels are looked up anew.
 *         There are few tiles and many pixels, so pixels are divided among the splits.
 * Memory  Both factors have k across memory: 16 neighbours copy 64 channels of one pixel, 256 bytes. A number from memory
 *         serves TILE multiply-adds.
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
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";
import {
  blockStores,
  blockSums,
  copyBlock,
  multiplyBlocks,
  TILE_DEPTH,
  TILE_THREADS,
  tileBytes,
  tileMemory,
  type WorkgroupTile,
} from "./workgroup_tile.ts";

const program = memoize((config: EpilogueConfig & { tile: WorkgroupTile }) => {
  const { tile } = config;
  return defineProgram({
    name: "conv2d.weight_backward",
    variant: `workgroup ${tile}x${tile}x${TILE_DEPTH}`,
    params: {
      groups: "u32",
      tiles_m: "u32",
      tiles_n: "u32",
      pixels: "u32", // of y over all images
      chunk: "u32", // of them, for one split
      n: "u32", // taps times channels
      height: "u32",
      width: "u32",
      channels: "u32",
      out_height: "u32",
      out_width: "u32",
      out_channels: "u32",
      kernel_width: "u32",
      stride: "u32",
      padding: "u32",
      accumulate: "u32",
    },
    bindings: {
      x: "read vec4<f32>",
      dOut: "read vec4<f32>",
      ...epilogueBindings(config, "f32"),
    },
    workgroupSize: TILE_THREADS,
    workgroupBytes: tileBytes(tile),
    code: wgsl`
${tileMemory(tile)}
${epilogueFunction(config, "f32")}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = ${FOLDED_GROUP};
  if (own >= params.groups) { return; } // the whole workgroup leaves
  let first_column = own % params.tiles_n * ${tile}u;
  let first_row = own / params.tiles_n % params.tiles_m * ${tile}u;
  let part = own / params.tiles_n / params.tiles_m;
  let k_begin = part * params.chunk;
  let k_end = min(k_begin + params.chunk, params.pixels);
  // The four columns that this invocation copies: line = i % (TILE / 4) for i = t, t + 64, ...
  let copied = first_column + t % ${tile / 4}u * 4u;
  let tap = copied / params.channels;
  let channel = copied % params.channels;
  let down = tap / params.kernel_width - params.padding; // below 0 it wraps
  let right = tap % params.kernel_width - params.padding;
  let bias_at = 0u;
  ${blockSums(tile)}
  for (var k = k_begin; k < k_end; k += ${TILE_DEPTH}u) {
    ${
      copyBlock(
        "a",
        false,
        tile,
        `if (first_row + line < params.out_channels && k + step < k_end) {
      four = dOut[((k + step) * params.out_channels + first_row + line) / 4u];
    }`,
      )
    }
    ${
      copyBlock(
        "b",
        false,
        tile,
        `let pixel = k + step;
    let h = params.stride * (pixel / params.out_width % params.out_height) + down;
    let v = params.stride * (pixel % params.out_width) + right;
    let image = pixel / params.out_width / params.out_height;
    if (copied < params.n && pixel < k_end && h < params.height && v < params.width) {
      four = x[(((image * params.height + h) * params.width + v) * params.channels + channel) / 4u];
    }`,
      )
    }
    ${multiplyBlocks(tile)}
  }
  ${
      blockStores(tile, {
        rows: "params.out_channels - first_row",
        column: "first_column",
        columns: "params.n",
        rowAt: "(part * params.out_channels + first_row + line) * params.n",
      })
    }
}`,
  });
});

/**
 * dw by workgroup tiles. Bindings: x, dOut, y.
 * @param accumulate left out, y is only written, with `splits` partial gradients; 0 and 1 need one split
 */
export function conv2dWeightBackwardWorkgroup(
  shape: Conv2dShape,
  accumulate: 0 | 1 | undefined,
  tile: WorkgroupTile,
  splits = 1,
): Kernel {
  const { batch, height, width, channels, outChannels, kernelHeight, kernelWidth } = shape;
  const { outHeight, outWidth } = conv2dOutput(shape);
  const n = kernelHeight * kernelWidth * channels;
  const tilesM = ceilDiv(outChannels, tile), tilesN = ceilDiv(n, tile);
  const groups = splits * tilesM * tilesN;
  const pixels = batch * outHeight * outWidth, chunk = ceilDiv(pixels, splits);
  const { sizes, flops, bytes } = conv2dWeightCost(shape, accumulate ?? 0);
  return {
    program: program({ ...epilogueConfig({ accumulate }), tile }),
    params: {
      groups,
      tiles_m: tilesM,
      tiles_n: tilesN,
      pixels,
      chunk,
      n,
      height,
      width,
      channels,
      out_height: outHeight,
      out_width: outWidth,
      out_channels: outChannels,
      kernel_width: kernelWidth,
      stride: shape.stride,
      padding: shape.padding,
      accumulate: accumulate ?? 0,
    },
    sizes: { ...sizes, y: sizes.y * splits },
    workgroups: foldWorkgroups(groups),
    flops,
    bytes: bytes + 4 * sizes.y * (splits - 1),
    reference: (inputs) =>
      conv2dWeightBackwardReference(shape, inputs, { accumulate, splits, pixels: chunk }),
  };
}
