/**
 * Multiply-adds without memory: how fast can this adapter compute at all?
 *
 * Math    v <- a v + b, again and again, in 16 independent chains (4 vectors of 4); y = their sum
 *         With a = 1/2 and b = 1 the chains run towards 2: nothing overflows, however long the loop.
 * Shapes  y [n], f32.
 * Work    One invocation an element. A chain waits for its own last result, so several must be under way at a time to
 *         fill the pipeline of an arithmetic unit: 4 to 8 on a CPU or GPU. More would not fit a CPU's registers.
 * Memory  One store for 128 operations a round: 32 operations a byte and round, more than any adapter can feed.
 * @module
 */
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

const SIZE = 64;
const A = 0.5, B = 1;
/** Vectors of 4, and multiply-adds of each in a round. */
const CHAINS = 4, STEPS = 4;

const program = memoize((_: null) => {
  const chains = Array.from({ length: CHAINS }, (_, k) => `v${k}`);
  const step = chains.map((v) => `${v} = fma(${v}, a, b);`).join(" ");
  return defineProgram({
    name: "fma_loop",
    params: { count: "u32", rounds: "u32", a: "f32", b: "f32" },
    bindings: { y: "write f32" },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (own >= params.count) { return; }
  let a = vec4f(params.a);
  let b = vec4f(params.b);
  let first = vec4f(f32(own)) + vec4f(0.0, 1.0, 2.0, 3.0);
  ${chains.map((v, k) => `var ${v} = first + ${4 * k}.0;`).join("\n  ")}
  for (var i = 0u; i < params.rounds; i++) {
    ${Array(STEPS).fill(step).join("\n    ")}
  }
  let sum = ${chains.join(" + ")};
  y[own] = sum.x + sum.y + sum.z + sum.w;
}`,
  });
});

/** `rounds` rounds of 128 operations for each of `count` elements. */
export function fmaLoop(count: number, rounds: number): Kernel {
  return {
    program: program(null),
    params: { count, rounds, a: A, b: B },
    sizes: { y: count },
    workgroups: foldWorkgroups(ceilDiv(count, SIZE)),
    flops: count * rounds * 2 * 4 * CHAINS * STEPS,
    bytes: 4 * count,
    reference: () => fmaLoopReference(count, rounds),
  };
}

/** The plain loop. */
export function fmaLoopReference(count: number, rounds: number): { y: Float64Array } {
  const y = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    for (let chain = 0; chain < 4 * CHAINS; chain++) {
      let v = i + chain;
      for (let step = 0; step < STEPS * rounds; step++) v = A * v + B;
      y[i] += v;
    }
  }
  return { y };
}
