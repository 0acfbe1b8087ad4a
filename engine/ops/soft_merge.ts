/**
 * Soft routing of tokens to expert slots and back; maths and kernels in kernels/soft_merge.ts (products),
 * kernels/routing_weights.ts (weights) and kernels/entmax_support.ts (products over the support).
 *
 * The weights [B, N, S] are never saved: forward keeps two numbers per row of them, backward makes them again.
 * @module
 */
import {
  supportBySlot,
  supportByToken,
  supportMerge,
  supportScores,
} from "../../kernels/entmax_support.ts";
import {
  entmaxCombineVariant,
  mergePerWorkgroup,
  scoresPerWorkgroup,
} from "../../kernels/entmax_support_workgroup.ts";
import { temperatureGradient } from "../../kernels/routing_weights.ts";
import type { RoutingKind } from "../../kernels/routing_weights.ts";
import { routingBackward, routingForward } from "../../kernels/routing_weights_workgroup.ts";
import type { MergeShape } from "../../kernels/soft_merge.ts";
import { dots, toSlots, toTokens } from "../../kernels/soft_merge_tiled.ts";
import { type GradTarget, record } from "../autograd.ts";
import type { Device } from "../device.ts";
import { autocastCopy } from "../cast.ts";
import { run } from "../dispatch.ts";
import { ShapeError } from "../errors.ts";
import { expectDType, expectFloat, expectShape, type Tensor } from "../tensor.ts";

/** Options of `dispatchMerge`. */
export interface DispatchMergeOptions {
  /** E, number of experts; divides the number of slots. */
  readonly experts: number;
  /** [B, N, S], added to the logits after the division by the temperature; gets no gradient. */
  readonly noise?: Tensor | null;
}

/** Options of `combineMerge`. */
export interface CombineMergeOptions {
  /** How logits become weights: `entmax15` (SpheroMoE) or `softmax` (Soft MoE). */
  readonly kind: RoutingKind;
  /** [B, N, S], added to the logits after the division by the temperature; gets no gradient. */
  readonly noise?: Tensor | null;
}

/**
 * Dispatch: every slot becomes a convex mixture of its image's tokens, u = softmax over tokens(c / t0 + noise)^T x.
 *
 * Gradient: with the weights P and dl = P (x du^T - the sum of P (x du^T) over the tokens): dx = P du, dc = dl / t0,
 * dt0 = -sum(dl c) / t0^2; none for the noise.
 * @param x tokens [B, N, D]
 * @param c scores [B, N, S]; slot e s + j is slot j of expert e
 * @param t0 temperature: a tensor of shape [] (may want a gradient) or a number
 * @returns u [E, B s, D]: row b s + j of expert e
 * @throws {ShapeError} when shapes do not fit, are empty, or `experts` does not divide S
 */
