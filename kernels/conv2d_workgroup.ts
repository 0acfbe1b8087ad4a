/**
 * Convolution and its input gradient by workgroup tiles: the variant for real GPUs.
 *
 * Math    That of conv2d.ts, as a product: rows are pixels, k is (tap, channel), and the columns are the result's channels.
 *         Which pixels a tap meets: conv2d_gather.ts.
 * Shapes  x, y, dOut [B, H, W, channels], weight [O, KH, KW, C], both channel counts divisible by 4.
 * Work    A workgroup computes TILE pixels x TILE channels, as matmul_workgroup.ts does. For every tap and DEPTH channels of
 *         the source its 64 invocations copy the blocks of pixels and weights that all of them need to workgroup memory.
 *         An invocation copies four channels of the same TILE / 16 pixels at every turn, so it looks up their places
 *         once; a tap only moves them. Barriers stand in loops whose bounds come from the uniform and the workgroup's
 *         index, as Tint demands.
 * Memory  A number from memory serves TILE multiply-adds. Four neighbours read 64 bytes of a pixel. The weights' k runs
 *         along memory forward (as b transposed in a product) and across in the gradient. Pixels outside, and channels
 *         beyond the last, are filled with zeros: source channels that are no multiple of DEPTH waste part of the last
 *         block of each tap.
 * Cost    On a software adapter 5 times that of conv2d_tiled.ts (lavapipe, 3 x 3, 64 channels to 64).
 * @module
 */
import { conv2dInputBackwardReference, conv2dReference } from "./conv2d.ts";
import {
  GATHER_FUNCTIONS,
  GATHER_PARAMS,
  gatherClasses,
  type Gathered,
  gatherParams,
} from "./conv2d_gather.ts";
import {
  conv2dCost,
  type Conv2dEpilogue,
  conv2dInputCost,
  type Conv2dShape,
} from "./conv2d_shape.ts";
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

interface Config extends EpilogueConfig {
  readonly gathered: Gathered;
  readonly tile: WorkgroupTile;
}

const program = memoize((config: Config) => {
  const { gathered, tile } = config;
  const forward = gathered === "forward";
  const source = forward ? "x" : "dOut";
  // Pixels of the block that an invocation copies: line = i / (DEPTH / 4) for i = t, t + 64, ...
  const copied = Array.from({ length: tile * TILE_DEPTH / 4 / TILE_THREADS }, (_, i) => i);
  const apart = 4 * TILE_THREADS / TILE_DEPTH;
  return defineProgram({
    name: forward ? "conv2d" : "conv2d.input_backward",
    variant: `workgroup ${tile}x${tile}x${TILE_DEPTH}`,
    params: {
      groups: "u32",
      tiles_m: "u32",
      tiles_n: "u32",
      ...GATHER_PARAMS,
      accumulate: "u32",
    },
    bindings: {
      [source]: "read vec4<f32>",
      weight: "read vec4<f32>",
      ...epilogueBindings(config, "f32"),
    },
    workgroupSize: TILE_THREADS,
    workgroupBytes: tileBytes(tile),
    code: wgsl`
${tileMemory(tile)}
${GATHER_FUNCTIONS}
${epilogueFunction(config, "f32")}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = ${FOLDED_GROUP};
  if (own >= params.groups) { return; } // the whole workgroup leaves
  let class_index = own / params.tiles_n / params.tiles_m;
  let rows = axis_of(class_index / params.step, params.height, params.kernel_height);
  let columns = axis_of(class_index % params.step, params.width, params.kernel_width);
  let pixels = params.batch * rows.count * columns.count;
  let first_column = own % params.tiles_n * ${tile}u;
  let first_pixel = own / params.tiles_n % params.tiles_m * ${tile}u;
  if (first_pixel >= pixels) { return; } // of a class smaller than the largest
  let vectors = params.k / 4u; // of a source pixel
  let taps = params.kernel_height * params.kernel_width;
  // Where the pixels that this invocation copies look: (row, column, vector), at tap 0.
  var places: array<vec3u, ${copied.length}>;
  for (var i = 0u; i < ${copied.length}u; i++) {
    let pixel = first_pixel + t / ${TILE_DEPTH / 4}u + i * ${apart}u;
    let place = place_of(pixel, rows, columns);
    let y = source_of(place.y, rows);
    let x = source_of(place.z, columns);
    places[i] = vec3u(y, x, ((place.x * params.source_height + y) * params.source_width + x) * vectors);
  }
  ${blockSums(tile)}
  for (var j = 0u; j < rows.taps * columns.taps; j++) {
    let down = params.direction * (j / columns.taps);
    let right = params.direction * (j % columns.taps);
    let shift = (down * params.source_width + right) * vectors;
    let tap = tap_of(j / columns.taps, j % columns.taps, rows, columns);
    for (var k = 0u; k < params.k; k += ${TILE_DEPTH}u) {
      ${
      copyBlock(
        "a",
        true,
        tile,
        `let place = places[i / WORKGROUP_SIZE];
      let inside = place.x + down < params.source_height && place.y + right < params.source_width;
      if (inside && first_pixel + line < pixels && k + step < params.k) {
        four = ${source}[place.z + shift + (k + step) / 4u];
      }`,
      )
    }
      ${
      copyBlock(
        "b",
        forward,
        tile,
        `if (first_column + line < params.n && k + step < params.k) {
        four = weight[${
          forward
            ? "((first_column + line) * taps + tap) * vectors + (k + step) / 4u"
            : "(((k + step) * taps + tap) * params.n + first_column + line) / 4u"
        }];
      }`,
      )
    }
      ${multiplyBlocks(tile)}
    }
  }
  let bias_at = 0u;
  ${
      blockStores(tile, {
        rows: "pixels - first_pixel",
        column: "first_column",
        columns: "params.n",
        rowAt: "result_of(place_of(first_pixel + line, rows, columns), rows, columns) * params.n",
      })
    }
}`,
  });
});

function launch(
  shape: Conv2dShape,
  gathered: Gathered,
  epilogue: Conv2dEpilogue,
  tile: WorkgroupTile,
) {
  const { most, classes } = gatherClasses(shape, gathered);
  const params = gatherParams(shape, gathered);
  const tilesM = ceilDiv(most, tile), tilesN = ceilDiv(params.n, tile);
  const groups = classes * tilesM * tilesN;
  return {
    program: program({ ...epilogueConfig(epilogue), gathered, tile }),
    params: {
      groups,
      tiles_m: tilesM,
      tiles_n: tilesN,
      ...params,
      accumulate: epilogue.accumulate ?? 0,
    },
    workgroups: foldWorkgroups(groups),
  };
}

/** y by workgroup tiles. Bindings: x, weight, y, and bias, residual and pre where the epilogue has them. */
export function conv2dWorkgroup(
  shape: Conv2dShape,
  epilogue: Conv2dEpilogue,
  tile: WorkgroupTile,
): Kernel {
  return {
    ...launch(shape, "forward", epilogue, tile),
    ...conv2dCost(shape, epilogue),
    reference: (inputs) => conv2dReference(shape, epilogue, inputs),
  };
}

/** dx by workgroup tiles. Bindings: dOut, weight, y. */
export function conv2dInputBackwardWorkgroup(shape: Conv2dShape, tile: WorkgroupTile): Kernel {
  return {
    ...launch(shape, "input_backward", {}, tile),
    ...conv2dInputCost(shape),
    reference: (inputs) => conv2dInputBackwardReference(shape, inputs),
  };
}
