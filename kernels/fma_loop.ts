/**
 * Multiply-adds without memory: how fast can this adapter compute at all?
 *
 * Math    v <- a v + b, again and again, in independent chains; y = their sum
 *         With a = 1/2 and b = 1 the chains run towards 2: nothing overflows, however long the loop.
 * Shapes  y [n], f32.
 * Work    One invocation an element. A chain waits for its own last result, so several must be under way at a time to
 *         fill the pipeline of an arithmetic unit: 4 to 8 on a CPU or GPU. More would not fit a CPU's registers. How
 *         many are best, and whether in vectors, differs between adapters, so it is an option.
 * Memory  One store for 128 operations a round: 32 operations a byte and round, more than any adapter can feed.
 * @module
 */
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

const A = 0.5, B = 1;

/** How the loop is written. */
export interface FmaLoopShape {
  /** Whether a chain is a vector of 4 or a number. */
  readonly vectors: boolean;
  /** Chains of an invocation. */
  readonly chains: number;
  /** Multiply-adds of each chain in a round: one after another in the code. */
  readonly steps: number;
  /** Invocations of a workgroup. */
  readonly size: number;
}

/** Good on most adapters: 16 chains, 128 operations a round. */
const ORDINARY: FmaLoopShape = { vectors: true, chains: 4, steps: 4, size: 64 };

const lanes = ({ vectors }: FmaLoopShape) => vectors ? 4 : 1;

const program = memoize((shape: FmaLoopShape) => {
  const { vectors, steps, size } = shape;
  const type = vectors ? "vec4f" : "f32";
  const chains = Array.from({ length: shape.chains }, (_, k) => `v${k}`);
  const step = chains.map((v) => `${v} = fma(${v}, a, b);`).join(" ");
  return defineProgram({
    name: "fma_loop",
    variant: `${shape.chains} ${type}, ${steps} steps`,
    params: { count: "u32", rounds: "u32", a: "f32", b: "f32" },
    bindings: { y: "write f32" },
    workgroupSize: size,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (own >= params.count) { return; }
  let a = ${type}(params.a);
  let b = ${type}(params.b);
  let first = ${type}(f32(own))${vectors ? " + vec4f(0.0, 1.0, 2.0, 3.0)" : ""};
  ${chains.map((v, k) => `var ${v} = first + ${lanes(shape) * k}.0;`).join("\n  ")}
  for (var i = 0u; i < params.rounds; i++) {
    ${Array(steps).fill(step).join("\n    ")}
  }
  let sum = ${chains.join(" + ")};
  y[own] = ${vectors ? "sum.x + sum.y + sum.z + sum.w" : "sum"};
}`,
  });
});

/** `rounds` rounds for each of `count` elements, of 128 operations if the shape is the ordinary one. */
export function fmaLoop(count: number, rounds: number, shape: FmaLoopShape = ORDINARY): Kernel {
  return {
    program: program(shape),
    params: { count, rounds, a: A, b: B },
    sizes: { y: count },
    workgroups: foldWorkgroups(ceilDiv(count, shape.size)),
    flops: count * rounds * 2 * lanes(shape) * shape.chains * shape.steps,
    bytes: 4 * count,
    reference: () => fmaLoopReference(count, rounds, shape),
  };
}

/** The plain loop. */
export function fmaLoopReference(
  count: number,
  rounds: number,
  shape: FmaLoopShape = ORDINARY,
): { y: Float64Array } {
  const y = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    for (let chain = 0; chain < lanes(shape) * shape.chains; chain++) {
      let v = i + chain;
      for (let step = 0; step < shape.steps * rounds; step++) v = A * v + B;
      y[i] += v;
    }
  }
  return { y };
}
