/**
 * Stochastic gradient descent; the maths and the kernel are in kernels/sgd.ts.
 * @module
 */
import { sgd, type SgdConfig } from "../../kernels/sgd.ts";
import type { ArenaShape } from "../../kernels/arena_layout.ts";
import { run } from "../../engine/dispatch.ts";
import { ShapeError } from "../../engine/errors.ts";
import {
  type NamedParameters,
  Optimizer,
  type OptimizerOptions,
  type ParameterGroup,
  type SpanSettings,
  type StepTensors,
} from "./optimizer.ts";

/** Options of `SGD`. */
export interface SgdOptions extends OptimizerOptions {
  /** Part of the last step that is kept; default 0. */
  momentum?: number;
  /** Look ahead along the momentum; default false. */
  nesterov?: boolean;
}

/** Gradient descent with momentum, weight decay as part of the gradient; as `torch.optim.SGD` without dampening. */
export class SGD extends Optimizer {
  readonly #config: SgdConfig;

  /**
   * Packs the parameters and makes room for gradients and moments.
   * @throws {ShapeError} for options out of range, no parameter, or one given twice
   */
  constructor(params: NamedParameters | readonly ParameterGroup[], options: SgdOptions) {
    const { momentum = 0, nesterov = false } = options;
    if (!(momentum >= 0 && momentum < 1) || (nesterov && momentum === 0)) {
      throw new ShapeError(
        `SGD: momentum must be in [0, 1), and above 0 with nesterov, got ${momentum}`,
      );
    }
    super(params, options, momentum === 0 ? [] : ["momentum_buffer"]);
    this.#config = { momentum, nesterov };
  }

  /** The numbers of a span, see kernels/sgd.ts. */
  protected override spanValues(
    { rate, decay }: SpanSettings,
  ): readonly [number, number, number, 1] {
    return [decay, rate, 0, 1];
  }

  /** Appends the kernel for one window. */
  protected override launch(
    shape: ArenaShape,
    { p, g, moments: [b], blocks, spans, clip, scaler }: StepTensors,
  ): void {
    run(sgd(shape, this.#config), {
      p,
      g,
      blocks,
      spans,
      ...(b && { b }),
      ...(clip && { clip }),
      ...(scaler && { scaler }),
    });
  }
}
