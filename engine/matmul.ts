/**
 * Matrix products for ops: plans one for the device and records its launches.
 * @module
 */
import { matmulChoice, matmulPlan } from "../kernels/matmul_select.ts";
import type { MatmulEpilogue, MatmulShape } from "../kernels/matmul_shape.ts";
import type { GradTarget } from "./autograd.ts";
import { run } from "./dispatch.ts";
import type { DType, Tensor } from "./tensor.ts";

/** Tensors of a product, by the kernels' binding names. */
export interface MatmulTensors {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly bias?: Tensor;
  readonly residual?: Tensor;
  readonly y: Tensor;
  readonly pre?: Tensor;
}

/**
 * y = f(A B + bias), by whichever kernels suit the device. An empty result is left alone; without any steps along k,
 * which needs an epilogue of at most `accumulate`, it is 0.
 */
export function runMatmul(
  shape: MatmulShape,
  epilogue: MatmulEpilogue,
  tensors: MatmulTensors,
): void {
  const { device } = tensors.y;
  if (tensors.y.size === 0) return;
  if (shape.k === 0) {
    if (!epilogue.accumulate) device.clear(tensors.y);
    return;
  }
  device.asks(() => matmulChoice(shape, epilogue, device.target));
  const { product, sum } = matmulPlan(shape, epilogue, device.target);
  if (sum === undefined) return run(product, { ...tensors });
  const partial = device.empty([product.sizes.y], "f32", "partial products");
  run(product, { a: tensors.a, b: tensors.b, y: partial });
  run(sum, { x: partial, y: tensors.y });
}

/**
 * A product that is a gradient: written or added to a leaf's place, or to a new tensor, which is returned.
 * @param dtype of a new tensor
 * @param into what `target()` gave in the op's backward
 */
export function matmulGradient(
  shape: MatmulShape,
  tensors: { a: Tensor; b: Tensor },
  gradientShape: readonly number[],
  dtype: DType,
  into: GradTarget | undefined,
): Tensor | undefined {
  const { device } = tensors.a;
  const y = into?.tensor ?? device.empty(gradientShape, dtype, "matmul gradient");
  runMatmul(shape, into ? { accumulate: into.accumulate } : {}, { ...tensors, y });
  return into ? undefined : y;
}
