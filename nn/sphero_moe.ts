/**
 * SpheroMoE: the mixture-of-experts layer of MoE Jetpack (arXiv:2406.04801, section 3.3), with its parameter names.
 *
 *     c = <x / |x|, l2(LN(phi))>                 cosine of every token with every slot, on the unit sphere
 *     u = softmax over tokens(c / t0)^T x        dispatch
 *     y = core experts (large), universal experts (small) on their slots
 *     o = entmax15 over slots(c / t1) y          combine: most weights are exactly 0
 *
 * Slots are expert-major: those of the core experts first. The temperatures are learned and unconstrained.
 * With several heads, routing is done for each part of the channels alone; the experts see whole tokens.
 * @module
 */
import { cosineScores, sphereQueries } from "../engine/ops/cosine_routing.ts";
import { div } from "../engine/ops/arithmetic.ts";
import { entmax15 } from "../engine/ops/entmax.ts";
import { reshape } from "../engine/ops/reshape.ts";
import { softmax } from "../engine/ops/softmax.ts";
import { concat, slice } from "../engine/ops/shape_ops.ts";
import { combineMerge, dispatchMerge } from "../engine/ops/soft_merge.ts";
import { ShapeError } from "../engine/errors.ts";
import type { Tensor } from "../engine/tensor.ts";
import { checkAmount, checkCount } from "./check.ts";
import { DropPath } from "./drop_path.ts";
import { Experts, OffsetScale } from "./experts.ts";
import { constant, orthogonal } from "./init.ts";
import { LayerNorm } from "./layer_norm.ts";
import { Module } from "./module.ts";
import { type MoeConfig, onTokens, routingNoise } from "./moe_input.ts";
import { Parameter } from "./parameter.ts";

/** Options of `SpheroMoe`. */
export interface SpheroMoeConfig extends MoeConfig {
  /** Large experts. */
  coreExperts: number;
  /** Small experts. */
  univExperts: number;
  /** Hidden neurons of a large expert; default 4 dim. */
  coreHidden?: number;
  /** Hidden neurons of a small expert; default dim. */
  univHidden?: number;
  /** Parts of the channels that are routed alone; default 1. */
  heads?: number;
  /** First temperatures of dispatch and combine, not 0; default [0.5, 0.5], the authors'. */
  temperatures?: readonly [dispatch: number, combine: number];
}

/**
 * A layer of tokens [B, N, D] (or a map [B, H, W, D]) to the same shape. Keys `phi` [E, slots, D], `slot_norm`,
 * `scales.0` and `scales.1` [] (temperatures t0 and t1), `phi_key_proj`, `phi_query_proj`, `core_experts`,
 * `univ_experts`.
 */
export class SpheroMoe extends Module {
  /** Embeddings of the slots, [E, slots, D], core experts first; they start orthogonal. */
  readonly phi: Parameter;
  /** The temperatures: dispatch, combine. */
  readonly scales: readonly [Parameter, Parameter];
  /** The large experts. */
  readonly coreExperts: Experts;
  /** The small experts. */
  readonly univExperts: Experts;
  readonly #heads: number;
  readonly #slotNorm: LayerNorm | null;
  readonly #keyProj: OffsetScale | null;
  readonly #queryProj: OffsetScale | null;
  readonly #noise: Pick<MoeConfig, "addNoise" | "noiseMult">;
  readonly #dropPath: DropPath;

  /**
   * Experts on `dim` channels.
   * @throws {ShapeError} when `dim` is no multiple of the heads, queries are projected with several heads, or a setting
   *   is none
   */
  constructor(/** Channels, D. */ readonly dim: number, config: SpheroMoeConfig) {
    super();
    const { coreExperts, univExperts, coreHidden = 4 * dim, univHidden = dim, heads = 1 } = config;
    const { slotsPerExpert = 1, noiseMult = 1, temperatures = [0.5, 0.5] } = config;
    for (const [name, n] of Object.entries({ coreExperts, univExperts, slotsPerExpert, heads })) {
      checkCount("SpheroMoe", name, n);
    }
    checkAmount("SpheroMoe", "noiseMult", noiseMult);
    for (const t of temperatures) {
      if (!Number.isFinite(t) || t === 0) {
        throw new ShapeError(`SpheroMoe: a temperature is ${t}, needs a number other than 0`);
      }
    }
    if (!Number.isInteger(dim / heads)) {
      throw new ShapeError(`SpheroMoe: dim ${dim} is not divisible by ${heads} heads`);
    }
    if (config.queryProj && heads > 1) {
      throw new ShapeError(
        "SpheroMoe: queryProj works with one head only; the authors' code fails there too",
      );
    }
    const shape = [coreExperts + univExperts, slotsPerExpert, dim];
    this.phi = this.parameter("phi", new Parameter(shape, orthogonal()));
    this.#slotNorm = config.slotLayernorm
      ? this.child("slot_norm", new LayerNorm(dim / heads))
      : null;
    this.scales = this.child("scales", new Temperatures(temperatures)).both;
    const proj = (name: string) => this.child(name, new OffsetScale(dim / heads));
    this.#keyProj = config.keyProj ? proj("phi_key_proj") : null;
    this.#queryProj = config.queryProj ? proj("phi_query_proj") : null;
    this.coreExperts = this.child(
      "core_experts",
      new Experts(coreExperts, dim, coreHidden, config),
    );
    this.univExperts = this.child(
      "univ_experts",
      new Experts(univExperts, dim, univHidden, config),
    );
    this.#heads = heads;
    this.#noise = { addNoise: config.addNoise, noiseMult };
    this.#dropPath = this.child("expert_drop", new DropPath(config.dropPath ?? 0));
  }

