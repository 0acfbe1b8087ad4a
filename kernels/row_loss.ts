/**
 * Losses that are a weighted sum over rows: the frame that focal_loss.ts, box_losses.ts and gaze_losses.ts share.
 *
 * Math    loss = f sum over rows r of w[r] l(r) / (n + eps),  dpred = dLoss f w[r] / (n + eps) dl/dpred
 *         with a factor f and a divisor n: a number, or a count that is made on the GPU, such as that of the annotated
 *         frames of a batch. eps = 2^-23 keeps a sum over nothing 0 where n is 0; beside a count it changes nothing.
 *         A row of weight 0 is not looked at: what it lacks may be anything, NaN included.
 * Shapes  pred [rows, ...]; w one number for `per` rows in turn; n [1]; loss [1].
 * Work    forward  One workgroup of 64: invocation t takes rows t, t + 64, ..., and a tree adds the 64 parts. These losses
 *                  have tens of rows, where one dispatch costs more than all the arithmetic.
 *         backward One invocation a row.
 * Memory  A few hundred bytes; what counts is that each way is one dispatch, where composed of elementary functions the
 *         GIoU loss alone would be some 40.
 * @module
 */
import {
  ceilDiv,
  defineProgram,
  foldWorkgroups,
  type Kernel,
  memoize,
  type Values,
} from "./kernel.ts";
import type { Access, ElementType, ScalarType } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS, workgroupSum } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

/** What every loss over rows can be asked for. */
export interface RowLossShape {
  /** Rows, each with a loss of its own. */
  readonly rows: number;
  /** Rows that share a weight, one after the other; 0: there are no weights. */
  readonly per: number;
  /** n above, or "tensor" where it is on the GPU. */
  readonly divisor: number | "tensor";
  /** f above. */
  readonly factor: number;
}

/** One loss. */
export interface RowLossSource<S extends RowLossShape> {
  /** The program's name; that of the backward has `.backward` behind it. */
  readonly name: string;
  /** Further fields of the uniform. */
  readonly params: Readonly<Record<string, ScalarType>>;
  /** What a row reads: `pred` and the like. */
  readonly bindings: Readonly<Record<string, `${Access} ${ElementType}`>>;
  /** WGSL type of a row's gradient; three numbers lie in dPred as scalars. */
  readonly type: "f32" | "vec3f" | "vec4f";
  /** WGSL: `fn loss_of(r: u32) -> f32`, with what it needs. */
  readonly value: string;
  /** WGSL: `fn gradient_of(r: u32) -> T`, with what it needs. */
  readonly gradient: string;
  /** Values of the further fields. */
  values(shape: S): Record<string, number>;
  /** Scalars of the bindings, and of dPred; weight, divisor and loss apart. */
  sizes(shape: S): Record<string, number>;
  /** Operations of a row, forward. */
  readonly flops: number;
  /** The plain loop of both passes, for a gradient of the loss of 1. */
  reference(shape: S, inputs: Values): { loss: number; dPred: Float64Array };
}

/** Both passes of a loss. */
export interface RowLoss<S extends RowLossShape> {
  /** Bindings: those of the loss, weight and divisor where there are any, and loss. */
  forward(shape: S): Kernel;
  /** Bindings: those of the loss, weight and divisor where there are any, dOut [1] and dPred. */
  backward(shape: S): Kernel;
}

const SIZE = 64;
/** The machine epsilon of f32, as mmdet adds it to every divisor. */
export const ROW_LOSS_EPS: number = 2 ** -23;

interface Config {
  readonly weighted: boolean;
  /** The divisor is a tensor. */
  readonly divided: boolean;
}

