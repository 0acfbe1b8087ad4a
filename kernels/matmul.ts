/**
 * Matrix product, the kernel to read first: one invocation computes one element.
 *
 * Math    y[z] = f(A[z] B[z] + bias + residual[z]),  y[i, j] = f(sum over l of A[i, l] B[l, j] + bias[j] + residual[i, j])
 *         Either factor may be stored transposed, which gives the three products of a linear layer y = x W^T + b:
 *           forward         y  = x W^T     (b transposed)        with W stored [Out, In]
 *           input gradient  dx = dy W      (neither)             from dx[i] = sum_j dy[j] dy_j/dx_i
 *           weight gradient dW = dy^T x    (a transposed)        k is then the number of rows of the batch
 * Shapes  a [batch, m, k] or [batch, k, m]; b [batch, k, n] or [batch, n, k]; y [batch, m, n]; a or b may have no batch
 *         and serve all products. bias [n] or [batch, n].
 * Work    Invocation (z, i, j) walks along l once. Neighbours own neighbouring j.
 * Memory  2 k loads for 2 k operations: an arithmetic intensity of 1 operation a load, where processors want 10 to 100.
 *         Neighbours read the same A[i, l] (a broadcast), and of B either neighbouring words (b not transposed:
 *         coalesced) or words k apart (b transposed: not). matmul_tiled.ts reuses what it has loaded from registers,
 *         matmul_workgroup.ts from workgroup memory.
 * @module
 */
import { activationReference } from "./activations.ts";
import {
  ceilDiv,
  defineProgram,
  foldWorkgroups,
  type Kernel,
  memoize,
  type Values,
} from "./kernel.ts";
import {
  epilogueBindings,
  type EpilogueConfig,
  epilogueConfig,
  epilogueFunction,
  matmulCost,
  type MatmulEpilogue,
  type MatmulShape,
} from "./matmul_shape.ts";
import { splitChunk } from "./matmul_split_k.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

const SIZE = 64;

interface Config extends EpilogueConfig {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

const program = memoize((config: Config) =>
  defineProgram({
    name: "matmul",
    params: {
      count: "u32",
      m: "u32",
      n: "u32",
      k: "u32",
      a_stride: "u32", // elements from one product's factor to the next one's; 0 when it is shared
      b_stride: "u32",
      bias_stride: "u32",
      accumulate: "u32",
    },
    bindings: { a: "read f32", b: "read f32", ...epilogueBindings(config, "f32") },
    workgroupSize: SIZE,
    code: wgsl`
${epilogueFunction(config, "f32")}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (own >= params.count) { return; }
  let j = own % params.n;
  let i = own / params.n % params.m;
  let z = own / params.n / params.m;
  var sum = 0.0;
  for (var l = 0u; l < params.k; l++) {
    #if ${config.transposeA}
    let a_at = l * params.m + i;
    #else
    let a_at = i * params.k + l;
    #endif
    #if ${config.transposeB}
    let b_at = j * params.k + l;
    #else
    let b_at = l * params.n + j;
    #endif
    sum += a[z * params.a_stride + a_at] * b[z * params.b_stride + b_at];
  }
  store(own, z * params.bias_stride + j, sum);
}`,
  })
);

/** The readable product, for factors of any size and storage order. */
export function matmulReadable(shape: MatmulShape, epilogue: MatmulEpilogue = {}): Kernel {
  const { batch, m, n, k, transposeA = false, transposeB = false } = shape;
  const count = batch * m * n;
  return {
    program: program({ ...epilogueConfig(epilogue), transposeA, transposeB }),
    params: {
      count,
      m,
      n,
      k,
      a_stride: shape.sharedA ? 0 : m * k,
      b_stride: shape.sharedB ? 0 : k * n,
      bias_stride: epilogue.bias === "batched" ? n : 0,
      accumulate: epilogue.accumulate ?? 0,
    },
    workgroups: foldWorkgroups(ceilDiv(count, SIZE)),
    ...matmulCost(shape, epilogue),
    reference: (inputs) => matmulReference(shape, epilogue, inputs),
  };
}

/**
 * The plain loop. Inputs: a, b, bias where the epilogue adds one, and y where it accumulates.
 * @param splits above 1: y holds partial products [batch, splits, m, n] of chunks of k
 */
export function matmulReference(
  shape: MatmulShape,
  epilogue: MatmulEpilogue,
  { a, b, bias, residual, y: before }: Values,
  splits = 1,
): { y: Float64Array; pre: Float64Array } {
  const { batch, m, n, k, transposeA, transposeB } = shape;
  const [aRow, aStep] = transposeA ? [1, m] : [k, 1];
  const [bColumn, bStep] = transposeB ? [k, 1] : [1, n];
  const chunk = splitChunk(k, splits);
  const y = new Float64Array(batch * splits * m * n), pre = new Float64Array(y.length);
  for (let at = 0; at < y.length; at++) {
    const j = at % n, i = Math.floor(at / n) % m, part = Math.floor(at / (m * n));
    const z = Math.floor(part / splits), first = part % splits * chunk;
    const aFirst = (shape.sharedA ? 0 : z * m * k) + i * aRow;
    const bFirst = (shape.sharedB ? 0 : z * k * n) + j * bColumn;
    let sum = bias ? bias[(epilogue.bias === "batched" ? z * n : 0) + j] : 0;
    for (let l = first; l < Math.min(k, first + chunk); l++) {
      sum += a[aFirst + l * aStep] * b[bFirst + l * bStep];
    }
    if (epilogue.residual) sum += residual[at];
    pre[at] = sum;
    y[at] = activationReference(epilogue.activation ?? "none", sum);
    if (epilogue.accumulate) y[at] += before[at];
  }
  return { y, pre };
}
