/**
 * Joining arrays along one axis, and the reverse of taking a piece out.
 *
 * Math    concat  y[r, :] = (x_0[r, :], x_1[r, :], ...)     gradients: the pieces of dy (slices, by strided_map.ts)
 *         embed   y[r, j] = x[r, j - begin], 0 outside      the gradient of a slice
 * Shapes  Along axis k an array is [rows, length]: rows = product of the dimensions before k, length = that of the rest.
 *         x_i [rows, length_i], y [rows, sum of length_i]; all types of 4 bytes, moved as bits.
 * Work    One invocation an element of y (or four side by side, where all lengths are divisible by 4): it finds out which
 *         input it belongs to, so that up to 7 arrays are joined by one dispatch.
 * Memory  Every element is read and written once: 8 bytes and no arithmetic, bound by memory. Stores are coalesced, and
 *         loads too, but where a row of one input ends and another begins.
 * @module
 */
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import type { Access, ElementType, ScalarType } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

const SIZE = 64;

/** The most inputs of one `concat`: with y they take the 8 storage buffers every device has. */
export const MAX_CONCAT_INPUTS = 7;

const joined = memoize(({ inputs, wide }: { inputs: number; wide: boolean }) => {
  const type: ElementType = wide ? "vec4<u32>" : "u32";
  const bindings: Record<string, `${Access} ${ElementType}`> = {};
  const params: Record<string, ScalarType> = { count: "u32", length: "u32" };
  const branches: string[] = [];
  for (let k = 0; k < inputs; k++) {
    bindings[`x${k}`] = `read ${type}`;
    params[`begin${k}`] = "u32";
    params[`length${k}`] = "u32";
    const value = `x${k}[row * params.length${k} + j - params.begin${k}]`;
    const last = k === inputs - 1;
    branches.push(
      last
        ? `{ y[i] = ${value}; }`
        : `if (j < params.begin${k} + params.length${k}) { y[i] = ${value}; }`,
    );
  }
  return defineProgram({
    name: "concat",
    variant: `${inputs} inputs${wide ? ", vec4" : ""}`,
    params,
    bindings: { ...bindings, y: `write ${type}` },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i >= params.count) { return; }
  let row = i / params.length;
  let j = i % params.length;
  ${branches.join("\n  else ")}
}`,
  });
});

/**
 * y = the inputs side by side. Bindings: `x0`, `x1`, ..., `y`.
 * @param rows product of the dimensions before the axis
 * @param lengths of one row of each input, at most 7 of them, none of them 0
 */
export function concatRows(rows: number, lengths: readonly number[]): Kernel {
  const wide = lengths.every((length) => length % 4 === 0);
  const unit = wide ? 4 : 1;
  const whole = lengths.reduce((a, b) => a + b, 0);
  const params: Record<string, number> = { count: rows * whole / unit, length: whole / unit };
  const sizes: Record<string, number> = { y: rows * whole };
  let begin = 0;
  lengths.forEach((length, k) => {
    params[`begin${k}`] = begin;
    params[`length${k}`] = length / unit;
    sizes[`x${k}`] = rows * length;
    begin += length / unit;
  });
  return {
    program: joined({ inputs: lengths.length, wide }),
    params,
    sizes,
    workgroups: foldWorkgroups(ceilDiv(params.count, SIZE)),
    flops: 0,
    bytes: 8 * rows * whole,
    reference: (inputs) =>
      concatRowsReference(rows, lengths, lengths.map((_, k) => inputs[`x${k}`])),
  };
}

const embedded = memoize(({ wide }: { wide: boolean }) => {
  const type = wide ? "vec4<u32>" : "u32";
  return defineProgram({
    name: "embed",
    variant: wide ? "vec4" : "readable",
    params: { count: "u32", length: "u32", begin: "u32", piece: "u32" },
    bindings: { x: `read ${type}`, y: `write ${type}` },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i >= params.count) { return; }
  let row = i / params.length;
  let j = i % params.length - params.begin; // wraps round to a large number before the piece
  if (j < params.piece) { y[i] = x[row * params.piece + j]; } else { y[i] = ${type}(0); }
}`,
  });
});

/** Where a piece lies in the rows of a larger array. */
export interface PieceOfRows {
  /** Rows of both. */
  readonly rows: number;
  /** Elements of a whole row. */
  readonly length: number;
  /** First element of the piece. */
  readonly begin: number;
  /** Elements of the piece in each row. */
  readonly piece: number;
}

/** y [rows, length] = x [rows, piece] at `begin`, zeros around it. */
export function embedRows({ rows, length, begin, piece }: PieceOfRows): Kernel {
  const wide = [length, begin, piece].every((n) => n % 4 === 0);
  const unit = wide ? 4 : 1;
  const count = rows * length / unit;
  return {
    program: embedded({ wide }),
    params: { count, length: length / unit, begin: begin / unit, piece: piece / unit },
    sizes: { x: rows * piece, y: rows * length },
    workgroups: foldWorkgroups(ceilDiv(count, SIZE)),
    flops: 0,
    bytes: 4 * rows * (length + piece),
    reference: ({ x }) => embedRowsReference({ rows, length, begin, piece }, x),
  };
}

/** The plain loop of `concatRows`. */
export function concatRowsReference(
  rows: number,
  lengths: readonly number[],
  inputs: readonly ArrayLike<number>[],
): { y: Float64Array } {
  const whole = lengths.reduce((a, b) => a + b, 0);
  const y = new Float64Array(rows * whole);
  let begin = 0;
  inputs.forEach((x, k) => {
    for (let row = 0; row < rows; row++) {
      for (let j = 0; j < lengths[k]; j++) y[row * whole + begin + j] = x[row * lengths[k] + j];
    }
    begin += lengths[k];
  });
  return { y };
}

/** The plain loop of `embedRows`. */
export function embedRowsReference(
  { rows, length, begin, piece }: PieceOfRows,
  x: ArrayLike<number>,
): { y: Float64Array } {
  const y = new Float64Array(rows * length);
  for (let row = 0; row < rows; row++) {
    for (let j = 0; j < piece; j++) y[row * length + begin + j] = x[row * piece + j];
  }
  return { y };
}
