/**
 * The GPU memory that a model will need, known before anything is allocated: its steps are recorded with parameters
 * that have a place on paper only, and the pool is played through.
 * @module
 */
import type { DryRecorder } from "../engine/capture.ts";
import type { Device } from "../engine/device.ts";
import { noGrad } from "../engine/autograd.ts";
import { Forecast, type MemoryEstimate } from "../engine/estimate.ts";
import type { EngineRecord } from "../engine/records.ts";
import type { Tensor } from "../engine/tensor.ts";
import type { Module } from "./module.ts";
import type { Optimizer } from "./optim/optimizer.ts";
import { stepParts, type TrainBatch, type TrainOptions } from "./train.ts";

/** A module that maps one tensor to its output. */
export interface ForwardModule extends Module {
  /** What inference runs. */
  forward(input: Tensor): unknown;
}

/** What a model will cost. */
export interface ModelEstimate extends MemoryEstimate {
  /** Bytes of its parameters and buffers: what it holds once it is loaded. */
  readonly loadBytes: number;
  /** Floating-point operations of a forward pass, or of a training step, as its kernels declare them. */
  readonly flops: number;
}

/** Options of `estimate`. */
export interface EstimateOptions {
  /** Where it would run: kernels and limits differ. Default: where the model lives. */
  readonly device?: Device;
  /** Steps prepared by `device.capture`, as `train` does; they keep their memory. Default true. */
  readonly capture?: boolean;
  /** Estimates training; without it, inference. */
  readonly training?: Pick<TrainOptions, "loss" | "accumulate"> & {
    /** Makes the optimiser. */
    readonly optimizer: (model: Module) => Optimizer;
  };
}

/**
 * Predicts the GPU memory and the work of a model, its optimiser and its steps, on a device that holds nothing else. Nothing is
 * allocated or run, and the model stays as it is, on a device or on none.
 *
 * Batches of another shape than this one, as at the end of an epoch, are captured too and hold memory of their own.
 * @example
 * ```ts ignore
 * const batch: TrainBatch = [[new Float32Array(64 * 784), [64, 1, 28, 28]], [new Uint32Array(64), [64]]];
 * const { peakBytes, largest } = await estimate(model, batch, {
 *   device,
 *   training: {
 *     optimizer: (model) => new AdamW(model.namedParameters()),
 *     loss: (images, labels) => crossEntropy(model.forward(images), labels),
 *   },
 * });
 * ```
 * @param batch what `loss` takes; inference takes the first of it. The values do not matter
 * @throws {LimitError} when a tensor is larger than the device allows
 */
export async function estimate(
  model: ForwardModule,
  batch: TrainBatch,
  options: EstimateOptions = {},
): Promise<ModelEstimate> {
  const device = options.device ?? model.parameters()[0].device;
  return await device.dryRun((recorder) =>
    withoutTrace(model, () => play(model, batch, device, options, recorder))
  );
}

function play(
  model: ForwardModule,
  batch: TrainBatch,
  device: Device,
  { training, capture = true }: EstimateOptions,
  recorder: DryRecorder,
): ModelEstimate {
  const forecast = new Forecast();
  forecast.run(recorder.step(() => place(model, device)));
  const loadBytes = forecast.estimate.liveBytes;
  let flops = 0;
  const count = (list: readonly EngineRecord[]) => {
    for (const record of list) if (record.kind === "dispatch") flops += record.kernel.flops;
    return list;
  };
  let parts: ((...inputs: Tensor[]) => unknown)[] = [(x) => noGrad(() => model.forward(x))];
  const inputs = training ? batch : batch.slice(0, 1);
  model.train(training !== undefined);
  if (training) {
    let optimizer: Optimizer | undefined;
    forecast.run(recorder.step(() => void (optimizer = training.optimizer(model))));
    parts = stepParts({ ...training, optimizer: optimizer!, device });
  }
  for (const part of capture ? new Set(parts) : parts) {
    if (capture) {
      const captured = recorder.capture(part, inputs);
      count(captured.list);
      forecast.capture(captured);
    } else {
      const step = () => void part(...inputs.map(([data, shape]) => device.tensor(data, shape)));
      forecast.run(count(recorder.step(step)));
    }
  }
  return { ...forecast.estimate, loadBytes, flops };
}

/** Gives all parameters places that no memory stands behind, and records their uploads. */
function place(model: Module, device: Device): void {
  for (const [name, tensor] of [...model.namedParameters(), ...model.namedBuffers()]) {
    tensor.allocate(device, name);
    for (const { range } of tensor.parts) {
      device.append({ kind: "upload", target: range, data: new Uint8Array(0) });
    }
  }
}

/** Runs a function and puts the model back as it was: places, gradients, mode. */
function withoutTrace<T>(model: Module, fn: () => T): T {
  const modes = model.namedModules().map(([, module]) => [module, module.training] as const);
  const before = [...model.namedParameters(), ...model.namedBuffers()]
    .map(([, parameter]) => ({ parameter, placement: parameter.placement }));
  try {
    return fn();
  } finally {
    for (const { parameter, placement } of before) parameter.restore(placement);
    for (const [module, training] of modes) module.train(training); // children come after their parents
  }
}
