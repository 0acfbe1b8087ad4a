/**
 * Fused stochastic gradient descent with momentum over an arena.
 *
 * Math    With gradient g (times the clip coefficient), decay d, momentum u, rate r:
 *           s = g + d p                  decay is part of the gradient here
 *           b = u b + s                  momentum buffer, 0 before the first step
 *           p = p - r b                  or, Nesterov: p - r (s + u b)
 * Shapes  p, g, b: [4 count] f32, windows of arenas of one layout (arena_layout.ts). `blocks` [count / 16] names the
 *         span of each block; `spans` [spans]: x = decay, y = rate, w = 1 when it has a gradient, else 0.
 * Work    One invocation owns one vec4, in which all four floats have the same span; one without a gradient is left alone,
 *         and all are where a scaler found gradients that are not finite.
 * Memory  20 bytes a parameter (12 without momentum) for 4 to 9 operations: bound by memory, which is why it is one
 *         kernel. Neighbouring invocations touch neighbouring vec4s; span and block come from the cache.
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

/** What SGD is told once. */
export interface SgdConfig {
  /** 0 means none: no buffer is bound. */
  readonly momentum: number;
  /** Look ahead along the momentum. */
  readonly nesterov: boolean;
}

const SIZE = 256;

interface Code {
  readonly clip: boolean;
  readonly skip: boolean;
  readonly momentum: boolean;
  readonly nesterov: boolean;
}

const program = memoize(({ clip, skip, momentum, nesterov }: Code) =>
  defineProgram({
    name: "sgd",
    variant: nesterov ? "nesterov" : momentum ? "momentum" : "readable",
    params: { count: "u32", momentum: "f32" },
    bindings: {
      p: "update vec4<f32>",
      g: "read vec4<f32>",
      blocks: "read u32",
      spans: "read vec4<f32>",
      ...(momentum && { b: "update vec4<f32>" as const }),
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
  var step = gradient + span.x * p[i];
  #if ${momentum}
  let velocity = params.momentum * b[i] + step;
  b[i] = velocity;
  #if ${nesterov}
  step += params.momentum * velocity;
  #else
  step = velocity;
  #endif
  #endif
  p[i] -= span.y * step;
}`,
  })
);

/** One SGD step over a window. */
export function sgd(shape: ArenaShape, config: SgdConfig): Kernel {
  const { floats, spans, clip, skip = false } = shape;
  const momentum = config.momentum !== 0;
  return {
    program: program({ clip, skip, momentum, nesterov: momentum && config.nesterov }),
    params: { count: floats / 4, momentum: config.momentum },
    sizes: {
      p: floats,
      g: floats,
      blocks: floats / BLOCK,
      spans: 4 * spans,
      ...(momentum && { b: floats }),
      ...(clip && { clip: 1 }),
      ...(skip && { scaler: SCALER_WORDS }),
    },
    workgroups: foldWorkgroups(ceilDiv(floats / 4, SIZE)),
    flops: (momentum ? 8 : 4) * floats,
    bytes: (momentum ? 20 : 12) * floats + 4 * floats / BLOCK + 16 * spans,
    reference: (inputs) => sgdReference(inputs, config),
  };
}

/** The plain loop, in double precision; by default with the coefficient that is bound. `b` is bound with momentum. */
export function sgdReference(
  { p, g, b = [], blocks, spans, clip, scaler }: Values,
  { momentum, nesterov }: SgdConfig,
  coefficient: number = clip?.[0] ?? 1,
): { p: Float64Array; b: Float64Array } {
  const out = { p: Float64Array.from(p), b: Float64Array.from(b) };
  if (scaler?.[SCALER.found]) return out;
  for (let i = 0; i < p.length; i++) {
    const row = 4 * blocks[Math.floor(i / BLOCK)];
    const decay = spans[row], rate = spans[row + 1], active = spans[row + 3];
    if (active === 0) continue;
    const gradient = coefficient * g[i] + decay * p[i];
    if (momentum !== 0) out.b[i] = momentum * b[i] + gradient;
    const velocity = momentum !== 0 ? out.b[i] : gradient;
    out.p[i] -= rate * (nesterov && momentum !== 0 ? gradient + momentum * velocity : velocity);
  }
  return out;
}