/** Makes the kernels of a loss. */
export function defineRowLoss<S extends RowLossShape>(source: RowLossSource<S>): RowLoss<S> {
  const PARAMS = {
    rows: "u32",
    per: "u32",
    factor: "f32",
    divisor: "f32",
    ...source.params,
  } as const;
  const shared = ({ weighted, divided }: Config) => ({
    ...source.bindings,
    ...(weighted ? { weight: "read f32" as const } : {}),
    ...(divided ? { divisor: "read f32" as const } : {}),
  });
  const scales = ({ weighted, divided }: Config) =>
    wgsl`
fn scale_of() -> f32 {
  #if ${divided}
  return params.factor / (divisor[0] + ${ROW_LOSS_EPS});
  #else
  return params.factor / (params.divisor + ${ROW_LOSS_EPS});
  #endif
}
fn weight_of(r: u32) -> f32 {
  #if ${weighted}
  return weight[r / params.per];
  #else
  return 1.0;
  #endif
}`;
  const { type } = source, element = type === "vec4f" ? "vec4<f32>" as const : "f32" as const;
  const forward = memoize((config: Config) =>
    defineProgram({
      name: source.name,
      variant: variantOf(config),
      params: PARAMS,
      bindings: { ...shared(config), loss: "write f32" },
      workgroupSize: SIZE,
      workgroupBytes: 4 * SIZE,
      code: wgsl`
${source.value}
${scales(config)}
${workgroupSum(SIZE)}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(local_invocation_index) t: u32) {
  var mine = 0.0;
  for (var r = t; r < params.rows; r += WORKGROUP_SIZE) {
    let w = weight_of(r);
    if (w != 0.0) { mine += w * loss_of(r); }
  }
  let total = workgroup_sum(mine, t);
  if (t == 0u) { loss[0] = scale_of() * total; }
}`,
    })
  );
  const backward = memoize((config: Config) =>
    defineProgram({
      name: `${source.name}.backward`,
      variant: variantOf(config),
      params: PARAMS,
      bindings: { ...shared(config), dOut: "read f32", dPred: `write ${element}` },
      workgroupSize: SIZE,
      code: wgsl`
${scales(config)}
${source.gradient}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let r = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (r >= params.rows) { return; }
  let w = weight_of(r);
  var d = ${type}();
  if (w != 0.0) { d = dOut[0] * scale_of() * w * gradient_of(r); }
  #if ${type === "vec3f"}
  dPred[3u * r] = d.x;
  dPred[3u * r + 1u] = d.y;
  dPred[3u * r + 2u] = d.z;
  #else
  dPred[r] = d;
  #endif
}`,
    })
  );
  const launch = (shape: S) => {
    const { rows, per, divisor, factor } = shape;
    const { dPred, ...read } = source.sizes(shape);
    const config = { weighted: per > 0, divided: divisor === "tensor" };
    return {
      config,
      params: {
        rows,
        per,
        factor,
        divisor: divisor === "tensor" ? 0 : divisor,
        ...source.values(shape),
      },
      sizes: { ...read, dPred, weight: per > 0 ? ceilDiv(rows, per) : 0, divisor: 1 },
      bytes: 4 * Object.values(read).reduce((a, b) => a + b, 0),
    };
  };
  return {
    forward: (shape) => {
      const { config, params, sizes, bytes } = launch(shape);
      return {
        program: forward(config),
        params,
        sizes: { ...sizes, loss: 1 },
        workgroups: [1, 1, 1],
        flops: source.flops * shape.rows,
        bytes: bytes + 4,
        reference: (inputs) => ({ loss: [source.reference(shape, inputs).loss] }),
      };
    },
    backward: (shape) => {
      const { config, params, sizes, bytes } = launch(shape);
      return {
        program: backward(config),
        params,
        sizes: { ...sizes, dOut: 1 },
        workgroups: foldWorkgroups(ceilDiv(shape.rows, SIZE)),
        flops: 2 * source.flops * shape.rows,
        bytes: bytes + 4 * sizes.dPred,
        reference: ({ dOut, ...inputs }) => ({
          dPred: source.reference(shape, inputs).dPred.map((d) => dOut[0] * d),
        }),
      };
    },
  };
}

function variantOf({ weighted, divided }: Config): string {
  return `${weighted ? "weighted" : "plain"}${divided ? ", divided by a tensor" : ""}`;
}

/** The frame's plain loop: the loss, and the factor of each row's gradient for a gradient of 1. */
export function rowLossReference(
  { rows, per, divisor, factor }: RowLossShape,
  lossOf: (row: number) => number,
  { weight, divisor: count }: Values,
): { loss: number; scales: Float64Array } {
  const scale = factor / ((divisor === "tensor" ? count[0] : divisor) + ROW_LOSS_EPS);
  const scales = Float64Array.from(
    { length: rows },
    (_, r) => scale * (per > 0 ? weight[Math.floor(r / per)] : 1),
  );
  return { loss: scales.reduce((sum, s, r) => s === 0 ? sum : sum + s * lossOf(r), 0), scales };
}
