/**
 * Convolution and its input gradient by register tiles: one invocation computes TM pixels x TN channels.
 *
 * Math    That of conv2d.ts, as a product: rows are pixels, k is (tap, channel), and the columns are the result's channels.
 *         The matrix of patches, K x K times as large as the map, exists in no memory; only where a row begins is looked
 *         up anew for each tap ("implicit GEMM"). Which pixels a tap meets: conv2d_gather.ts.
 * Shapes  x, y, dOut [B, H, W, channels], weight [O, KH, KW, C], both channel counts divisible by 4. The result has at least
 *         TN channels, and every class of its pixels TM.
 * Work    Invocations are numbered over (class, tile of pixels, tile of channels), the last fastest, so that neighbours
 *         read the same pixels. Pixels are taken in order over rows and images; the last tile is moved inward to end at
 *         the last pixel, and stores only what the one before it does not own.
 * Memory  Four channels of a tap take TM + TN vec4 loads and 4 TM TN multiply-adds, where conv2d.ts loads two numbers for
 *         each. Per tap and pixel there are some 8 integer operations and 2 comparisons. Pixels outside load element 0
 *         and select 0 instead of it: on a software adapter every lane takes part in every load anyway.
 * Measured conv2d_select.ts.
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
import {
  component,
  type Factor,
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

interface Config extends EpilogueConfig, RegisterTile {
  readonly gathered: Gathered;
}

const range = (n: number) => Array.from({ length: n }, (_, i) => i);

/** Rows of a: what pixel i of the tile finds at the present tap, zeros where that lies outside. */
function pixelsOf(source: string): Factor {
  return {
    load: (i) => [`let a${i} = select(vec4f(), ${source}[from${i} + k / 4u], inside${i});`],
    element: (i, s) => component(`a${i}`, s),
  };
}

const program = memoize((config: Config) => {
  const { tm, tn, gathered } = config;
  const forward = gathered === "forward";
  const pixels = range(tm);
  const source = forward ? "x" : "dOut";
  const steps = tileSteps(
    config,
    pixelsOf(source),
    stridedFactor("weight", forward, true, tn, 4),
    4,
  );
  return defineProgram({
    name: forward ? "conv2d" : "conv2d.input_backward",
    variant: `tiled ${tm}x${tn}`,
    params: {
      tiles: "u32",
      tiles_m: "u32",
      tiles_n: "u32",
      ...GATHER_PARAMS,
      accumulate: "u32",
    },
    bindings: {
      [source]: "read vec4<f32>",
      weight: "read vec4<f32>",
      ...epilogueBindings(config, "vec4<f32>"),
    },
    workgroupSize: SIZE,
    code: wgsl`
${GATHER_FUNCTIONS}
${epilogueFunction(config, "vec4f")}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (own >= params.tiles) { return; }
  let class_index = own / params.tiles_n / params.tiles_m;
  let rows = axis_of(class_index / params.step, params.height, params.kernel_height);
  let columns = axis_of(class_index % params.step, params.width, params.kernel_width);
  let pixels = params.batch * rows.count * columns.count;
  let column_begin = own % params.tiles_n * ${tn}u;
  let row_begin = own / params.tiles_n % params.tiles_m * ${tm}u;
  if (row_begin >= pixels) { return; } // of a class smaller than the largest
  let column = min(column_begin, params.n - ${tn}u);
  let row = min(row_begin, pixels - ${tm}u);
  let vectors = params.k / 4u; // of a source pixel
  let taps = params.kernel_height * params.kernel_width;
  ${
      pixels.map((i) =>
        `let p${i} = place_of(row + ${i}u, rows, columns);
  let y${i} = source_of(p${i}.y, rows);
  let x${i} = source_of(p${i}.z, columns);
  let s${i} = ((p${i}.x * params.source_height + y${i}) * params.source_width + x${i}) * vectors;`
      ).join("\n  ")
    }
  ${tileSums(config)}
  for (var j = 0u; j < rows.taps * columns.taps; j++) {
    let down = params.direction * (j / columns.taps);
    let right = params.direction * (j % columns.taps);
    let shift = (down * params.source_width + right) * vectors;
    let tap = tap_of(j / columns.taps, j % columns.taps, rows, columns);
    #if ${forward}
    let weight_row = taps * vectors;
    let weight_at = (column * taps + tap) * vectors;
    #else
    let weight_row = taps * params.n / 4u;
    let weight_at = (tap * params.n + column) / 4u;
    #endif
    ${
      pixels.map((i) =>
        `let inside${i} = y${i} + down < params.source_height && x${i} + right < params.source_width;
    let from${i} = select(0u, s${i} + shift, inside${i});`
      ).join("\n    ")
    }
    for (var k = 0u; k < params.k; k += 4u) {
${steps}
    }
  }
  let bias_at = column / 4u;
${
      tileStores(
        config,
        true,
        "(result_of(place_of(row + i, rows, columns), rows, columns) * params.n + column) / 4u",
      )
    }
}`,
  });
});

/** Can a tile of this size compute such a convolution (or its input gradient)? */
export function conv2dTileFits(
  shape: Conv2dShape,
  gathered: Gathered,
  { tm, tn }: RegisterTile,
): boolean {
  const n = gathered === "forward" ? shape.outChannels : shape.channels;
  return shape.channels % 4 === 0 && shape.outChannels % 4 === 0 && n >= tn &&
    gatherClasses(shape, gathered).fewest >= tm;
}

function launch(
  shape: Conv2dShape,
  gathered: Gathered,
  epilogue: Conv2dEpilogue,
  { tm, tn }: RegisterTile,
) {
  const { most, classes } = gatherClasses(shape, gathered);
  const params = gatherParams(shape, gathered);
  const tilesM = ceilDiv(most, tm), tilesN = ceilDiv(params.n, tn);
  const tiles = classes * tilesM * tilesN;
  return {
    program: program({ ...epilogueConfig(epilogue), tm, tn, gathered }),
    params: {
      tiles,
      tiles_m: tilesM,
      tiles_n: tilesN,
      ...params,
      accumulate: epilogue.accumulate ?? 0,
    },
    workgroups: foldWorkgroups(ceilDiv(tiles, SIZE)),
  };
}

/** y by register tiles. Bindings: x, weight, y, and bias, residual and pre where the epilogue has them. */
export function conv2dTiled(
  shape: Conv2dShape,
  epilogue: Conv2dEpilogue,
  tile: RegisterTile,
): Kernel {
  return {
    ...launch(shape, "forward", epilogue, tile),
    ...conv2dCost(shape, epilogue),
    reference: (inputs) => conv2dReference(shape, epilogue, inputs),
  };
}

/** dx by register tiles. Bindings: dOut, weight, y. */
export function conv2dInputBackwardTiled(shape: Conv2dShape, tile: RegisterTile): Kernel {
  return {
    ...launch(shape, "input_backward", {}, tile),
    ...conv2dInputCost(shape),
    reference: (inputs) => conv2dInputBackwardReference(shape, inputs),
  };
}
