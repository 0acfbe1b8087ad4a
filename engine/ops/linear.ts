/**
 * Linear map with bias and activation in one kernel; maths in kernels/matmul.ts and kernels/bias_activation.ts.
 *
 * y = f(pre), pre = x W^T + b over the rows of x. With g = dLoss/dpre = dy f'(pre):
 *   dx = g W,  dW = g^T x,  db = sum of the rows of g.
 * @module
 */
import { type Activation, ACTIVATIONS } from "../../kernels/activations.ts";
import { biasActivationBackward } from "../../kernels/bias_activation.ts";
import { columnSum, columnSumStrip } from "../../kernels/column_sum.ts";
import type { MatmulShape } from "../../kernels/matmul_shape.ts";
import { type BackwardContext, gradEnabled, record } from "../autograd.ts";
import { sumColumns } from "../column_sum.ts";
import { castTo, factors, kept } from "../cast.ts";
import { run } from "../dispatch.ts";
import { ShapeError } from "../errors.ts";
import { matmulGradient, runMatmul } from "../matmul.ts";
import { type DType, expectFloat, expectShape, sizeOf, type Tensor } from "../tensor.ts";

/** Options of `linear` and `groupedLinear`. */
export interface LinearOptions {
  /** Applied to the result, in the same kernel; default none. */
  activation?: Activation;
}

/**
 * f(x W^T + b) over the last axis: x [..., In] -> [..., Out].
 *
 * Gradient: with g = dy f'(x W^T + b): dx = g W, dweight = g^T x, dbias = the sum of the rows of g.
 * @param weight [Out, In], as PyTorch stores it
 * @param bias [Out]
 * @throws {ShapeError} when x's last axis is not In, weight or bias do not fit, or there is no such activation
 */
export function linear(
  x: Tensor,
  weight: Tensor,
  bias?: Tensor,
  options: LinearOptions = {},
): Tensor {
  expectFloat("linear: x", x);
  expectFloat("linear: weight", weight);
  const [n, k] = expectShape("linear: weight", weight, ["Out", "In"]);
  if (x.rank === 0 || x.shape[x.rank - 1] !== k) {
    throw new ShapeError(
      `linear: x has shape [${x.shape.join(", ")}], needs [..., ${k}] for weight [${n}, ${k}]`,
    );
  }
  if (bias !== undefined) {
    expectFloat("linear: bias", bias);
    expectShape("linear: bias", bias, [n]);
  }
  const m = sizeOf(x.shape.slice(0, -1));
  const shape: MatmulShape = { batch: 1, m, n, k, transposeB: true };
  return biasedProduct("linear", shape, { x, weight, bias }, [...x.shape.slice(0, -1), n], options);
}

type Inputs = { x: Tensor; weight: Tensor; bias: Tensor | undefined };
type Saved = { x: Tensor; weight: Tensor; pre: Tensor | undefined };

/**
 * What `linear` and `groupedLinear` are once their shapes are checked: `shape.batch` products x W^T, each with its own
 * weight, and bias row, if there is more than one.
 */
export function biasedProduct(
  name: string,
  shape: MatmulShape,
  inputs: Inputs,
  outShape: readonly number[],
  { activation = "none" }: LinearOptions,
): Tensor {
  const { x, weight } = factors(name, { x: inputs.x, weight: inputs.weight });
  const { bias } = inputs, { device } = x;
  if (shape.k === 0) {
    throw new ShapeError(`${name}: weight has shape [${weight.shape.join(", ")}], needs In > 0`);
  }
  if (!ACTIVATIONS.includes(activation)) {
    throw new ShapeError(
      `${name}: there is no activation ${activation}, needs ${ACTIVATIONS.join(", ")}`,
    );
  }
  const y = device.empty(outShape, x.dtype, name);
  const biasShape = bias?.shape ?? [];
  const wanted = gradEnabled() && Object.values(inputs).some((input) => input?.requiresGrad);
  const keepPre = wanted && (activation === "gelu" || activation === "silu");
  const pre = keepPre ? device.empty(outShape, x.dtype, `${name} before ${activation}`) : undefined;
  runMatmul(shape, {
    activation,
    keepPre,
    bias: bias === undefined ? "none" : shape.batch === 1 ? "shared" : "batched",
  }, { a: x, b: weight, y, ...(bias && { bias }), ...(pre && { pre }) });
  const types = { x: inputs.x.dtype, weight: inputs.weight.dtype, read: x.dtype };
  record(name, {
    inputs,
    outputs: [y],
    saved: {
      x: kept(inputs.x, x),
      weight: kept(inputs.weight, weight),
      pre: activation === "relu" ? y : pre,
    },
    backward: (context) => biasedProductBackward({ shape, biasShape, types }, activation, context),
  });
  return y;
}

