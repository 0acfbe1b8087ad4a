/**
 * AdamW; the maths and the kernel are in kernels/adamw.ts.
 * @module
 */
import { adamw, type AdamWConfig, adamwCorrections } from "../../kernels/adamw.ts";
import type { ArenaShape } from "../../kernels/arena_layout.ts";
import { run } from "../../engine/dispatch.ts";
import { ShapeError } from "../../engine/errors.ts";
import type { Tensor } from "../../engine/tensor.ts";
import {
  type NamedParameters,
  Optimizer,
  type OptimizerOptions,
  type ParameterGroup,
  type SpanSettings,
  type StepTensors,
} from "./optimizer.ts";

/** Options of `AdamW`; defaults are PyTorch's. */
export interface AdamWOptions extends Partial<OptimizerOptions> {
  /** Decay of the two moments; default [0.9, 0.999]. */
  betas?: readonly [number, number];
  /** Added to the root of the second moment; default 1e-8. */
  eps?: number;
}

/**
 * Adam with decoupled weight decay (arXiv:1711.05101), as `torch.optim.AdamW`. Default rate 0.001, decay 0.01.
 * @example
 * ```ts ignore
 * const optimizer = new AdamW(model.namedParameters(), { lr: 1e-3, weightDecay: 0.05 });
 * ```
 */
export class AdamW extends Optimizer {
  readonly #config: AdamWConfig;

  /**
   * Packs the parameters and makes room for gradients and moments.
   * @throws {ShapeError} for options out of range, no parameter, or one given twice
   */
  constructor(
    params: NamedParameters | readonly ParameterGroup[],
    options: AdamWOptions = {},
  ) {
    const { betas: [beta1, beta2] = [0.9, 0.999], eps = 1e-8 } = options;
    if (!(beta1 >= 0 && beta1 < 1 && beta2 >= 0 && beta2 < 1 && eps >= 0)) {
      throw new ShapeError(`AdamW: betas must be in [0, 1) and eps at least 0, got ${[
        beta1,
        beta2,
        eps,
      ]}`);
    }
    super(params, { lr: 1e-3, weightDecay: 0.01, ...options }, ["exp_avg", "exp_avg_sq"]);
    this.#config = { beta1, beta2, eps };
  }

  /** The numbers of a span, see kernels/adamw.ts; computed in double precision, as PyTorch does. */
  protected override spanValues(
    { rate, decay, step }: SpanSettings,
  ): readonly [number, number, number, 1] {
    const { beta1, beta2 } = this.#config;
    const correction = Math.sqrt(1 - beta2 ** step);
    return [1 - rate * decay, rate / (1 - beta1 ** step), correction, 1];
  }

  /** Rate and number of the step; the rest is `adamwCorrections`. */
  protected override unfinishedSpanValues(
    { rate, decay, step }: SpanSettings,
  ): readonly [number, number, number, 1] {
    return [1 - rate * decay, rate, step, 1];
  }

  /** Appends the kernel that makes bias corrections of steps. */
  protected override correct(spans: Tensor, skips: Tensor): void {
    run(adamwCorrections(skips.size, this.#config), { spans, skips });
  }

  /** Appends the kernel for one window. */
  protected override launch(
    shape: ArenaShape,
    { p, g, moments: [m, v], blocks, spans, clip, scaler }: StepTensors,
  ): void {
    const optional = { ...(clip && { clip }), ...(scaler && { scaler }) };
    run(adamw(shape, this.#config), { p, g, m, v, blocks, spans, ...optional });
  }
}
