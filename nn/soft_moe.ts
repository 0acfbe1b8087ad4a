/**
 * Soft Mixture of Experts (arXiv:2308.00951, algorithm 1) as MoE Jetpack's code has it, with its parameter names.
 *
 *     c = <key(x), scale query(phi)>          every token with every slot
 *     u = softmax over tokens(c)^T x          dispatch: each slot a mixture of tokens
 *     y = expert of the slot (u)
 *     o = softmax over slots(c) y             combine: each token a mixture of slots
 *
 * With a slot layer norm the keys are the tokens themselves and the queries layer-normed; without, both have length 1.
 * @module
 */
import { mul } from "../engine/ops/arithmetic.ts";
import { cosineScores } from "../engine/ops/cosine_routing.ts";
import { l2Normalize } from "../engine/ops/l2_normalize.ts";
import { combineMerge, dispatchMerge } from "../engine/ops/soft_merge.ts";
import { softmax } from "../engine/ops/softmax.ts";
import type { Tensor } from "../engine/tensor.ts";
import { checkAmount, checkCount } from "./check.ts";
import { DropPath } from "./drop_path.ts";
import { Experts, OffsetScale } from "./experts.ts";
import { normal, ones } from "./init.ts";
import { LayerNorm } from "./layer_norm.ts";
import { Module } from "./module.ts";
import { type MoeConfig, onTokens, routingNoise } from "./moe_input.ts";
import { Parameter } from "./parameter.ts";

/** Options of `SoftMoe`. */
export interface SoftMoeConfig extends MoeConfig {
  /** Experts. */
  experts: number;
  /** Hidden neurons of each; default 4 dim. */
  hidden?: number;
  /** Learned scale and offset of channels around the experts; default false. */
  layerScale?: boolean;
}

/**
 * A layer of tokens [B, N, D] (or a map [B, H, W, D]) to the same shape. Keys `phi` [E, slots, D], `scale` [],
 * `slot_norm`, `phi_key_proj`, `phi_query_proj`, `experts`.
 */
export class SoftMoe extends Module {
  /** Embeddings of the slots, [E, slots, D]. */
  readonly phi: Parameter;
  /** Factor on the queries, []. */
  readonly scale: Parameter;
  /** The experts. */
  readonly experts: Experts;
  readonly #slotNorm: LayerNorm | null;
  readonly #keyProj: OffsetScale | null;
  readonly #queryProj: OffsetScale | null;
  readonly #noise: Pick<MoeConfig, "addNoise" | "noiseMult">;
  readonly #dropPath: DropPath;

  /** Experts on `dim` channels. @throws {ShapeError} for a setting that is none */
  constructor(/** Channels, D. */ readonly dim: number, config: SoftMoeConfig) {
    super();
    const { experts, hidden = 4 * dim, slotsPerExpert = 1, dropPath = 0 } = config;
    checkCount("SoftMoe", "experts", experts);
    checkCount("SoftMoe", "slotsPerExpert", slotsPerExpert);
    checkAmount("SoftMoe", "noiseMult", config.noiseMult ?? 1);
    const start = normal(1 / Math.sqrt(dim));
    this.phi = this.parameter("phi", new Parameter([experts, slotsPerExpert, dim], start));
    this.scale = this.parameter("scale", new Parameter([], ones));
    this.#slotNorm = config.slotLayernorm ? this.child("slot_norm", new LayerNorm(dim)) : null;
    const proj = (name: string) => this.child(name, new OffsetScale(dim));
    this.#keyProj = config.keyProj ? proj("phi_key_proj") : null;
    this.#queryProj = config.queryProj ? proj("phi_query_proj") : null;
    this.experts = this.child("experts", new Experts(experts, dim, hidden, config));
    this.#noise = { addNoise: config.addNoise, noiseMult: config.noiseMult };
    this.#dropPath = this.child("expert_drop", new DropPath(dropPath));
  }

  /** Mixes, applies the experts, mixes back. @throws {ShapeError} for another number of channels */
  forward(x: Tensor): Tensor {
    return onTokens("SoftMoe", x, this.dim, (tokens) => this.#mix(tokens));
  }

  /** How much of each token every slot reads: [B, N, E slots], summing to 1 over the tokens; without noise. */
  dispatchWeights(x: Tensor): Tensor {
    return softmax(this.#scores(x), 1);
  }

  /** How much of each slot's answer every token takes: [B, N, E slots], summing to 1 over the slots; without noise. */
  combineWeights(x: Tensor): Tensor {
    return softmax(this.#scores(x), 2);
  }

  #scores(x: Tensor): Tensor {
    const key = this.#keyProj?.forward(x) ?? x;
    const phi = this.#queryProj?.forward(this.phi) ?? this.phi;
    const query = mul(this.#slotNorm?.forward(phi) ?? l2Normalize(phi), this.scale);
    return cosineScores(key, query, { normalizeKeys: this.#slotNorm === null });
  }

  #mix(x: Tensor): Tensor {
    const c = this.#scores(x);
    const noise = routingNoise(this.#noise, c, this.training);
    const u = dispatchMerge(x, c, 1, { experts: this.experts.count, noise });
    const o = combineMerge(c, 1, this.experts.forward(u), { kind: "softmax", noise });
    // Combining is linear in the experts' outputs, so dropping all of a sample's may come after it.
    return this.#dropPath.forward(o);
  }
}
