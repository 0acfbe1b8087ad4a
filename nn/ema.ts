/**
 * A moving average of a model's weights, which often classifies better than the weights themselves (timm's
 * `ModelEmaV3`).
 *
 *     average <- d average + (1 - d) weights,   d = min(decay, (1 + t) / (10 + t)) at update t
 *
 * so that the first weights are soon forgotten. The average has the layout of the optimiser's parameters: an update is
 * one launch an op, whatever the number of tensors.
 * @module
 */
import { noGrad } from "../engine/autograd.ts";
import { CheckpointError, ShapeError } from "../engine/errors.ts";
import { add, mul, sub } from "../engine/ops/arithmetic.ts";
import { Tensor } from "../engine/tensor.ts";
import { type Optimizer, type ParameterCopy, readPlaces } from "./optim/optimizer.ts";
import { writeParts } from "./parameter.ts";
import { checkEntry, matchState, type StateEntry } from "./state_dict.ts";

/** What an average remembers. */
export interface EmaState {
  /** Updates so far. */
  readonly updates: number;
  /** The average, by parameter. */
  readonly tensors: ReadonlyMap<string, StateEntry>;
}

/** The average of the parameters that an optimiser moves. */
export class Ema {
  readonly #optimizer: Optimizer;
  readonly #average: ParameterCopy;
  readonly #share: Tensor;
  #updates = 0;

  /**
   * Starts at the parameters' values.
   * @throws {ShapeError} decay is not in [0, 1)
   */
  constructor(
    optimizer: Optimizer,
    /** Largest share of the average that an update keeps. */ readonly decay: number,
  ) {
    if (!(decay >= 0 && decay < 1)) {
      throw new ShapeError(`Ema: decay must be in [0, 1), got ${decay}`);
    }
    const { device } = optimizer;
    this.#optimizer = optimizer;
    this.#average = optimizer.parameterCopy("weight average");
    const buffer = device.persistent(1, "share of new weights");
    this.#share = new Tensor(device, [1], "f32", { buffer, offset: 0 });
  }

  /** Takes the weights in, after `optimizer.step()` and in the same step. */
  update(): void {
    const { device } = this.#optimizer;
    device.writeEachStep(this.#share, () => {
      const t = this.#updates++;
      return Float32Array.of(1 - Math.min(this.decay, (1 + t) / (10 + t)));
    });
    noGrad(() => {
      for (const { weights, copy } of this.#average.windows) {
        device.copy(add(copy, mul(sub(weights, copy), this.#share)), copy);
      }
    });
  }

  /** Exchanges the model's weights and the average: to evaluate or save it, and to go on afterwards. */
  swap(): void {
    const { device } = this.#optimizer;
    device.step(() => {
      for (const { weights, copy } of this.#average.windows) {
        const kept = device.empty(weights.shape, "f32", "weights");
        device.copy(weights, kept);
        device.copy(copy, weights);
        device.copy(kept, copy);
      }
    });
  }

  /** What it remembers. */
  async state(): Promise<EmaState> {
    return { updates: this.#updates, tensors: await readPlaces(this.#average.places) };
  }

  /**
   * Goes on where the average of `state` stood.
   * @throws {CheckpointError} it is of other parameters, or `updates` is no count; nothing is changed then
   */
  loadState({ updates, tensors }: EmaState): void {
    const { places } = this.#average;
    for (const [name, entry] of tensors) checkEntry("Ema.loadState()", name, entry);
    matchState(
      "Ema.loadState()",
      places,
      new Map([...tensors].map(([n, { shape }]) => [n, shape])),
    );
    if (!Number.isSafeInteger(updates) || updates < 0) {
      throw new CheckpointError(`Ema.loadState(): updates is ${updates}, needs a whole number`);
    }
    this.#updates = updates;
    for (const [name, { parts }] of places) writeParts(parts, tensors.get(name)!.data);
  }

  /** Frees the average. */
  dispose(): void {
    this.#average.dispose();
    this.#share.dispose();
  }
}
