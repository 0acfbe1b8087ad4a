/**
 * Fused AdamW over an arena: one pass over parameters, gradients and both moments of a whole model.
 *
 * Math    With gradient g (times the clip coefficient), first and second moment m and v, step count k of the tensor:
 *           p = (1 - rate decay) p                        decoupled decay, arXiv:1711.05101
 *           m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2
 *           p = p - rate / (1 - b1^k) m / (sqrt(v) / sqrt(1 - b2^k) + eps)
 * Shapes  p, g, m, v: [4 count] f32, windows of arenas of one layout (arena_layout.ts). `blocks` [count / 16] names the
 *         span (the tensor) of each block of 64 floats, `spans` [spans] what belongs to it:
 *           x = 1 - rate decay, y = rate / (1 - b1^k), z = sqrt(1 - b2^k), w = 1 when it has a gradient, else 0.
 *         These change from step to step, so they are data; a captured step is replayed with new ones.
 * Work    One invocation owns one vec4, in which all four floats have the same span; one without a gradient is left
 *         alone, and all are where a scaler found gradients that are not finite. There is one variant: on a CPU adapter
 *         too, 4 or 16 vec4s an invocation took 1.3 to 1.7 times as long.
 * Memory  28 bytes a parameter: p, m, v read and written, g read. 14 operations on them: bound by memory, which is
 *         why it is one kernel. Neighbouring invocations touch neighbouring vec4s; span and block come from the cache.
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
import { SCALER, SCALER_WORDS } from "./grad_scaler.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

/** What AdamW is told once. */
export interface AdamWConfig {
  /** Decay of the mean of gradients. */
  readonly beta1: number;
  /** Decay of the mean of squared gradients. */
  readonly beta2: number;
  /** Added to the root of the second moment. */
  readonly eps: number;
}

const SIZE = 256;

