/**
 * Finds NaN and infinity: flags[slot] = 1 when any x[i] is not finite.
 *
 * Math    An f32 is not finite exactly when its eight exponent bits are all ones. The test is on the bits: a comparison
 *         such as `x != x` may be optimised away, because WGSL lets compilers assume that no NaN occurs.
 * Shapes  x [n] as u32, flags [slots] u32 (zero before).
 * Work    One invocation an element. Several may store the same 1 to the same word: the result is the same whatever
 *         their order, so no atomic is needed.
 * Memory  4 bytes read an element, neighbours on neighbouring words; a write only where something is wrong.
 * @module
 */
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

const SIZE = 64;

const program = memoize((_: null) =>
  defineProgram({
    name: "non_finite",
    params: { count: "u32", slot: "u32" },
    bindings: { x: "read u32", flags: "update u32" },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i < params.count && (x[i] & 0x7f800000u) == 0x7f800000u) { flags[params.slot] = 1u; }
}`,
  })
);

/** Sets `flags[slot]` when one of `count` values is NaN or infinite. */
export function nonFinite(count: number, slot: number, slots: number): Kernel {
  return {
    program: program(null),
    params: { count, slot },
    sizes: { x: count, flags: slots },
    workgroups: foldWorkgroups(ceilDiv(count, SIZE)),
    flops: 0,
    bytes: 4 * count,
    reference: ({ x, flags }) => nonFiniteReference(x, slot, flags),
  };
}

/** The plain loop, over bit patterns: other flags stay as they were. */
export function nonFiniteReference(
  x: ArrayLike<number>,
  slot: number,
  flags: ArrayLike<number>,
): { flags: Float64Array } {
  const found = Float64Array.from(flags);
  for (let i = 0; i < x.length; i++) if ((x[i] & 0x7f800000) === 0x7f800000) found[slot] = 1;
  return { flags: found };
}