export function dispatchMerge(
  x: Tensor,
  c: Tensor,
  t0: Tensor | number,
  { experts, noise }: DispatchMergeOptions,
): Tensor {
  expectFloat("dispatchMerge: x", x);
  const [batch, tokens, dim] = expectShape("dispatchMerge: x", x, ["B", "N", "D"]);
  const slots = checkScores("dispatchMerge", c, batch, tokens, noise);
  if (!Number.isInteger(experts) || experts < 1 || slots % experts !== 0) {
    throw new ShapeError(`dispatchMerge: ${experts} experts do not divide the ${slots} slots`);
  }
  const shape = mergeShape("dispatchMerge", { batch, tokens, slots, dim, experts });
  const { device } = x, { perExpert } = shape;
  const view = { outer: batch, n: tokens, inner: slots };
  const options = { kind: "softmax", noise: !!noise } as const;
  const temperature = asTensor("dispatchMerge: t0", device, t0);
  const stats = device.empty([2, batch * slots], "f32", "dispatchMerge max and 1/sum");
  const weights = device.empty(c.shape, "f32", "dispatchMerge weights");
  const input = x;
  x = autocastCopy(x);
  const u = device.empty([experts, batch * perExpert, dim], x.dtype, "dispatchMerge");
  const logits = { c, temperature, ...(noise && { noise }) };
  run(routingForward(view, options, device.target), { ...logits, weights, stats });
  run(toSlots(shape, device.target), { weights, x, u });
  record("dispatchMerge", {
    inputs: { x: input, c, t0: temperature },
    outputs: [u],
    saved: { x, c, temperature, noise: noise ?? undefined, stats },
    backward: ({ saved, dOut, needs, target }) => {
      const { x, noise, stats } = saved;
      const logits = { c: saved.c, temperature: saved.temperature, ...(noise && { noise }) };
      const { target: adapter } = device;
      const weights = device.empty([batch, tokens, slots], "f32", "dispatchMerge weights");
      let dx: Tensor | undefined, dc: Tensor | undefined, dt: Tensor | undefined;
      if (needs("c") || needs("t0")) {
        const g = device.empty(weights.shape, "f32", "dispatchMerge dP");
        run(dots(shape, adapter), { x, v: dOut, g });
        dc = device.empty(weights.shape, "f32", "dispatchMerge dc");
        const partials = device.empty([batch * slots], "f32", "dispatchMerge dt0");
        const kernel = routingBackward(view, options, adapter);
        run(kernel, { ...logits, stats, g, weights, dc, partials });
        if (needs("t0")) dt = sumTemperature(partials, saved.temperature, target("t0"));
      } else {
        const again = device.empty(stats.shape, "f32", "dispatchMerge max and 1/sum");
        run(routingForward(view, options, adapter), { ...logits, weights, stats: again });
      }
      if (needs("x")) {
        dx = device.empty(x.shape, x.dtype, "dispatchMerge dx");
        run(toTokens(shape, adapter), { weights, v: dOut, o: dx });
      }
      return { x: dx, c: needs("c") ? dc : undefined, t0: dt };
    },
  });
  return u;
}

/**
 * Combine: every token becomes a convex mixture of its image's slots, o = weights(c / t1 + noise) y with weights that
 * sum to 1 over the slots of a token.
 *
 * Gradient: with the weights W and dl = the gradient of softmax or entmax15 for dW = do y^T: dy = W^T do, dc = dl / t1,
 * dt1 = -sum(dl c) / t1^2; none for the noise.
 * @param c scores [B, N, S]; slot e s + j is slot j of expert e
 * @param t1 temperature: a tensor of shape [] (may want a gradient) or a number
 * @param y outputs of the experts [E, B s, D]: row b s + j of expert e
 * @returns o [B, N, D]
 * @throws {ShapeError} when shapes do not fit or are empty, or there is no such kind
 */
export function combineMerge(
  c: Tensor,
  t1: Tensor | number,
  y: Tensor,
  { kind, noise }: CombineMergeOptions,
): Tensor {
  if (kind !== "softmax" && kind !== "entmax15") {
    throw new ShapeError(`combineMerge(): kind is ${kind}, needs softmax or entmax15`);
  }
  expectFloat("combineMerge: y", y);
  const [batch, tokens] = expectShape("combineMerge: c", c, ["B", "N", "S"]);
  const slots = checkScores("combineMerge", c, batch, tokens, noise);
  const [experts, rows, dim] = expectShape("combineMerge: y", y, ["E", "B s", "D"]);
  if (experts * rows !== batch * slots || slots % experts !== 0) {
    throw new ShapeError(
      `combineMerge: y has shape [${y.shape.join(", ")}], needs [E, B s, D] with E s = ${slots} ` +
        `slots and B = ${batch} images`,
    );
  }
  const shape = mergeShape("combineMerge", { batch, tokens, slots, dim, experts });
  const { device } = y;
  const temperature = asTensor("combineMerge: t1", device, t1);
  const variant = kind === "softmax" ? "dense" : entmaxCombineVariant(shape, device.target);
  const inputs = { c, temperature, source: y, noise: noise ?? undefined };
  return COMBINE[variant]({ shape, device, kind }, inputs);
}

const COMBINE = { dense: denseCombine, lists: listedCombine, workgroup: workgroupCombine };

interface CombineConfig {
  readonly shape: MergeShape;
  readonly device: Device;
  readonly kind: RoutingKind;
}

