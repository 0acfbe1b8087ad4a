/**
 * Runs an example's kernel on the page's device.
 * @module
 */
import { run } from "../../engine/dispatch.ts";
import type { Kernel, Values } from "../../kernels/kernel.ts";
import type { Device, Profile, Tensor } from "../../mod.ts";
import type { Example } from "../atlas/chapter.ts";
import { inputsOf, isWhole } from "../atlas/inputs.ts";

/** The tensors of a kernel: inputs as given, everything else zeros. */
function bind(device: Device, kernel: Kernel, inputs: Values): Record<string, Tensor> {
  return Object.fromEntries(
    kernel.program.bindings.map((binding) => {
      const { name } = binding, size = kernel.sizes[name];
      const values = inputs[name] ?? { length: size };
      const array = isWhole(binding) ? new Uint32Array(size) : new Float32Array(size);
      for (let i = 0; i < size; i++) array[i] = values[i] ?? 0;
      return [name, device.tensor(array, [size])];
    }),
  );
}

/** What a kernel writes, by binding. */
export async function outputsOf(device: Device, kernel: Kernel, inputs: Values): Promise<Values> {
  const reads = await device.step(() => {
    const tensors = bind(device, kernel, inputs);
    run(kernel, tensors);
    return kernel.program.bindings
      .filter(({ access }) => access !== "read")
      .map(({ name }) => ({ name, data: tensors[name].data() }));
  });
  const outputs: Record<string, ArrayLike<number>> = {};
  for (const { name, data } of reads) outputs[name] = await data;
  return outputs;
}

/** The largest error allowed, as a share of the largest expected magnitude of an output. */
export const TOLERANCE = 1e-4;

/** How far the GPU's result is from the plain loop's. */
export interface Check {
  readonly ok: boolean;
  /** The largest error as a share of the largest expected magnitude. */
  readonly error: number;
}

/** Compares what a kernel writes with its plain loop, which runs in float64 on the page. */
export async function check(device: Device, example: Example): Promise<Check> {
  const { kernel } = example, inputs = inputsOf(example);
  const got = await outputsOf(device, kernel, inputs);
  const expected = kernel.reference!(inputs, got);
  let error = 0;
  for (const [name, written] of Object.entries(got)) {
    const values = expected[name];
    let largest = 1e-30, worst = 0;
    for (let i = 0; i < values.length; i++) {
      if (Number.isNaN(values[i])) continue; // left as it was
      largest = Math.max(largest, Math.abs(values[i]));
      const off = Math.abs(values[i] - written[i]);
      worst = Number.isNaN(off) ? Infinity : Math.max(worst, off);
    }
    error = Math.max(error, worst / largest);
  }
  return { ok: error <= TOLERANCE, error };
}

/** What a timed launch took. */
export interface Timing {
  /** Median of the runs, in milliseconds. */
  readonly ms: number;
  readonly runs: number;
  readonly gflops: number;
  readonly gbs: number;
  /** What to know about the clock; empty when it is exact. */
  readonly note: string;
}

/** Times an example by timestamps, for about `budget` milliseconds. */
export async function time(device: Device, example: Example, budget = 300): Promise<Timing> {
  const { kernel } = example, inputs = inputsOf(example);
  const tensors = bind(device, kernel, inputs);
  const times: number[] = [];
  let profile: Profile;
  const end = performance.now() + budget;
  do {
    profile = await device.profile(() => {
      for (let i = 0; i < 3; i++) run(kernel, tensors);
    }, { roofline: false });
    times.push(...profile.dispatches.map(({ ms }) => ms));
  } while (performance.now() < end && times.length < 60);
  for (const tensor of Object.values(tensors)) tensor.dispose();
  const ms = times.sort((a, b) => a - b)[times.length >> 1];
  const rate = (work: number) => ms > 0 ? work / ms / 1e6 : NaN;
  return {
    ms,
    runs: times.length,
    gflops: rate(kernel.flops),
    gbs: rate(kernel.bytes),
    note: profile.clock.note,
  };
}
