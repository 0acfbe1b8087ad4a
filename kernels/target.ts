/**
 * What a kernel may know about the adapter it will run on: its class, its limits, and what was measured on it.
 *
 * Variants are chosen per class because the costs differ in kind: a discrete GPU hides latency with thousands of
 * invocations and rewards workgroup memory; a software adapter runs an invocation as a SIMD lane of a CPU core, where
 * workgroup memory is just memory, a barrier is a loop split, and large register tiles pay.
 * @module
 */

import type { Choices } from "./choice.ts";

/** Which cost model an adapter follows. */
export type AdapterClass = "discrete" | "integrated" | "software";

/** The adapter as kernels see it; every number is a WebGPU limit of the device. */
export interface Target {
  /** Cost model. */
  readonly adapterClass: AdapterClass;
  /** Invocations of one workgroup. */
  readonly maxInvocations: number;
  /** Bytes of workgroup memory. */
  readonly maxWorkgroupBytes: number;
  /** Bytes of one storage binding; no more than a buffer can have. */
  readonly maxBindingBytes: number;
  /** WebGPU features the device has, such as `shader-f16`. */
  readonly features: ReadonlySet<string>;
  /** Loads through textures are much cheaper than through storage buffers, as on llvmpipe (texels.ts). */
  readonly texels?: boolean;
  /** What was measured on this very adapter; left out, variants are chosen by class and shape alone. */
  readonly choices?: Choices;
}

/** A device made with the specification's default limits and no feature: every family has a variant that fits it. */
export const DEFAULT_TARGET: Target = {
  adapterClass: "discrete",
  maxInvocations: 256,
  maxWorkgroupBytes: 16384,
  maxBindingBytes: 134217728,
  features: new Set<string>(),
  texels: false,
};
