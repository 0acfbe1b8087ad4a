/**
 * What a workload is: one computation at one size, as equations over `Ops` for the reference and the peers, and as wgrad's
 * own calls.
 * @module
 */
import type { Device, Tensor } from "../mod.ts";
import type { HostTensor, HostTensors } from "./host_tensor.ts";
import type { Ops } from "./ops/ops.ts";

/** Equations: named tensors to named tensors, whichever framework they belong to. */
export type Equations = <T>(ops: Ops<T>, x: Readonly<Record<string, T>>) => Record<string, T>;

/** From inputs and weights to outputs. */
export interface ForwardWork {
  readonly kind: "forward";
  /** Data that changes from call to call. */
  readonly inputs: HostTensors;
  /** Data that does not, which a framework may prepare beforehand. */
  readonly weights: HostTensors;
  readonly compute: Equations;
}

/** Forward, then the gradients of the inputs and weights in `wrt` for a given gradient of the output `y`. */
export interface GradientWork {
  readonly kind: "gradient";
  readonly inputs: HostTensors;
  readonly weights: HostTensors;
  /** Must return `y`. */
  readonly compute: Equations;
  /** Gradient of the loss by `y`. */
  readonly dOut: HostTensor;
  /** Names whose gradients are computed; they are returned as `d name`. */
  readonly wrt: readonly string[];
}

/** AdamW's settings: one rate for all, decay on every parameter. */
export interface AdamWSettings {
  readonly lr: number;
  readonly weightDecay: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
}

/** Steps of training: forward, backward, AdamW on all weights; always on the same batch. */
export interface TrainingWork {
  readonly kind: "training";
  readonly inputs: HostTensors;
  /** The parameters before the first step. */
  readonly weights: HostTensors;
  /** Must return `loss`, a scalar. */
  readonly compute: Equations;
  readonly optimizer: AdamWSettings;
}

/** The three kinds. */
export type Work = ForwardWork | GradientWork | TrainingWork;

/** Results that the reference expects: all elements, or those at given places. */
export interface Expected {
  readonly values: ArrayLike<number>;
  /** Places of the values in the flat result; left out, they are all of it. */
  readonly at?: ArrayLike<number>;
}

/** One computation at one size. */
export interface Workload {
  /** Such as `matmul`; with the shape it names a row. */
  readonly name: string;
  /** Such as `512x512x512`. */
  readonly shape: string;
  /** Floating-point operations of a run, a multiply-add counted as two; null where that says nothing. */
  readonly flops: number | null;
  /** Bytes that a run moves if each input and output is touched once; null where that says nothing. */
  readonly bytes: number | null;
  /** Runs in one call, by which times are divided: 1,000 for a chain of 1,000 operations. */
  readonly unitsPerRun?: number;
  /** Takes so long on a software adapter that `--quick` leaves it out. */
  readonly long?: boolean;
  /** Call op by op, without jit, capture or a session: what an op costs when nothing is prepared. */
  readonly eager?: boolean;
  /** Largest error allowed, as a share of the largest expected magnitude. */
  readonly tolerance: number;
  /** Its data and equations; made when first asked for, since the data of a large one takes a while. */
  readonly work: () => Work;
  /** Expected results where the equations in float64 would take too long. */
  readonly reference?: () => Record<string, Expected>;
  /** Makes what wgrad needs on a device. */
  readonly wgrad: (device: Device) => Promise<WgradRun>;
}

/** A workload in wgrad's own calls. */
export interface WgradRun {
  /** A run: a synchronous function to be captured, which returns the outputs that `work` names. */
  readonly step: () => Record<string, Tensor>;
  /** Frees what it was made of. */
  readonly dispose: () => void;
}

/** Makes something when it is first asked for. */
export function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => (made ??= { value: make() }).value;
}

/** How many losses a training workload is checked on: of the first step, and of the second, which the update changed. */
export const CHECKED_LOSSES = 2;
