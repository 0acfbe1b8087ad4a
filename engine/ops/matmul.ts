/**
 * Batched matrix product; kernels from kernels/matmul_select.ts, the one to read is kernels/matmul.ts.
 *
 * With y = A B, where A and B are what the transposition options make of a and b, and G = dLoss/dy:
 *   dA = G B^T,  dB = A^T G,  each again a product; a transposed input wants the transposed gradient, which is the same
 *   product with its factors exchanged: (G B^T)^T = B G^T.
 * @module
 */
import type { MatmulShape } from "../../kernels/matmul_shape.ts";
import { type BackwardContext, record } from "../autograd.ts";
import { castTo, factors, kept } from "../cast.ts";
import { sumColumns } from "../column_sum.ts";
import { ShapeError } from "../errors.ts";
import { matmulGradient, runMatmul } from "../matmul.ts";
import { type DType, expectFloat, sameShape, sizeOf, type Tensor } from "../tensor.ts";
import { broadcastShapes } from "./broadcast.ts";
import { broadcastTo } from "./shape_ops.ts";

/** Options of `matmul`. */
export interface MatmulOptions {
  /** a holds [..., k, m]. */
  transposeA?: boolean;
  /** b holds [..., n, k]. */
  transposeB?: boolean;
}

/**
 * The matrix product over the last two axes: a [..., m, k], b [..., k, n] -> [..., m, n]. Leading axes broadcast.
 *
 * Gradient: da = dy b^T, db = a^T dy, transposed where the operand is, and summed over the leading axes it was
 * repeated along.
 * @throws {ShapeError} when a or b has fewer than two axes, their k differ or their leading axes do not broadcast
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  expectFloat("matmul: a", a);
  expectFloat("matmul: b", b);
  const { transposeA = false, transposeB = false } = options;
  const [m, kA] = matrixSizes("a", a, transposeA);
  const [k, n] = matrixSizes("b", b, transposeB);
  if (kA !== k) {
    throw new ShapeError(
      `matmul(): a = ${a.describe()}${transposeA ? " transposed" : ""} has ${kA} columns, ` +
        `b = ${b.describe()}${
          transposeB ? " transposed" : ""
        } has ${k} rows; they must be equal: transpose or reshape one`,
    );
  }
  const leadA = a.shape.slice(0, -2), leadB = b.shape.slice(0, -2);
  const lead = broadcastShapes("matmul", leadA, leadB);
  const batch = sizeOf(lead);
  // A factor either has the whole batch or is one matrix; anything between is copied out first.
  if (sizeOf(leadA) !== 1 && !sameShape(leadA, lead)) {
    a = broadcastTo(a, [...lead, ...a.shape.slice(-2)]);
  }
  if (sizeOf(leadB) !== 1 && !sameShape(leadB, lead)) {
    b = broadcastTo(b, [...lead, ...b.shape.slice(-2)]);
  }
  const sharedA = batch !== 1 && sizeOf(leadA) === 1, sharedB = batch !== 1 && sizeOf(leadB) === 1;
  // Rows of a batch that meets one b lie behind one another: they are one tall matrix.
  const shape: MatmulShape = sharedB && !transposeA
    ? { batch: 1, m: batch * m, n, k, transposeB }
    : { batch, m, n, k, transposeA, transposeB, sharedA, sharedB };
  const read = factors("matmul", { a, b });
  const y = a.device.empty([...lead, m, n], read.a.dtype, "matmul");
  runMatmul(shape, {}, { ...read, y });
  const types: Types = { a: a.dtype, b: b.dtype, read: y.dtype };
  record("matmul", {
    inputs: { a, b },
    outputs: [y],
    saved: { a: kept(a, read.a), b: kept(b, read.b) },
    backward: (context) => ({
      a: context.needs("a") ? gradientOfA(shape, types, context) : undefined,
      b: context.needs("b") ? gradientOfB(shape, types, context) : undefined,
    }),
  });
  return y;
}

function matrixSizes(name: string, x: Tensor, transposed: boolean): [number, number] {
  if (x.rank < 2) {
    throw new ShapeError(
      `matmul(): ${name} = ${x.describe()} has ${x.rank} axes, needs 2 or more; reshape it`,
    );
  }
  const [rows, columns] = x.shape.slice(-2);
  return transposed ? [columns, rows] : [rows, columns];
}

type Context = BackwardContext<{ a: Tensor; b: Tensor }>;

/** Of the inputs as they were given, and of both as they were read. */
interface Types {
  readonly a: DType;
  readonly b: DType;
  readonly read: DType;
}

function gradientOfA(shape: MatmulShape, types: Types, { saved, dOut, target }: Context) {
  const { a } = saved, b = castTo(saved.b, types.read);
  const { batch, m, n, k, transposeA, transposeB, sharedA, sharedB } = shape;
  const product: MatmulShape = transposeA
    ? { batch, m: k, n: m, k: n, transposeA: transposeB, transposeB: true, sharedA: sharedB }
    : { batch, m, n: k, k: n, transposeB: !transposeB, sharedB };
  const ab = transposeA ? { a: b, b: dOut } : { a: dOut, b };
  return gradient(product, ab, a.shape, types.a, sharedA, target("a"));
}

function gradientOfB(shape: MatmulShape, types: Types, { saved, dOut, target }: Context) {
  const { b } = saved, a = castTo(saved.a, types.read);
  const { batch, m, n, k, transposeA, transposeB, sharedA, sharedB } = shape;
  const product: MatmulShape = transposeB
    ? { batch, m: n, n: k, k: m, transposeA: true, transposeB: transposeA, sharedB: sharedA }
    : { batch, m: k, n, k: m, transposeA: !transposeA, sharedA };
  const ab = transposeB ? { a: dOut, b: a } : { a, b: dOut };
  return gradient(product, ab, b.shape, types.b, sharedB, target("b"));
}

/** The gradient of a factor; that of a shared one is the sum over the batch. */
function gradient(
  product: MatmulShape,
  ab: { a: Tensor; b: Tensor },
  shape: readonly number[],
  dtype: DType,
  shared: boolean | undefined,
  into: ReturnType<Context["target"]>,
): Tensor | undefined {
  if (!shared) return matmulGradient(product, ab, shape, dtype, into);
  const size = [product.batch, product.m, product.n];
  const all = matmulGradient(product, ab, size, "f32", undefined)!;
  return sumColumns(all, shape, into);
}