const program = memoize(({ clip, skip }: { clip: boolean; skip: boolean }) =>
  defineProgram({
    name: "adamw",
    params: {
      count: "u32",
      beta1: "f32",
      // 1 - beta is rounded once from double: in f32, 1 - 0.999 would be off by 5e-5 of itself
      rest1: "f32",
      beta2: "f32",
      rest2: "f32",
      eps: "f32",
    },
    bindings: {
      p: "update vec4<f32>",
      m: "update vec4<f32>",
      v: "update vec4<f32>",
      g: "read vec4<f32>",
      blocks: "read u32",
      spans: "read vec4<f32>",
      ...(clip && { clip: "read f32" as const }),
      ...(skip && { scaler: "read u32" as const }),
    },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i >= params.count) { return; }
  #if ${skip}
  if (scaler[${SCALER.found}] != 0u) { return; }
  #endif
  let span = spans[blocks[i / 16u]];
  if (span.w == 0.0) { return; }
  #if ${clip}
  let gradient = g[i] * clip[0];
  #else
  let gradient = g[i];
  #endif
  let mean = params.beta1 * m[i] + params.rest1 * gradient;
  let square = params.beta2 * v[i] + params.rest2 * gradient * gradient;
  m[i] = mean;
  v[i] = square;
  p[i] = span.x * p[i] - span.y * (mean / (sqrt(square) / span.z + params.eps));
}`,
  })
);

const correctionProgram = memoize((_: null) =>
  defineProgram({
    name: "adamw.corrections",
    params: { count: "u32", log_beta1: "f32", log_beta2: "f32" },
    bindings: { spans: "update vec4<f32>", skips: "read u32" },
    workgroupSize: SIZE,
    code: wgsl`
// 1 - beta^steps from the logarithm of beta: by a series where a difference would cancel
fn correction(log_beta: f32, steps: f32) -> f32 {
  let x = steps * log_beta;
  if (x < -0.5) { return 1.0 - exp(x); }
  var sum = 1.0;
  for (var k = 8.0; k > 1.0; k -= 1.0) { sum = 1.0 + x / k * sum; }
  return -x * sum;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i >= params.count) { return; }
  let span = spans[i];
  if (span.w == 0.0) { return; }
  let steps = max(span.z - f32(skips[i]), 1.0);
  let mean = correction(params.log_beta1, steps);
  spans[i] = vec4f(span.x, span.y / mean, sqrt(correction(params.log_beta2, steps)), 1.0);
}`,
  })
);

/** Logarithms below this are of betas whose powers are 0 in f32. */
const LEAST_LOG = -1e4;

/**
 * Turns y = rate and z = the steps counted by the host into what `adamw` reads, less the steps that were skipped. Where
 * none can be skipped the host does it, in double precision.
 */
export function adamwCorrections(spans: number, { beta1, beta2 }: AdamWConfig): Kernel {
  const [log1, log2] = [beta1, beta2].map((beta) => Math.max(Math.log(beta), LEAST_LOG));
  return {
    program: correctionProgram(null),
    params: { count: spans, log_beta1: log1, log_beta2: log2 },
    sizes: { spans: 4 * spans, skips: spans },
    workgroups: foldWorkgroups(ceilDiv(spans, SIZE)),
    flops: 40 * spans,
    bytes: 36 * spans,
    reference: (inputs) => adamwCorrectionsReference(inputs, { beta1, beta2 }),
  };
}

/** The plain loop, in double precision. */
export function adamwCorrectionsReference(
  { spans, skips }: Values,
  { beta1, beta2 }: Omit<AdamWConfig, "eps">,
): { spans: Float64Array } {
  const out = Float64Array.from(spans);
  for (let i = 0; i < skips.length; i++) {
    if (spans[4 * i + 3] === 0) continue;
    const steps = Math.max(spans[4 * i + 2] - skips[i], 1);
    out[4 * i + 1] = spans[4 * i + 1] / (1 - beta1 ** steps);
    out[4 * i + 2] = Math.sqrt(1 - beta2 ** steps);
  }
  return { spans: out };
}

/** One AdamW step over a window. */
export function adamw(shape: ArenaShape, config: AdamWConfig): Kernel {
  const { floats, spans, clip, skip = false } = shape;
  return {
    program: program({ clip, skip }),
    params: {
      count: floats / 4,
      beta1: config.beta1,
      rest1: 1 - config.beta1,
      beta2: config.beta2,
      rest2: 1 - config.beta2,
      eps: config.eps,
    },
    sizes: {
      p: floats,
      m: floats,
      v: floats,
      g: floats,
      blocks: floats / BLOCK,
      spans: 4 * spans,
      ...(clip && { clip: 1 }),
      ...(skip && { scaler: SCALER_WORDS }),
    },
    workgroups: foldWorkgroups(ceilDiv(floats / 4, SIZE)),
    flops: 14 * floats,
    bytes: 28 * floats + 4 * floats / BLOCK + 16 * spans,
    reference: (inputs) => adamwReference(inputs, config),
  };
}

/** The plain loop, in double precision; by default with the coefficient that is bound. */
export function adamwReference(
  { p, m, v, g, blocks, spans, clip, scaler }: Values,
  { beta1, beta2, eps }: AdamWConfig,
  coefficient: number = clip?.[0] ?? 1,
): { p: Float64Array; m: Float64Array; v: Float64Array } {
  const out = { p: Float64Array.from(p), m: Float64Array.from(m), v: Float64Array.from(v) };
  if (scaler?.[SCALER.found]) return out;
  for (let i = 0; i < p.length; i++) {
    const [decay, rate, correction, active] = [0, 1, 2, 3].map((k) =>
      spans[4 * blocks[Math.floor(i / BLOCK)] + k]
    );
    if (active === 0) continue;
    const gradient = coefficient * g[i];
    out.m[i] = beta1 * m[i] + (1 - beta1) * gradient;
    out.v[i] = beta2 * v[i] + (1 - beta2) * gradient * gradient;
    out.p[i] = decay * p[i] - rate * out.m[i] / (Math.sqrt(out.v[i]) / correction + eps);
  }
  return out;
}
