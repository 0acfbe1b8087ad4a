/**
 * Cast: the same numbers in another storage; the simplest kernel with a half form (half.ts).
 *
 * Math    y[i] = x[i]. From f32 to f16 a number is rounded to 11 bits; beyond 65,504 it becomes infinity, below 2^-25 0.
 * Shapes  x, y [n].
 * Work    One invocation 4 neighbouring elements (a vec4) where n is divisible by 4, else one.
 * Memory  6 bytes moved an element between f32 and f16, coalesced; nothing is used twice.
 * @module
 */
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

const SIZE = 64;

const program = memoize(({ wide }: { wide: boolean }) => {
  const type = wide ? "vec4<f32>" : "f32";
  return defineProgram({
    name: "cast",
    variant: wide ? "vec4" : "readable",
    params: { count: "u32" },
    bindings: { x: `read ${type}`, y: `write ${type}` },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i < params.count) { y[i] = x[i]; }
}`,
  });
});

/** y = x over `count` elements, each in the storage that its binding has. */
export function cast(count: number): Kernel {
  const wide = count % 4 === 0;
  const items = wide ? count / 4 : count;
  return {
    program: program({ wide }),
    params: { count: items },
    sizes: { x: count, y: count },
    workgroups: foldWorkgroups(ceilDiv(items, SIZE)),
    flops: 0,
    bytes: 8 * count,
    reference: ({ x }) => castReference(x),
  };
}

/** The plain loop; rounding to the storage is the reader's business. */
export function castReference(x: ArrayLike<number>): { y: Float64Array } {
  return { y: Float64Array.from(x) };
}
