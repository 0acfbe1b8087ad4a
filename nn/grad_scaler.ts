/**
 * Dynamic loss scaling for training in half, as `torch.amp.GradScaler`; the maths is in kernels/grad_scaler.ts.
 *
 *     scaler.scale(loss).backward();  scaler.step(optimizer);  scaler.update();
 *
 * Scale and counts lie on the GPU: whether a step is skipped is decided there, by the optimiser's own kernel, so nothing
 * is read back and the step can be captured.
 * @module
 */
import { scaleOf, SCALER, SCALER_WORDS, updateScale } from "../kernels/grad_scaler.ts";
import { floatBits } from "../kernels/fill.ts";
import type { Device } from "../engine/device.ts";
import { run } from "../engine/dispatch.ts";
import { CheckpointError, ScopeError, ShapeError } from "../engine/errors.ts";
import { mul } from "../engine/ops/arithmetic.ts";
import { Tensor } from "../engine/tensor.ts";
import { checkCount } from "./check.ts";
import type { Optimizer } from "./optim/optimizer.ts";

/** Options of `GradScaler`; defaults are PyTorch's. */
export interface GradScalerOptions {
  /** The first scale; default 65,536. */
  initScale?: number;
  /** Factor on the scale after `growthInterval` steps that were not skipped; default 2. */
  growthFactor?: number;
  /** Factor on the scale after a step that was skipped; default 0.5. */
  backoffFactor?: number;
  /** Default 2000. */
  growthInterval?: number;
}

/** All that a scaler remembers; with it a run goes on bit by bit. */
export interface GradScalerState {
  /** The scale of the next step. */
  readonly scale: number;
  /** Steps since the scale last moved. */
  readonly growthTracker: number;
  /** Steps that were skipped so far. */
  readonly skipped: number;
}

/** Scales losses up and gradients down again, and skips steps whose gradients are not finite. */
export class GradScaler {
  readonly #device: Device;
  readonly #options: Required<GradScalerOptions>;
  readonly #state: Tensor;
  #unscaled: Optimizer | null = null;
  #stepped = false;

  /** A scaler for one optimiser. @throws {ShapeError} for factors on the wrong side of 1, or a scale or interval that is none */
  constructor(device: Device, options: GradScalerOptions = {}) {
    const { initScale = 65536, growthFactor = 2, backoffFactor = 0.5, growthInterval = 2000 } =
      options;
    if (!(growthFactor > 1 && backoffFactor > 0 && backoffFactor < 1)) {
      throw new ShapeError(
        `GradScaler: growthFactor is ${growthFactor} and backoffFactor ${backoffFactor}; they must be above 1, and ` +
          "between 0 and 1",
      );
    }
    checkScale("GradScaler: initScale", initScale, ShapeError);
    checkCount("GradScaler", "growthInterval", growthInterval);
    this.#device = device;
    this.#options = { initScale, growthFactor, backoffFactor, growthInterval };
    const buffer = device.persistent(SCALER_WORDS, "grad scaler");
    this.#state = new Tensor(device, [SCALER_WORDS], "u32", { buffer, offset: 0 });
    this.#write({ scale: initScale, growthTracker: 0, skipped: 0 });
  }

  /** The loss times the scale: call `backward()` on it. */
  scale(loss: Tensor): Tensor {
    return mul(loss, new Tensor(this.#device, [], "f32", this.#state.storage));
  }

  /**
   * Divides the gradients by the scale, for those who look at them or clip them before `step`, which else does it.
   * @throws {ScopeError} when it was done already since the last `update`
   */
  unscale(optimizer: Optimizer): void {
    if (this.#unscaled !== null) {
      throw new ScopeError(
        "GradScaler.unscale(): gradients were unscaled already since the last update(); call it once a step, and give " +
          "each optimiser a scaler of its own",
      );
    }
    this.#unscaled = optimizer;
    optimizer.unscale(this.#state);
  }

  /**
   * `optimizer.step()`, which changes nothing when a gradient is NaN or infinite, and does not count as a step then.
   * @throws {ScopeError} when a step was taken already since the last `update`
   */
  step(optimizer: Optimizer): void {
    if (this.#stepped || (this.#unscaled !== null && this.#unscaled !== optimizer)) {
      throw new ScopeError(
        "GradScaler.step(): a step was taken, or another optimiser's gradients unscaled, since the last update(); call " +
          "it once a step, and give each optimiser a scaler of its own",
      );
    }
    if (this.#unscaled === null) this.unscale(optimizer);
    optimizer.step(this.#state);
    this.#stepped = true;
  }

  /** Moves the scale by how the step went. */
  update(): void {
    const { growthFactor: growth, backoffFactor: backoff, growthInterval: interval } =
      this.#options;
    run(updateScale({ growth, backoff, interval }), { state: this.#state });
    this.#unscaled = null;
    this.#stepped = false;
  }

  /** What the scaler remembers. Waits for the GPU. */
  async state(): Promise<GradScalerState> {
    const words = await this.#state.data();
    return {
      scale: scaleOf(words[SCALER.scale]),
      growthTracker: words[SCALER.good],
      skipped: words[SCALER.skipped],
    };
  }

  /** Goes on where the scaler of `state` stood. @throws {CheckpointError} when it is none; nothing is changed then */
  loadState(state: GradScalerState): void {
    const { scale, growthTracker, skipped } = state;
    checkScale("GradScaler.loadState(): scale", scale, CheckpointError);
    for (const [name, count] of Object.entries({ growthTracker, skipped })) {
      if (!Number.isSafeInteger(count) || count < 0) {
        throw new CheckpointError(
          `GradScaler.loadState(): ${name} is ${count}, needs a whole number of 0 or more`,
        );
      }
    }
    this.#write(state);
  }

  #write({ scale, growthTracker, skipped }: GradScalerState): void {
    const words = new Uint32Array(SCALER_WORDS);
    words[SCALER.scale] = floatBits(scale);
    words[SCALER.good] = growthTracker;
    words[SCALER.skipped] = skipped;
    this.#device.write(this.#state, words);
  }

  /** Frees its memory. */
  dispose(): void {
    this.#state.dispose();
  }
}

/** @throws {Error} of a kind, when a scale is no number that f32 holds */
function checkScale(what: string, scale: number, Kind: new (message: string) => Error): void {
  if (scale > 0 && Math.fround(scale) > 0 && Math.fround(scale) < Infinity) return;
  throw new Kind(`${what} is ${scale}, needs a number above 0 that f32 holds`);
}
