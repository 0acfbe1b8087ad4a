/**
 * Dynamic loss scaling: what keeps the gradients of half activations from vanishing, with nothing read back.
 *
 * Math    The loss is multiplied by s before the backward, so gradients come out s times as large. Then
 *           unscale   g = g / s;  found = 1 when any g is NaN or infinite
 *           (the optimiser's kernels leave everything alone where found is 1)
 *           update    found:  s = backoff s, good = 0, skipped = skipped + 1
 *                     else:   good = good + 1; at `interval`: s = growth s (unless that is infinite), good = 0
 *                     found = 0
 *           skips   found: each tensor that has a gradient counts a step that it did not take
 *         As torch.amp.GradScaler does (arXiv:1710.03740, section 3.2). With powers of two nothing is rounded.
 * Shapes  state [4] u32: the bits of s, good, found, skipped. g [4 count] f32, a window of the gradients' arena; `blocks`
 *         [count / 16] names the span of each block of 64 floats, `active_spans` [spans] is 1 for those that have a
 *         gradient: what an old one left elsewhere must not count. skips [spans] u32.
 * Work    unscale: one invocation a vec4; several may store the same 1, so no atomic is needed. skips: one a tensor.
 *         update: one.
 * Memory  8 bytes a parameter: g read and written. The test for NaN is on the bits, as in non_finite.ts.
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
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

/** Words of `state`. */
export const SCALER_WORDS = 4;
/** Which word of `state` is what. */
export const SCALER = { scale: 0, good: 1, found: 2, skipped: 3 } as const;

/** How the scale moves. */
export interface ScalerConfig {
  /** Factor after `interval` good steps in a row. */
  readonly growth: number;
  /** Factor after a step whose gradients were not finite. */
  readonly backoff: number;
  /** Good steps until the scale grows. */
  readonly interval: number;
}

const SIZE = 256;

const unscaleProgram = memoize((_: null) =>
  defineProgram({
    name: "grad_scaler.unscale",
    params: { count: "u32" },
    bindings: {
      g: "update vec4<f32>",
      blocks: "read u32",
      active_spans: "read f32",
      state: "update u32",
    },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i >= params.count) { return; }
  if (active_spans[blocks[i / 16u]] == 0.0) { return; }
  let gradient = g[i] * (1.0 / bitcast<f32>(state[${SCALER.scale}]));
  g[i] = gradient;
  if (any((bitcast<vec4u>(gradient) & vec4u(0x7f800000u)) == vec4u(0x7f800000u))) {
    state[${SCALER.found}] = 1u;
  }
}`,
  })
);

const updateProgram = memoize((_: null) =>
  defineProgram({
    name: "grad_scaler.update",
    params: { growth: "f32", backoff: "f32", interval: "u32" },
    bindings: { state: "update u32" },
    workgroupSize: 1,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main() {
  var scale = bitcast<f32>(state[${SCALER.scale}]);
  var good = state[${SCALER.good}] + 1u;
  if (state[${SCALER.found}] != 0u) {
    scale *= params.backoff;
    good = 0u;
    state[${SCALER.skipped}] += 1u;
  } else if (good >= params.interval) {
    let grown = scale * params.growth;
    if ((bitcast<u32>(grown) & 0x7f800000u) != 0x7f800000u) { scale = grown; }
    good = 0u;
  }
  state[${SCALER.scale}] = bitcast<u32>(scale);
  state[${SCALER.good}] = good;
  state[${SCALER.found}] = 0u;
}`,
  })
);

const skipsProgram = memoize((_: null) =>
  defineProgram({
    name: "grad_scaler.skips",
    params: { count: "u32" },
    bindings: { state: "read u32", active_spans: "read f32", skips: "update u32" },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i >= params.count || state[${SCALER.found}] == 0u || active_spans[i] == 0.0) { return; }
  skips[i] += 1u;
}`,
  })
);

/** Counts a skipped step for each of `spans` tensors that would have taken part in it. */
export function countSkips(spans: number): Kernel {
  return {
    program: skipsProgram(null),
    params: { count: spans },
    sizes: { state: SCALER_WORDS, active_spans: spans, skips: spans },
    workgroups: foldWorkgroups(ceilDiv(spans, SIZE)),
    flops: 0,
    bytes: 12 * spans + 4 * SCALER_WORDS,
    reference: ({ state, active_spans: active, skips }) => ({
      skips: Float64Array.from(
        skips,
        (count, i) => count + Number(state[SCALER.found] !== 0 && active[i] !== 0),
      ),
    }),
  };
}

/** Divides the gradients of one window by the scale and looks for those that are not finite. */
export function unscaleGradients({ floats, spans }: ArenaShape): Kernel {
  return {
    program: unscaleProgram(null),
    params: { count: floats / 4 },
    sizes: { g: floats, blocks: floats / BLOCK, active_spans: spans, state: SCALER_WORDS },
    workgroups: foldWorkgroups(ceilDiv(floats / 4, SIZE)),
    flops: floats,
    bytes: 8 * floats + 4 * floats / BLOCK + 4 * spans + 4 * SCALER_WORDS,
    reference: unscaleReference,
  };
}

/** Moves the scale after a step and forgets whether it was skipped. */
export function updateScale({ growth, backoff, interval }: ScalerConfig): Kernel {
  return {
    program: updateProgram(null),
    params: { growth, backoff, interval },
    sizes: { state: SCALER_WORDS },
    workgroups: [1, 1, 1],
    flops: 1,
    bytes: 8 * SCALER_WORDS,
    reference: ({ state }) => updateReference(state, { growth, backoff, interval }),
  };
}

const words = new Uint32Array(1), float = new Float32Array(words.buffer);

/** The f32 that a word of `state` holds. */
export function scaleOf(word: number): number {
  words[0] = word;
  return float[0];
}

/** The plain loop of `unscaleGradients`. */
export function unscaleReference(
  { g, blocks, active_spans: active, state }: Values,
): { g: Float64Array; state: Float64Array } {
  const out = { g: Float64Array.from(g), state: Float64Array.from(state) };
  const inverse = 1 / scaleOf(state[SCALER.scale]);
  for (let i = 0; i < g.length; i++) {
    if (active[blocks[Math.floor(i / BLOCK)]] === 0) continue;
    out.g[i] = g[i] * inverse;
    if (!Number.isFinite(Math.fround(out.g[i]))) out.state[SCALER.found] = 1;
  }
  return out;
}

/** The plain loop of `updateScale`. */
export function updateReference(
  state: ArrayLike<number>,
  { growth, backoff, interval }: ScalerConfig,
): { state: Float64Array } {
  let scale = scaleOf(state[SCALER.scale]);
  let good = state[SCALER.good] + 1, skipped = state[SCALER.skipped];
  if (state[SCALER.found] !== 0) {
    scale *= backoff;
    good = 0;
    skipped++;
  } else if (good >= interval) {
    if (Number.isFinite(Math.fround(scale * growth))) scale *= growth;
    good = 0;
  }
  float[0] = scale;
  return { state: Float64Array.of(words[0], good, 0, skipped) };
}
