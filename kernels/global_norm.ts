/**
 * The norm over all gradients of a model, and the coefficient that clips it.
 *
 * Math    norm = sqrt(sum of g^2 over all tensors with a gradient)
 *         coefficient = min(1, most / (norm + 1e-6))       as torch.nn.utils.clip_grad_norm_
 *         The coefficient stays on the GPU: the optimiser's kernel reads it, nothing is read back, no gradient is
 *         rewritten.
 * Shapes  g: windows of the gradient arena (arena_layout.ts), [4 count] f32. `active` [spans] is 1 where a span has a
 *         gradient, else 0: what lies in the arena from earlier steps must not count.
 *         partials [all strips of all windows] -> norm [1], coefficient [1].
 * Work    Pass 1: one workgroup a strip of 16,384 floats; its invocations stride through it, then add as a tree.
 *         Pass 2: one workgroup adds the partials of all windows in the same way.
 * Memory  Each gradient is read once, by neighbouring invocations: 4 bytes for 2 operations. The tree depends on the
 *         layout alone, so two runs give the same bits.
 * @module
 */
import { type ArenaShape, BLOCK } from "./arena_layout.ts";
import {
  ceilDiv,
  defineProgram,
  foldWorkgroups,
  type Kernel,
  memoize,
  type Values,
} from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS, workgroupSum } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

/** Invocations of a workgroup, in both passes. */
const SIZE = 128;

/** vec4s of a strip. */
const STRIP = 4096;

/** Strips, and so partial sums, of a window. */
export function normStrips(floats: number): number {
  return ceilDiv(floats / 4, STRIP);
}

const stripProgram = memoize((_: null) =>
  defineProgram({
    name: "global_norm.strips",
    params: { count: "u32", strips: "u32", first: "u32" },
    bindings: {
      g: "read vec4<f32>",
      blocks: "read u32",
      active_spans: "read f32",
      partials: "write f32",
    },
    workgroupSize: SIZE,
    workgroupBytes: 4 * SIZE,
    code: wgsl`
${workgroupSum(SIZE)}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let strip = ${FOLDED_GROUP};
  if (strip >= params.strips) { return; } // the whole workgroup leaves, so barriers stay legal
  let end = min(params.count, (strip + 1u) * ${STRIP}u);
  var sum = 0.0;
  for (var i = strip * ${STRIP}u + t; i < end; i += WORKGROUP_SIZE) {
    // select, not a product: what an old gradient left may be NaN
    let gradient = select(vec4f(0.0), g[i], active_spans[blocks[i / 16u]] != 0.0);
    sum += dot(gradient, gradient);
  }
  let total = workgroup_sum(sum, t);
  if (t == 0u) { partials[params.first + strip] = total; }
}`,
  })
);

const finishProgram = memoize((_: null) =>
  defineProgram({
    name: "global_norm",
    params: { count: "u32", most: "f32" },
    bindings: { partials: "read f32", norm: "write f32", coefficient: "write f32" },
    workgroupSize: SIZE,
    workgroupBytes: 4 * SIZE,
    code: wgsl`
${workgroupSum(SIZE)}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(local_invocation_index) t: u32) {
  var sum = 0.0;
  for (var i = t; i < params.count; i += WORKGROUP_SIZE) { sum += partials[i]; }
  let total = sqrt(workgroup_sum(sum, t));
  if (t == 0u) {
    norm[0] = total;
    coefficient[0] = min(1.0, params.most / (total + 1e-6));
  }
}`,
  })
);

/**
 * Sums of squares of the strips of one window.
 * @param first index of the window's first partial
 * @param partials partials of all windows
 */
export function normOfStrips(shape: ArenaShape, first: number, partials: number): Kernel {
  const { floats, spans } = shape;
  const strips = normStrips(floats);
  return {
    program: stripProgram(null),
    params: { count: floats / 4, strips, first },
    sizes: { g: floats, blocks: floats / BLOCK, active_spans: spans, partials },
    workgroups: foldWorkgroups(strips),
    flops: 2 * floats,
    bytes: 4 * floats + 4 * floats / BLOCK + 4 * spans + 4 * strips,
    reference: (inputs) => normOfStripsReference(floats, first, partials, inputs),
  };
}

/**
 * The norm from all partial sums, and the clip coefficient.
 * @param most the largest norm that is not clipped
 */
export function normOfPartials(partials: number, most: number): Kernel {
  return {
    program: finishProgram(null),
    params: { count: partials, most },
    sizes: { partials, norm: 1, coefficient: 1 },
    workgroups: [1, 1, 1],
    flops: partials,
    bytes: 4 * partials + 8,
    reference: (inputs) => normOfPartialsReference(inputs.partials, most),
  };
}

/** The plain loop of the strips of one window; partials of other windows stay as they were. */
export function normOfStripsReference(
  floats: number,
  first: number,
  partials: number,
  { g, blocks, active_spans: active }: Values,
): { partials: Float64Array } {
  const sums = new Float64Array(partials).fill(NaN);
  sums.fill(0, first, first + normStrips(floats));
  for (let i = 0; i < floats; i++) {
    // what an old gradient left may be NaN
    if (active[blocks[Math.floor(i / BLOCK)]] === 0) continue;
    sums[first + Math.floor(i / (4 * STRIP))] += g[i] * g[i];
  }
  return { partials: sums };
}

/** The plain loop of the norm from all partial sums. */
export function normOfPartialsReference(
  partials: ArrayLike<number>,
  most: number,
): { norm: number[]; coefficient: number[] } {
  let sum = 0;
  for (let i = 0; i < partials.length; i++) sum += partials[i];
  const norm = Math.sqrt(sum);
  return { norm: [norm], coefficient: [Math.min(1, most / (norm + 1e-6))] };
}
