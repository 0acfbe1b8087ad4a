/**
 * Strided map: one kernel family for broadcasting arithmetic and its gradients, permutations, slices and patches. They
 * differ only in where an output element finds its inputs.
 *
 * Math    y[i] = f(a[...], b[...], g[...]), where each input is seen through strides of its own:
 *           broadcasting   stride 0 along the repeated dimension
 *           permutation    the strides of the input, reordered
 *           slice          the strides of the input, and an offset
 *         f is one of the functions below; those named `_grad` and `share` are the gradients of others.
 * Shapes  y is dense with the dimensions `dims`; input v is read at offset_v + sum_k j_k stride_v[k], where
 *         (j_0, j_1, ...) is the position in y. f32; copies move any 4-byte type as bits.
 * Work    One invocation writes 4 neighbours along the last dimension where its length allows (one vec4 store, and the
 *         index arithmetic once for 4 elements), else 1. Neighbouring dimensions along which every input can be walked
 *         with one stride are merged before (`mergeDims`), so a same-shape sum has rank 1 and needs no index arithmetic at
 *         all; [B, N, D] + [D] has rank 2 and needs one division.
 * Memory  Stores are coalesced. An input along whose last dimension neighbours lie side by side is read as vec4, a repeated
 *         one as one scalar for all four, any other one (a permutation that moves the last dimension) as four scalars.
 *         About one operation for 8 to 16 bytes: bound by memory.
 * @module
 */
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import type { Access, ElementType, ScalarType } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

const SIZE = 64;

/** Names of the inputs: two operands and the gradient of the output. */
type InputName = "a" | "b" | "g";

interface MapFunction {
  /** Over `a`, `b`, `g`, each of type `T` (f32 or vec4<f32>). */
  readonly code: string;
  readonly loop: (a: number, b: number, g: number) => number;
}

/** What is computed for each element. */
export type MapFunctionName =
  | "copy"
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "maximum"
  | "minimum"
  | "equal"
  | "div_grad"
  | "maximum_grad"
  | "minimum_grad"
  | "share";

const FUNCTIONS: Record<MapFunctionName, MapFunction> = {
  copy: { code: "a", loop: (a) => a },
  add: { code: "a + b", loop: (a, b) => a + b },
  sub: { code: "a - b", loop: (a, b) => a - b },
  mul: { code: "a * b", loop: (a, b) => a * b },
  div: { code: "a / b", loop: (a, b) => a / b },
  maximum: { code: "max(a, b)", loop: (a, b) => Math.max(a, b) },
  minimum: { code: "min(a, b)", loop: (a, b) => Math.min(a, b) },
  equal: { code: "select(T(0.0), T(1.0), a == b)", loop: (a, b) => a === b ? 1 : 0 },
  // d(a/b)/db = -a/b^2, in an order that does not overflow where a/b does not
  div_grad: { code: "-(g / b) * (a / b)", loop: (a, b, g) => -(g / b) * (a / b) },
  // the gradient of the larger (smaller) one; at a tie each gets half
  maximum_grad: {
    code: "select(select(T(0.0), 0.5 * g, a == b), g, a > b)",
    loop: (a, b, g) => a > b ? g : a === b ? 0.5 * g : 0,
  },
  minimum_grad: {
    code: "select(select(T(0.0), 0.5 * g, a == b), g, a < b)",
    loop: (a, b, g) => a < b ? g : a === b ? 0.5 * g : 0,
  },
  // a: 1 at each maximum, b: how many there are, g: the gradient they share
  share: { code: "a * g / b", loop: (a, b, g) => a * g / b },
};

/** How one input is walked. */
export interface StridedInput {
  /** Elements to step for one step along each dimension; 0 repeats. */
  readonly strides: readonly number[];
  /** Elements of the whole input. */
  readonly size: number;
  /** Element that position (0, 0, ...) reads; default 0. */
  readonly offset?: number;
}

/** The inputs of a map. `b` may be a number: it travels in the uniform. */
export interface MapInputs {
  /** First operand. */
  readonly a: StridedInput;
  /** Second operand. */
  readonly b?: StridedInput | number;
  /** Gradient of an output. */
  readonly g?: StridedInput;
}

