/**
 * Fill: the simplest kernel here. Read it first.
 *
 * Math    y[i] = value
 * Shapes  y [n], any 4-byte type; the value is given by its bit pattern, so that one program serves f32, i32, u32 and
 *         the NaN pattern of the engine's poison mode.
 * Work    One invocation an element: invocation t of workgroup g owns element 64 g + t, and leaves if there is none.
 * Memory  4 bytes written an element, nothing read. Neighbouring invocations write neighbouring words: the ideal,
 *         coalesced pattern, which no tile could improve.
 * @module
 */
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

const SIZE = 64;

const program = memoize((_: null) =>
  defineProgram({
    name: "fill",
    params: { count: "u32", bits: "u32" },
    bindings: { y: "write u32" },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i < params.count) { y[i] = params.bits; }
}`,
  })
);

/** Fills `count` words with one bit pattern. */
export function fill(count: number, bits: number): Kernel {
  return {
    program: program(null),
    params: { count, bits },
    sizes: { y: count },
    workgroups: foldWorkgroups(ceilDiv(count, SIZE)),
    flops: 0,
    bytes: 4 * count,
    reference: () => fillReference(count, bits),
  };
}

const scratch = new DataView(new ArrayBuffer(4));

/** The bit pattern of an f32, for `fill`. */
export function floatBits(value: number): number {
  scratch.setFloat32(0, value);
  return scratch.getUint32(0);
}

/** The bit pattern of an f16. */
export function halfBits(value: number): number {
  scratch.setFloat16(0, value);
  return scratch.getUint16(0);
}

/** The plain loop. */
export function fillReference(count: number, bits: number): { y: Uint32Array } {
  return { y: new Uint32Array(count).fill(bits) };
}
