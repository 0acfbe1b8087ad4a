/**
 * WGSL helpers that several kernels share. A barrier copied by hand is where races come from, so each lives once, here.
 * @module
 */
import { FIRST_GROUP } from "./kernel.ts";
import { wgsl } from "./wgsl.ts";

/**
 * The linear index of a workgroup launched with `foldWorkgroups`, also where the launch was divided. Arguments of `main`
 * must be named `group`, `groups`.
 */
export const FOLDED_GROUP = `params.${FIRST_GROUP} + group.y * groups.x + group.x`;

/** The builtins of a `main` that uses `FOLDED_GROUP` and a flat invocation index `t`. */
export const GROUP_ARGUMENTS = `
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) t: u32,`;

/** The largest finite f32; masks use its negative, never infinity, so that no `inf - inf` can make a NaN. */
export const MAX_F32 = "3.4028234e38";

/** WGSL: `fn multiply_high(a: u32, b: u32) -> u32`, the high half of a 32 x 32 -> 64 bit product. */
export const MULTIPLY_HIGH: string = wgsl`
// from the products of 16-bit halves; none of the sums can overflow
fn multiply_high(a: u32, b: u32) -> u32 {
  let a0 = a & 0xffffu;
  let a1 = a >> 16u;
  let b0 = b & 0xffffu;
  let b1 = b >> 16u;
  let middle = a1 * b0 + ((a0 * b0) >> 16u);
  let other = a0 * b1 + (middle & 0xffffu);
  return a1 * b1 + (middle >> 16u) + (other >> 16u);
}`;

/**
 * A tree reduction over the workgroup; every invocation gets the result. The order of additions is fixed by the
 * workgroup's size, so sums are equal from run to run.
 * @param name the function's name, `workgroup_sum`
 * @param size invocations, a power of two
 * @param combine WGSL expression of `a` and `b`
 * @param type element type, `f32` or a vector
 */
export function workgroupReduce(
  name: string,
  size: number,
  combine: string,
  type = "f32",
): string {
  return wgsl`
var<workgroup> ${name}_scratch: array<${type}, ${size}>;
fn ${name}(value: ${type}, t: u32) -> ${type} {
  ${name}_scratch[t] = value;
  workgroupBarrier();
  for (var stride = ${size / 2}u; stride > 0u; stride >>= 1u) {
    if (t < stride) {
      let a = ${name}_scratch[t];
      let b = ${name}_scratch[t + stride];
      ${name}_scratch[t] = ${combine};
    }
    workgroupBarrier();
  }
  let result = ${name}_scratch[0];
  workgroupBarrier(); // the scratch may be reused at once
  return result;
}`;
}

/** `workgroup_sum(value, t)` over `size` invocations. */
export function workgroupSum(size: number): string {
  return workgroupReduce("workgroup_sum", size, "a + b");
}

/** `workgroup_max(value, t)` over `size` invocations. */
export function workgroupMax(size: number): string {
  return workgroupReduce("workgroup_max", size, "max(a, b)");
}