/** Dimensions and the strides of every input, merged. */
export interface MergedDims {
  /** At least one entry. */
  readonly dims: number[];
  /** For each input, one stride a dimension. */
  readonly strides: number[][];
}

/** Drops dimensions of length 1 and joins neighbours that every input walks with one stride. */
export function mergeDims(
  dims: readonly number[],
  strides: readonly (readonly number[])[],
): MergedDims {
  const merged: MergedDims = { dims: [], strides: strides.map(() => []) };
  for (let k = 0; k < dims.length; k++) {
    if (dims[k] === 1) continue;
    const last = merged.dims.length - 1;
    const joins = last >= 0 &&
      strides.every((s, v) => merged.strides[v][last] === s[k] * dims[k]);
    if (joins) merged.dims[last] *= dims[k];
    else merged.dims.push(dims[k]);
    const at = merged.dims.length - 1;
    strides.forEach((s, v) => merged.strides[v][at] = s[k]);
  }
  if (merged.dims.length === 0) {
    merged.dims.push(1);
    merged.strides.forEach((s) => s.push(0));
  }
  return merged;
}

/**
 * How an invocation reads an input: `vec4` four neighbours at once, `splat` one scalar for all four, `gather` four
 * scalars, `scalar` one for the one element it makes, `number` from the uniform.
 */
type Mode = "vec4" | "splat" | "gather" | "scalar" | "number";

interface Config {
  readonly f: MapFunctionName;
  readonly rank: number;
  readonly modes: readonly (readonly [InputName, Mode])[];
}

const program = memoize(({ f, rank, modes }: Config) => {
  const wide = modes.every(([, mode]) => mode !== "scalar");
  // Copies move bits: through f32, an integer that looks like a NaN or a denormal could change.
  const scalar = f === "copy" ? "u32" : "f32";
  const wideType = `vec4<${scalar}>` as ElementType;
  const walked = modes.filter(([, mode]) => mode !== "number");
  const bindings: Record<string, `${Access} ${ElementType}`> = {};
  const params: Record<string, ScalarType> = { count: "u32" };
  for (const [v, mode] of walked) {
    bindings[v] = `read ${mode === "vec4" ? wideType : scalar}`;
    params[`offset_${v}`] = "u32";
    for (let k = 0; k < rank; k++) if (stepped(k, rank, mode)) params[`${v}${k}`] = "u32";
  }
  bindings.y = `write ${wide ? wideType : scalar}`;
  for (let k = 1; k < rank; k++) params[`d${k}`] = "u32";
  if (walked.length < modes.length) params.number = "f32";

  const position: string[] = [];
  for (let k = rank - 1; k > 0; k--) {
    // the remainder from the quotient: one division, which on software adapters costs more than the loads
    position.push(
      `let q${k} = rest / params.d${k};`,
      `let j${k} = rest - q${k} * params.d${k};`,
      `rest = q${k};`,
    );
  }
  const loads = modes.map(([v, mode]) => {
    if (mode === "number") return `let ${v} = T(params.number);`;
    const terms = [`params.offset_${v}`];
    for (let k = 0; k < rank; k++) {
      const jump = k === rank - 1 && mode === "gather" ? "4u * " : "";
      const step = stepped(k, rank, mode) ? ` * ${jump}params.${v}${k}` : "";
      if (k < rank - 1 || mode !== "splat") terms.push(`j${k}${step}`);
    }
    const at = `let at_${v} = ${terms.join(" + ")};`;
    if (mode !== "gather") return `${at} let ${v} = T(${v}_in[at_${v}]);`;
    const parts = [0, 1, 2, 3].map((k) => `${v}_in[at_${v} + ${k}u * params.${v}${rank - 1}]`);
    return `${at}\n  let ${v} = T(${parts.join(", ")});`;
  });
  return defineProgram({
    name: `map_${f}`,
    variant: `rank ${rank}, ${modes.map(([, mode]) => mode).join(" ")}`,
    params,
    bindings: Object.fromEntries(
      Object.entries(bindings).map(([v, spec]) => [v === "y" ? v : `${v}_in`, spec]),
    ),
    workgroupSize: SIZE,
    code: wgsl`
alias T = ${wide ? wideType : scalar};

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i >= params.count) { return; }
  var rest = i; // of the position in y, counted in what one invocation writes
  ${position.join("\n  ")}
  let j0 = rest;
  ${loads.join("\n  ")}
  y[i] = ${FUNCTIONS[f].code};
}`,
  });
});

