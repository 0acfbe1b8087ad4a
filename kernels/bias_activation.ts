/**
 * Backward of a linear map's epilogue: the gradient before the activation, and the bias's. The forward is part of the
 * products (`epilogueFunction` in matmul_shape.ts).
 *
 * Math    forward   y = f(pre),  pre = x W^T + b
 *         backward  dpre = dy f'(pre),  db[s, c] = sum of dpre[r, c] over the rows r of strip s
 *         For ReLU y may stand for pre, as both are positive together; then pre need not be kept.
 * Shapes  pre, dy, dpre [rows, cols]; db [strips, cols], f32: for experts a strip is an expert's rows and db is the
 *         gradient, otherwise column_sum.ts adds the strips. With accumulate 1, db is added to what is there.
 * Work    One invocation per strip and column (four columns where their number allows). The order of additions is fixed.
 * Memory  12 bytes an element (pre, dy, dpre), coalesced, for some 30 operations with GELU. Both results come from one
 *         reading of dy and pre: that is why they are one kernel. Strips, because a tall matrix has too few columns to
 *         fill a GPU.
 * @module
 */
import {
  type Activation,
  activationDerivativeReference,
  activationFunctions,
} from "./activations.ts";
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

/** Sizes and options of `biasActivationBackward`. */
export interface BiasActivationShape {
  /** Rows of pre and of its gradient: the batch times what lies before the last axis, over all experts. */
  readonly rows: number;
  /** Columns: the features of the output. */
  readonly cols: number;
  /** What followed the linear map; for "none" use `columnSum`. */
  readonly activation: Activation;
  /** Rows of a strip. */
  readonly strip: number;
  /** 1 adds to what db holds. */
  readonly accumulate: 0 | 1;
}

const SIZE = 32;

const program = memoize(({ activation, vectors }: { activation: Activation; vectors: boolean }) => {
  const type = vectors ? "vec4<f32>" : "f32";
  const alias = vectors ? "vec4f" : "f32";
  return defineProgram({
    name: "bias_activation.backward",
    variant: `${activation}${vectors ? " vec4" : ""}`,
    params: { rows: "u32", cols: "u32", strip: "u32", count: "u32", accumulate: "u32" },
    bindings: {
      pre: `read ${type}`,
      dOut: `read ${type}`,
      dPre: `write ${type}`,
      dBias: `update ${type}`,
    },
    workgroupSize: SIZE,
    code: wgsl`
${activationFunctions(activation, alias)}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (own >= params.count) { return; }
  let begin = own / params.cols * params.strip;
  let column = own % params.cols;
  let end = min(begin + params.strip, params.rows);
  var sum = ${alias}(0.0);
  for (var row = begin; row < end; row++) {
    let at = row * params.cols + column;
    let d = dOut[at] * ${activation}_derivative(pre[at]);
    dPre[at] = d;
    sum += d;
  }
  // select, not a product with accumulate: what is overwritten may be NaN
  dBias[own] = sum + select(${alias}(0.0), dBias[own], params.accumulate == 1u);
}`,
  });
});

/** dPre [rows, cols] and dBias [strips, cols]. */
export function biasActivationBackward(shape: BiasActivationShape): Kernel {
  const { rows, cols, activation, strip, accumulate } = shape;
  const strips = ceilDiv(rows, strip);
  const vectors = cols % 4 === 0;
  const count = strips * (vectors ? cols / 4 : cols);
  const size = rows * cols;
  return {
    program: program({ activation, vectors }),
    params: { rows, cols: vectors ? cols / 4 : cols, strip, count, accumulate },
    sizes: { pre: size, dOut: size, dPre: size, dBias: strips * cols },
    workgroups: foldWorkgroups(ceilDiv(count, SIZE)),
    flops: 30 * size,
    bytes: 12 * size + 4 * strips * cols * (1 + accumulate),
    reference: ({ pre, dOut, dBias }) =>
      biasActivationBackwardReference(shape, { pre, dOut, dBias }),
  };
}

/** The plain loop. */
export function biasActivationBackwardReference(
  shape: BiasActivationShape,
  inputs: { pre: ArrayLike<number>; dOut: ArrayLike<number>; dBias?: ArrayLike<number> },
): { dPre: Float64Array; dBias: Float64Array } {
  const { rows, cols, activation, strip, accumulate } = shape;
  const dPre = new Float64Array(rows * cols), dBias = new Float64Array(ceilDiv(rows, strip) * cols);
  if (accumulate) dBias.set(Float64Array.from(inputs.dBias!));
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < cols; c++) {
      const at = row * cols + c;
      dPre[at] = inputs.dOut[at] * activationDerivativeReference(activation, inputs.pre[at]);
      dBias[Math.floor(row / strip) * cols + c] += dPre[at];
    }
  }
  return { dPre, dBias };
}