interface CombineInputs {
  readonly c: Tensor;
  readonly temperature: Tensor;
  /** Outputs of the experts as they were given; within autocast a half copy is read. */
  readonly source: Tensor;
  readonly noise: Tensor | undefined;
}

function denseCombine({ shape, device, kind }: CombineConfig, inputs: CombineInputs): Tensor {
  const { batch, tokens, slots, dim } = shape;
  const { c, temperature, source, noise } = inputs, y = autocastCopy(source);
  const view = { outer: batch * tokens, n: slots, inner: 1 };
  const options = { kind, noise: !!noise };
  const stats = device.empty([2, batch * tokens], "f32", "combineMerge statistics");
  const weights = device.empty(c.shape, "f32", "combineMerge weights");
  const o = device.empty([batch, tokens, dim], y.dtype, "combineMerge");
  const logits = { c, temperature, ...(noise && { noise }) };
  run(routingForward(view, options, device.target), { ...logits, weights, stats });
  run(toTokens(shape, device.target), { weights, v: y, o });
  record("combineMerge", {
    inputs: { c, t1: temperature, y: source },
    outputs: [o],
    saved: { c, temperature, y, noise, stats },
    backward: ({ saved, dOut, needs, target }) => {
      const { c, temperature, noise, stats } = saved;
      const logits = { c, temperature, ...(noise && { noise }) };
      const { target: adapter } = device;
      const g = device.empty(c.shape, "f32", "combineMerge dW");
      run(dots(shape, adapter), { x: dOut, v: saved.y, g });
      const weights = device.empty(c.shape, "f32", "combineMerge weights");
      const dc = device.empty(c.shape, "f32", "combineMerge dc");
      const partials = device.empty([batch * tokens], "f32", "combineMerge dt1");
      const kernel = routingBackward(view, options, adapter);
      run(kernel, { ...logits, stats, g, weights, dc, partials });
      let dy: Tensor | undefined;
      if (needs("y")) {
        dy = device.empty(saved.y.shape, saved.y.dtype, "combineMerge dy");
        run(toSlots(shape, adapter), { weights, x: dOut, u: dy });
      }
      const dt = needs("t1") ? sumTemperature(partials, temperature, target("t1")) : undefined;
      return { c: needs("c") ? dc : undefined, t1: dt, y: dy };
    },
  });
  return o;
}

/** Over the support, listed in memory: three kernels each way, none of which visits a zero twice. */
function listedCombine({ shape, device }: CombineConfig, inputs: CombineInputs): Tensor {
  const { batch, tokens, slots, dim } = shape;
  const { c, temperature, source, noise } = inputs, y = autocastCopy(source);
  const stats = device.empty([2, batch * tokens], "f32", "combineMerge max and threshold");
  const support = device.empty([...c.shape, 2], "f32", "combineMerge support");
  const o = device.empty([batch, tokens, dim], y.dtype, "combineMerge");
  const logits = { c, temperature, ...(noise && { noise }) };
  run(supportByToken(shape, !!noise, true), { ...logits, stats, support });
  run(supportMerge(shape, "tokens"), { support, source: y, y: o });
  record("combineMerge", {
    inputs: { c, t1: temperature, y: source },
    outputs: [o],
    saved: { c, temperature, y, noise, stats },
    backward: ({ saved, dOut, needs, target }) => {
      const { c, temperature, noise, stats, y } = saved;
      const logits = { c, temperature, ...(noise && { noise }) };
      let dc: Tensor | undefined, dt: Tensor | undefined, dy: Tensor | undefined;
      if (needs("c") || needs("t1")) {
        dc = device.empty(c.shape, "f32", "combineMerge dc");
        const support = device.empty([...c.shape, 2], "f32", "combineMerge support");
        const partials = device.empty([batch * tokens], "f32", "combineMerge dt1");
        run(supportByToken(shape, !!noise, false), { ...logits, stats, support });
        run(supportScores(shape), { support, c, temperature, dOut, v: y, dc, partials });
        if (needs("t1")) dt = sumTemperature(partials, temperature, target("t1"));
      }
      if (needs("y")) {
        const support = device.empty([batch * slots, tokens, 2], "f32", "combineMerge support");
        dy = device.empty(y.shape, y.dtype, "combineMerge dy");
        run(supportBySlot(shape, !!noise), { ...logits, stats, support });
        run(supportMerge(shape, "slots"), { support, source: dOut, y: dy });
      }
      return { c: needs("c") ? dc : undefined, t1: dt, y: dy };
    },
  });
  return o;
}