/** True where dimension k of an input needs a stride in the uniform: neighbours of vec4 loads are 1 apart, of splats 0. */
function stepped(k: number, rank: number, mode: Mode): boolean {
  return k < rank - 1 || (mode !== "vec4" && mode !== "splat");
}

/**
 * y = f(inputs) over the dense shape `dims`. Bindings: `a_in`, then `b_in` and `g_in` where the function has them, `y`.
 * @param f which function
 * @param dims shape of y, of any rank; dimensions are merged here
 * @param inputs how each input is walked
 */
export function stridedMap(
  f: MapFunctionName,
  dims: readonly number[],
  inputs: MapInputs,
): Kernel {
  const all = (["a", "b", "g"] as const).filter((v) => inputs[v] !== undefined);
  const walked = all.filter((v) => typeof inputs[v] !== "number");
  const merged = mergeDims(dims, walked.map((v) => (inputs[v] as StridedInput).strides));
  const rank = merged.dims.length;
  const last = merged.dims[rank - 1];
  const wide = last % 4 === 0;
  const width = wide ? 4 : 1;

  const count = merged.dims.reduce((a, b) => a * b, 1);
  const params: Record<string, number> = { count: count / width };
  const sizes: Record<string, number> = { y: count };
  const modes = new Map<InputName, Mode>();
  let bytes = 4 * count;
  walked.forEach((v, n) => {
    const { size, offset = 0 } = inputs[v] as StridedInput;
    const strides = merged.strides[n];
    const mode = wide ? wideMode(strides, offset) : "scalar";
    modes.set(v, mode);
    const unit = mode === "vec4" ? 4 : 1;
    params[`offset_${v}`] = offset / unit;
    strides.forEach((stride, k) => params[`${v}${k}`] = stride / unit);
    sizes[`${v}_in`] = size;
    bytes += 4 * Math.min(size, count);
  });
  merged.dims.forEach((d, k) => params[`d${k}`] = k === rank - 1 ? d / width : d);
  if (typeof inputs.b === "number") params.number = inputs.b;
  return {
    program: program({ f, rank, modes: all.map((v) => [v, modes.get(v) ?? "number"] as const) }),
    params,
    sizes,
    workgroups: foldWorkgroups(ceilDiv(count / width, SIZE)),
    flops: f === "copy" ? 0 : count,
    bytes,
    reference: ({ a_in: a, b_in: b, g_in: g }) => stridedMapReference(f, dims, inputs, { a, b, g }),
  };
}

function wideMode(strides: readonly number[], offset: number): Mode {
  const inner = strides[strides.length - 1];
  if (inner === 0) return "splat";
  const aligned = offset % 4 === 0 &&
    strides.every((s, k) => k === strides.length - 1 || s % 4 === 0);
  return inner === 1 && aligned ? "vec4" : "gather";
}

/** The plain loop: the inputs with their values, in float64. */
export function stridedMapReference(
  f: MapFunctionName,
  dims: readonly number[],
  inputs: MapInputs,
  values: { a: ArrayLike<number>; b?: ArrayLike<number>; g?: ArrayLike<number> },
): { y: Float64Array } {
  const y = new Float64Array(dims.reduce((a, b) => a * b, 1));
  const position = dims.map(() => 0);
  const at = (v: InputName): number => {
    const input = inputs[v];
    if (typeof input === "number") return input;
    if (input === undefined) return 0;
    return values[v]![
      position.reduce((sum, j, k) => sum + j * input.strides[k], input.offset ?? 0)
    ];
  };
  for (let i = 0; i < y.length; i++) {
    y[i] = FUNCTIONS[f].loop(at("a"), at("b"), at("g"));
    for (let k = dims.length - 1; k >= 0 && ++position[k] === dims[k]; k--) position[k] = 0;
  }
  return { y };
}
