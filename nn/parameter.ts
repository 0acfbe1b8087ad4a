/**
 * Parameters: the tensors that a model learns, and how they get their first values.
 *
 * A parameter is made without a device, so a model can be built, counted and loaded on a machine without a GPU. Its
 * first values are drawn on the host when the model is placed, from a stream named after the parameter: they do not
 * depend on the order in which modules are built, and are the same bits in every runtime.
 * @module
 */
import { CheckpointError, DTypeError, ShapeError } from "../engine/errors.ts";
import { Rng } from "../engine/random/host_rng.ts";
import { Tensor } from "../engine/tensor.ts";

/** Draws the first values of a parameter: row-major, as many as the shape holds. */
export type Init = (rng: Rng, shape: readonly number[]) => Float32Array<ArrayBuffer>;

/** A tensor that belongs to a module, is named in its state dict, and lives as long as the model. */
export class Parameter extends Tensor {
  readonly #init: Init;
  #loaded: Float32Array | null = null;

  /**
   * A parameter without memory; `model.to(device)` gives it some.
   * @param shape [] makes a learnable scalar
   * @param init draws its first values, unless a state dict is loaded before
   * @param options `requiresGrad` false for values that are kept but not learned, such as running statistics
   * @throws {ShapeError} a size is no whole number above 0
   */
  constructor(
    shape: readonly number[],
    init: Init,
    options: { requiresGrad?: boolean } = {},
  ) {
    if (shape.some((size) => !Number.isSafeInteger(size) || size < 1)) {
      throw new ShapeError(
        `Parameter: [${shape.join(", ")}] is no shape, needs sizes of 1 or more`,
      );
    }
    super(null, shape, "f32", null);
    this.#init = init;
    this.requiresGrad = options.requiresGrad ?? true;
  }

  /**
   * Sets the values: on the GPU when it is placed, otherwise kept (not copied) until it is.
   * @throws {CheckpointError} when the number of values is not that of the shape
   * @throws {DTypeError} when they are not a Float32Array
   */
  load(values: Float32Array): void {
    if (!(values instanceof Float32Array)) {
      throw new DTypeError("Parameter.load(): needs a Float32Array");
    }
    if (values.length !== this.size) {
      throw new CheckpointError(
        `Parameter.load(): ${values.length} values for shape [${this.shape.join(", ")}] ` +
          `with ${this.size} elements`,
      );
    }
    if (this.placed) this.device.write(this, values);
    else this.#loaded = values;
  }

  /** @internal The values to start with: those loaded before, else drawn from the stream `name` of `seed`. */
  takeInitial(seed: number | bigint, name: string): Float32Array {
    const values = this.#loaded ?? this.#init(new Rng(seed, name), this.shape);
    this.#loaded = null;
    if (values.length !== this.size) {
      throw new CheckpointError(
        `Parameter "${name}": its initialiser drew ${values.length} values for shape ` +
          `[${this.shape.join(", ")}]`,
      );
    }
    return values;
  }
}
