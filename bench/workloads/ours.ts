/**
 * What the workloads share on wgrad's side.
 * @module
 */
import type { Device, Module, StateEntry, Tensor } from "../../mod.ts";
import { type HostTensors, permuted } from "../host_tensor.ts";
import type { ForwardWork, GradientWork, WgradRun } from "../workload.ts";

/** Tensors on the device. @param learned names of those whose gradient is wanted */
export function upload(
  device: Device,
  tensors: HostTensors,
  learned: readonly string[] = [],
): Record<string, Tensor> {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, x]) => {
      const { shape, data } = x.role === "filter" ? permuted(x, [0, 2, 3, 1]) : x;
      const tensor = device.tensor(data, shape, {
        requiresGrad: learned.includes(name),
        label: name,
      });
      return [name, device.keep(tensor)];
    }),
  );
}

/** Frees such tensors and their gradients. */
export function free(tensors: Readonly<Record<string, Tensor>>): void {
  for (const tensor of Object.values(tensors)) {
    tensor.gradSlot?.dispose();
    tensor.dispose();
  }
}

/** Frees what a run returned but for gradients, whose places are used again. */
export function disposeOutputs(outputs: Readonly<Record<string, Tensor>>): void {
  for (const [name, tensor] of Object.entries(outputs)) {
    if (!name.startsWith("d ")) tensor.dispose();
  }
}

/** A run that computes y from tensors on the device. */
export function forwardRun(
  device: Device,
  { inputs, weights }: ForwardWork,
  compute: (x: Record<string, Tensor>) => Record<string, Tensor>,
): Promise<WgradRun> {
  const x = upload(device, { ...inputs, ...weights });
  return Promise.resolve({ step: () => compute(x), dispose: () => free(x) });
}

/** A run that computes y and the gradients that the work asks for. */
export function gradientRun(
  device: Device,
  { inputs, weights, dOut, wrt }: GradientWork,
  compute: (x: Record<string, Tensor>) => Tensor,
): Promise<WgradRun> {
  const x = upload(device, { ...inputs, ...weights }, wrt);
  const up = upload(device, { dOut });
  const step = () => {
    for (const name of wrt) x[name].grad = null;
    const y = compute(x);
    y.backward(up.dOut);
    return { y, ...Object.fromEntries(wrt.map((name) => [`d ${name}`, x[name].grad!])) };
  };
  return Promise.resolve({ step, dispose: () => (free(x), free(up)) });
}

/** The shapes of a module's parameters by name; the module needs no device. */
export function shapesOf(module: Module): [string, readonly number[]][] {
  return module.namedParameters().map(([name, { shape }]) => [name, shape]);
}

/** Gives a module its values and a place on the device. */
export async function place<M extends Module>(
  device: Device,
  module: M,
  weights: HostTensors,
): Promise<M> {
  module.loadStateDict(new Map<string, StateEntry>(Object.entries(weights)));
  return await module.to(device);
}
