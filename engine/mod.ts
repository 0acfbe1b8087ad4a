/**
 * The engine: device, tensors, reverse-mode autograd and the ops.
 * @module
 */
export * from "./errors.ts";
export { Device, type DeviceSettings } from "./device.ts";
export { type DeviceOptions, requestDevice } from "./request_device.ts";
export type { NestedNumbers } from "./host_data.ts";
export { type DType, type HostArray, Tensor } from "./tensor.ts";
export { noGrad } from "./autograd.ts";
export { autocast, type AutocastOptions } from "./cast.ts";
// What an op is made of: docs/guide/own-kernel.md shows one from outside.
export {
  type BackwardContext,
  type BackwardFunction,
  type GradTarget,
  record as recordOp,
  type TapeEntry,
} from "./autograd.ts";
export { run as runKernel } from "./dispatch.ts";
export { expectDType, expectShape } from "./tensor.ts";
export type {
  Access,
  Binding,
  ElementType,
  Kernel,
  PlainLoop,
  Program,
  ScalarType,
  Values,
} from "../kernels/kernel.ts";
export type { Scope } from "./scope.ts";
export type { AdapterClass, Target } from "../kernels/target.ts";
export type { Clock, Profile, ProfiledDispatch, ProfileRow } from "./profile.ts";
export type { Roofline } from "./roofline.ts";
export type { TunedCall, TuneOptions, TuneReport } from "./tune.ts";
export type { ChoiceStore } from "./choice_store.ts";
export type { Choices } from "../kernels/choice.ts";
export type { CapturedFunction, CapturedInput } from "./capture.ts";
export type { EstimatedTensor, MemoryEstimate } from "./estimate.ts";
export type { MemoryStats } from "./pool.ts";
export type { Verification, VerifyOptions } from "./verify.ts";
export type { ExecutorStats } from "./executor.ts";
export { adapterLabel, type AdapterNames, isSoftwareAdapter } from "./adapter.ts";
export * from "./ops/mod.ts";
