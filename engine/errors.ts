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
  | "gpu"
  | "checkpoint"
  | "data"
  | "non_finite"
  | "scope"
  | "interrupted";

/** Base of the errors that have no better parent in the language; catch it to catch those of wgrad. */
export class WgradError extends Error {
  /** The class name, also across realms. */
  override readonly name: string = "WgradError";
  /** A stable identifier for programs; the message is for people. */
  readonly code: ErrorCode;
  /** Makes one with its stable code. */
  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** No WebGPU adapter was found; the message says what to install on this system. */
export class AdapterUnavailableError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "AdapterUnavailableError";
  /** Makes one; the message names the thing, what it has, what it needs and the way out. */
  constructor(message: string, options?: ErrorOptions) {
    super("adapter_unavailable", message, options);
  }
}

/** The device was lost (destroyed, driver reset); pending reads reject with it. */
export class DeviceLostError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "DeviceLostError";
  /** Makes one; the message names the thing, what it has, what it needs and the way out. */
  constructor(message: string, options?: ErrorOptions) {
    super("device_lost", message, options);
  }
}

/** The adapter could not allocate a buffer; earlier tensors stay usable. */
export class OutOfMemoryError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "OutOfMemoryError";
  /** Makes one; the message names the thing, what it has, what it needs and the way out. */
  constructor(message: string, options?: ErrorOptions) {
    super("out_of_memory", message, options);
  }
}

/** The adapter's limits are below what an operation needs. */
export class LimitError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "LimitError";
  /** Makes one; the message names the thing, what it has, what it needs and the way out. */
  constructor(message: string, options?: ErrorOptions) {
    super("limit", message, options);
  }
}

/** The GPU refused a command (a validation or internal error); names the operation and where it was made. */
export class GpuError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "GpuError";
  /** Makes one; the message names the thing, what it has, what it needs and the way out. */
  constructor(message: string, options?: ErrorOptions) {
    super("gpu", message, options);
  }
}

/** A checkpoint is corrupt, truncated, hostile, or does not fit the model. */
export class CheckpointError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "CheckpointError";
  /** Makes one; the message names the thing, what it has, what it needs and the way out. */
  constructor(message: string, options?: ErrorOptions) {
    super("checkpoint", message, options);
  }
}

/** A data file or a batch is missing, corrupt or of another kind than it claims. */
export class DataError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "DataError";
  /** Makes one; the message names the thing, what it has, what it needs and the way out. */
  constructor(message: string, options?: ErrorOptions) {
    super("data", message, options);
  }
}

/** A loss or tensor holds NaN or infinity where it must not. */
export class NonFiniteError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "NonFiniteError";
  /** Makes one; the message names the thing, what it has, what it needs and the way out. */
  constructor(message: string, options?: ErrorOptions) {
    super("non_finite", message, options);
  }
}

/** A scope was used after it ended, or an asynchronous function was given where a synchronous one is needed. */
export class ScopeError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "ScopeError";
  /** Makes one; the message names the thing, what it has, what it needs and the way out. */
  constructor(message: string, options?: ErrorOptions) {
    super("scope", message, options);
  }
}

/** A run was stopped by the user (Ctrl-C); the last checkpoint is whole and can be resumed. */
export class InterruptedError extends WgradError {
  /** The class name, also across realms. */
  override readonly name = "InterruptedError";
  /** Makes one; the message names the thing, what it has, what it needs and the way out. */
  constructor(message: string, options?: ErrorOptions) {
    super("interrupted", message, options);
  }
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
