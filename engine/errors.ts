/**
 * The errors of wgrad: few, typed, and each message names the thing, what it has, what it needs and the way out.
 *
 * `ShapeError` extends `RangeError` and `DTypeError` extends `TypeError`, so code that only knows the language's own
 * errors still catches them. All carry a stable `code` for programs.
 * @module
 */

/** The stable identifiers of wgrad's errors. */
export type ErrorCode =
  | "adapter_unavailable"
  | "device_lost"
  | "out_of_memory"
  | "limit"
  | "feature"
  | "gpu"
  | "checkpoint"
  | "data"
  | "non_finite"
  | "mismatch"
  | "scope"
  | "interrupted";

/** Base of the errors that have no better parent in the language; catch it to catch those of wgrad. */
export abstract class WgradError extends Error {
  /** The class name, also across realms. */
  abstract override readonly name: string;
  /** A stable identifier for programs; the message is for people. */
  abstract readonly code: ErrorCode;
}

/** No WebGPU adapter was found; the message says what to install on this system. */
export class AdapterUnavailableError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "AdapterUnavailableError";
  /** The stable identifier of this kind of error. */
  override readonly code = "adapter_unavailable";
}

/** The device was lost (destroyed, driver reset); pending reads reject with it. */
export class DeviceLostError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "DeviceLostError";
  /** The stable identifier of this kind of error. */
  override readonly code = "device_lost";
}

/** The adapter could not allocate a buffer; earlier tensors stay usable. */
export class OutOfMemoryError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "OutOfMemoryError";
  /** The stable identifier of this kind of error. */
  override readonly code = "out_of_memory";
}

/** The adapter's limits are below what an operation needs. */
export class LimitError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "LimitError";
  /** The stable identifier of this kind of error. */
  override readonly code = "limit";
}

/** The device or runtime lacks a feature that an operation needs, such as `shader-f16`; the message names it. */
export class FeatureError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "FeatureError";
  /** The stable identifier of this kind of error. */
  override readonly code = "feature";
}

/** The GPU refused a command (a validation or internal error); names the operation and where it was made. */
export class GpuError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "GpuError";
  /** The stable identifier of this kind of error. */
  override readonly code = "gpu";
}

/** A checkpoint is corrupt, truncated, hostile, or does not fit the model. */
export class CheckpointError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "CheckpointError";
  /** The stable identifier of this kind of error. */
  override readonly code = "checkpoint";
}

/** A data file or a batch is missing, corrupt or of another kind than it claims. */
export class DataError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "DataError";
  /** The stable identifier of this kind of error. */
  override readonly code = "data";
}

/** A loss or tensor holds NaN or infinity where it must not. */
export class NonFiniteError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "NonFiniteError";
  /** The stable identifier of this kind of error. */
  override readonly code = "non_finite";
}

/** Where verify mode found a kernel that computes something else than its plain loop. */
export interface Mismatch {
  /** Kernel and variant, `matmul[register 8x8]`. */
  readonly kernel: string;
  /** Where it was asked for. */
  readonly place: string;
  /** The binding. */
  readonly output: string;
  /** Element of the binding, counted from its start. */
  readonly index: number;
  /** What the kernel wrote. */
  readonly got: number;
  /** What the plain loop wrote. */
  readonly want: number;
}

/** A kernel does not compute what its plain loop does. */
export class MismatchError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "MismatchError";
  /** The stable identifier of this kind of error. */
  override readonly code = "mismatch";
  /** Makes one; `mismatch` is what the message says, for programs. */
  constructor(message: string, readonly mismatch: Mismatch) {
    super(message);
  }
}

/** A scope was used after it ended, or an asynchronous function was given where a synchronous one is needed. */
export class ScopeError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "ScopeError";
  /** The stable identifier of this kind of error. */
  override readonly code = "scope";
}

/** A run was stopped by the user (Ctrl-C); the last checkpoint is whole and can be resumed. */
export class InterruptedError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "InterruptedError";
  /** The stable identifier of this kind of error. */
  override readonly code = "interrupted";
}

/** A tensor has the wrong shape, or an index or size is out of range. */
export class ShapeError extends RangeError {
  /** The class name, also across realms. */
  override readonly name = "ShapeError";
}

/** A value has the wrong type: dtype, or not a tensor at all. */
export class DTypeError extends TypeError {
  /** The class name, also across realms. */
  override readonly name = "DTypeError";
}
