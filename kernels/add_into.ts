/**
 * Sum of two arrays, or one added into another: the two additions that reverse-mode differentiation itself needs.
 *
 * Math    sum         y[i] = a[i] + b[i]               two gradients of one value
 *         accumulate  y[i] = a[i] + accumulate y[i]    a gradient into its fixed place; accumulate 0: a plain copy
 * Shapes  a, b, y [n], f32.
 * Work    One invocation an element, neighbours on neighbouring words.
 * Memory  12 bytes moved for one addition (8 for a copy), all coalesced: bound by memory, and nothing is used twice, so
 *         there is nothing to tile.
 * @module
 */
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

const SIZE = 64;

const program = memoize(({ into }: { into: boolean }) =>
  defineProgram({
    name: into ? "add_into" : "add_gradients",
    params: into ? { count: "u32", accumulate: "u32" } : { count: "u32" },
    bindings: into
      ? { a: "read f32", y: "update f32" }
      : { a: "read f32", b: "read f32", y: "write f32" },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i >= params.count) { return; }
  #if ${into}
  // select, not a product with accumulate: what is overwritten may be NaN
  y[i] = a[i] + select(0.0, y[i], params.accumulate == 1u);
  #else
  y[i] = a[i] + b[i];
  #endif
}`,
  })
);

/** y = a + b over `count` elements. */
export function addGradientsKernel(count: number): Kernel {
  return {
    program: program({ into: false }),
    params: { count },
    sizes: { a: count, b: count, y: count },
    workgroups: foldWorkgroups(ceilDiv(count, SIZE)),
    flops: count,
    bytes: 12 * count,
    reference: ({ a, b }) => ({ y: Float64Array.from(a, (value, i) => value + b[i]) }),
  };
}

/** y = a + (accumulate ? y : 0) over `count` elements. */
export function addInto(count: number, accumulate: 0 | 1): Kernel {
  return {
    program: program({ into: true }),
    params: { count, accumulate },
    sizes: { a: count, y: count },
    workgroups: foldWorkgroups(ceilDiv(count, SIZE)),
    flops: accumulate * count,
    bytes: (8 + 4 * accumulate) * count,
    reference: ({ a, y }) => addIntoReference(a, y, accumulate),
  };
}

/** The plain loop of `addInto`. */
export function addIntoReference(
  a: ArrayLike<number>,
  y: ArrayLike<number>,
  accumulate: 0 | 1,
): { y: Float64Array } {
  return { y: Float64Array.from(a, (value, i) => value + (accumulate ? y[i] : 0)) };
}