  /** Mixes, applies the experts, mixes back. @throws {ShapeError} for another number of channels */
  forward(x: Tensor): Tensor {
    return onTokens("SpheroMoe", x, this.dim, (tokens) => this.#mix(tokens));
  }

  /**
   * How much of each token every slot reads: [B, N, E slots], summing to 1 over the tokens; without noise.
   * @throws {ShapeError} with several heads, which have weights of their own
   */
  dispatchWeights(x: Tensor): Tensor {
    return softmax(div(this.#scores("dispatchWeights", x), this.scales[0]), 1);
  }

  /**
   * How much of each slot's answer every token takes: [B, N, E slots], summing to 1 over the slots; without noise.
   * @throws {ShapeError} with several heads, which have weights of their own
   */
  combineWeights(x: Tensor): Tensor {
    return entmax15(div(this.#scores("combineWeights", x), this.scales[1]), 2);
  }

  #scores(method: string, x: Tensor): Tensor {
    if (this.#heads > 1) {
      throw new ShapeError(`SpheroMoe.${method}(): the layer has ${this.#heads} heads, needs 1`);
    }
    return cosineScores(this.#keyProj?.forward(x) ?? x, this.#queries()[0]);
  }

  #mix(x: Tensor): Tensor {
    const experts = this.phi.shape[0];
    const queries = this.#queries();
    const heads = this.#split(x, 2).map((tokens, h) => {
      const key = this.#keyProj?.forward(tokens) ?? tokens;
      const c = cosineScores(key, queries[h]);
      const noise = routingNoise(this.#noise, c, this.training);
      const u = dispatchMerge(tokens, c, this.scales[0], { experts, noise });
      return { c, noise, u };
    });
    const y = this.#split(this.#experts(joined(heads.map(({ u }) => u))), 2);
    const o = heads.map(({ c, noise }, h) =>
      combineMerge(c, this.scales[1], y[h], { kind: "entmax15", noise })
    );
    // Combining is linear in the experts' outputs, so dropping all of a sample's may come after it.
    return this.#dropPath.forward(joined(o));
  }

  /** Slot queries [E slots, D / heads] of each head. */
  #queries(): Tensor[] {
    const phi = this.#queryProj?.forward(this.phi) ?? this.phi;
    const { weight, bias, eps } = this.#slotNorm ?? {};
    const [experts, slots, dim] = phi.shape, width = dim / this.#heads;
    const parts = reshape(phi, [experts * slots, this.#heads, width]);
    return this.#split(sphereQueries(parts, weight, bias, eps), 1)
      .map((part) => reshape(part, [experts * slots, width]));
  }

  /** Rows of all slots [E, M, D]: each path on its own part. */
  #experts(u: Tensor): Tensor {
    const core = this.coreExperts.count, all = core + this.univExperts.count;
    return concat([
      this.coreExperts.forward(slice(u, 0, 0, core)),
      this.univExperts.forward(slice(u, 0, core, all)),
    ], 0);
  }

  #split(x: Tensor, axis: number): Tensor[] {
    if (this.#heads === 1) return [x];
    const width = x.shape[axis] / this.#heads;
    return Array.from(
      { length: this.#heads },
      (_, h) => slice(x, axis, h * width, (h + 1) * width),
    );
  }
}

/** Side by side along the channels. */
function joined(parts: readonly Tensor[]): Tensor {
  return parts.length === 1 ? parts[0] : concat(parts, 2);
}

/** The two learned temperatures, keys `0` and `1`. */
class Temperatures extends Module {
  readonly both: readonly [Parameter, Parameter];

  constructor([dispatch, combine]: readonly [number, number]) {
    super();
    this.both = [
      this.parameter("0", new Parameter([], constant(dispatch))),
      this.parameter("1", new Parameter([], constant(combine))),
    ];
  }
}