/** Over the support, found again by every workgroup that needs it. */
function workgroupCombine({ shape, device }: CombineConfig, inputs: CombineInputs): Tensor {
  const { batch, tokens, slots, dim } = shape;
  const { c, temperature, source, noise } = inputs, y = autocastCopy(source);
  const view = { outer: batch * tokens, n: slots, inner: 1 };
  const options = { kind: "entmax15", noise: !!noise, weights: false } as const;
  const stats = device.empty([2, batch * tokens], "f32", "combineMerge max and threshold");
  const o = device.empty([batch, tokens, dim], y.dtype, "combineMerge");
  const logits = { c, temperature, ...(noise && { noise }) };
  run(routingForward(view, options, device.target), { ...logits, stats });
  run(mergePerWorkgroup(shape, "tokens", !!noise), { ...logits, stats, source: y, y: o });
  record("combineMerge", {
    inputs: { c, t1: temperature, y: source },
    outputs: [o],
    saved: { c, temperature, y, noise, stats },
    backward: ({ saved, dOut, needs, target }) => {
      const { c, temperature, noise, stats, y } = saved;
      const logits = { c, temperature, ...(noise && { noise }) };
      let dc: Tensor | undefined, dt: Tensor | undefined, dy: Tensor | undefined;
      if (needs("c") || needs("t1")) {
        dc = device.empty(c.shape, "f32", "combineMerge dc");
        const partials = device.empty([batch * tokens], "f32", "combineMerge dt1");
        const kernel = scoresPerWorkgroup(shape, !!noise);
        run(kernel, { ...logits, stats, dOut, v: y, dc, partials });
        if (needs("t1")) dt = sumTemperature(partials, temperature, target("t1"));
      }
      if (needs("y")) {
        dy = device.empty(y.shape, y.dtype, "combineMerge dy");
        const kernel = mergePerWorkgroup(shape, "slots", !!noise);
        run(kernel, { ...logits, stats, source: dOut, y: dy });
      }
      return { c: needs("c") ? dc : undefined, t1: dt, y: dy };
    },
  });
  return o;
}

/** Adds the rows' partial sums into the gradient of a temperature. */
function sumTemperature(
  partials: Tensor,
  temperature: Tensor,
  into: GradTarget | undefined,
): Tensor | undefined {
  const dt = into?.tensor ?? temperature.device.empty([], "f32", "temperature gradient");
  const kernel = temperatureGradient(partials.size, into?.accumulate ?? 0);
  run(kernel, { partials, temperature, dt });
  return into ? undefined : dt;
}

/** A temperature as the tensor that kernels read. */
function asTensor(name: string, device: Device, t: Tensor | number): Tensor {
  if (typeof t === "number") return device.full([], t);
  expectFloat(name, t);
  expectShape(name, t, []);
  return t;
}

/** Checks scores and noise; returns the number of slots. */
function checkScores(
  name: string,
  c: Tensor,
  batch: number,
  tokens: number,
  noise: Tensor | null | undefined,
): number {
  expectDType(`${name}: c`, c, "f32");
  const slots = expectShape(`${name}: c`, c, [batch, tokens, "S"])[2];
  if (noise) {
    expectDType(`${name}: noise`, noise, "f32");
    expectShape(`${name}: noise`, noise, [batch, tokens, slots]);
  }
  return slots;
}

function mergeShape(
  name: string,
  { experts, ...sizes }: Omit<MergeShape, "perExpert"> & { experts: number },
): MergeShape {
  if (Object.values(sizes).some((size) => size === 0)) {
    const { batch, tokens, slots, dim } = sizes;
    throw new ShapeError(
      `${name}(): ${batch} images, ${tokens} tokens, ${slots} slots, ${dim} channels: none may be 0`,
    );
  }
  return { ...sizes, perExpert: sizes.slots / experts };
}