interface BackwardSizes {
  readonly shape: MatmulShape;
  readonly biasShape: readonly number[];
  /** Of the inputs as they were given, and of both as they were read. */
  readonly types: { readonly x: DType; readonly weight: DType; readonly read: DType };
}

function biasedProductBackward(
  { shape, biasShape, types }: BackwardSizes,
  activation: Activation,
  context: BackwardContext<Saved>,
): Record<string, Tensor | undefined> {
  const { saved: { x, weight }, needs, target } = context;
  const { batch, m, n, k } = shape;
  const sums = { batch, rows: batch * m, columns: n, biasShape };
  const { g, dBias } = epilogueBackward(sums, activation, context);
  const dx: MatmulShape = { batch, m, n: k, k: n };
  const dWeight: MatmulShape = { batch, m: n, n: k, k: m, transposeA: true };
  return {
    x: needs("x")
      ? matmulGradient(dx, { a: g, b: castTo(weight, types.read) }, x.shape, types.x, target("x"))
      : undefined,
    weight: needs("weight")
      ? matmulGradient(
        dWeight,
        { a: g, b: castTo(x, types.read) },
        weight.shape,
        types.weight,
        target("weight"),
      )
      : undefined,
    bias: dBias,
  };
}

/** What `epilogueBackward` works on: rows of sums, a bias row for all of them or for each of `batch` equal parts. */
export interface EpilogueSums {
  /** How many bias rows there are. */
  readonly batch: number;
  /** Rows in all. */
  readonly rows: number;
  /** Length of a row. */
  readonly columns: number;
  /** The bias's shape. */
  readonly biasShape: readonly number[];
}

/**
 * The gradient of y = f(pre) by pre, and the bias's unless it went straight to its place. Shared by the maps that end in
 * bias and activation. Saved as `pre` is what f' is computed from: y for ReLU.
 */
export function epilogueBackward(
  { batch, rows, columns, biasShape }: EpilogueSums,
  activation: Activation,
  { saved: { pre }, dOut, needs, target }: BackwardContext<{ pre: Tensor | undefined }>,
): { g: Tensor; dBias: Tensor | undefined } {
  const { device } = dOut;
  const into = needs("bias") ? target("bias") : undefined;
  if (dOut.size === 0 || (activation === "none" && batch === 1)) {
    const dBias = needs("bias") ? sumColumns(dOut, biasShape, into) : undefined;
    return { g: dOut, dBias };
  }
  // Of experts, a strip is the rows of one, and its sums are the gradient; else strips are partial sums.
  const strip = batch > 1 ? rows / batch : columnSumStrip(rows, columns, device.target);
  const whole = batch > 1 || strip === rows;
  const accumulate = whole ? into?.accumulate ?? 0 : 0;
  const sums = whole && into ? into.tensor : device.empty(
    whole && needs("bias") ? biasShape : [Math.ceil(rows / strip), columns],
    "f32",
    "bias gradient",
  );
  let g = dOut;
  if (activation === "none") {
    if (needs("bias")) run(columnSum(rows, columns, { strip, accumulate }), { x: dOut, y: sums });
  } else {
    g = device.empty(dOut.shape, dOut.dtype, `gradient before ${activation}`);
    run(biasActivationBackward({ rows, cols: columns, activation, strip, accumulate }), {
      pre: pre!,
      dOut,
      dPre: g,
      dBias: sums,
    });
  }
  if (!needs("bias")) return { g, dBias: undefined };
  if (!whole) return { g, dBias: sumColumns(sums, biasShape, into) };
  return { g, dBias: into ? undefined : sums };
}
