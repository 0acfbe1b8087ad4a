/**
 * The check every differentiable op must pass: its output against a plain loop in float64, and its gradients against
 * central differences of that loop.
 *
 * Differences are taken of the float64 loop, not of the f32 GPU result, so they are exact to about 1e-7 and the
 * tolerance is that of f32 alone.
 * @module
 */
import type { Device, Tensor } from "../engine/mod.ts";
import { assertClose } from "./harness.ts";

/** One input of an op under test. */
export interface CheckedInput {
  shape: readonly number[];
  /** Default: seeded, roughly normal, standard deviation 1. */
  data?: ArrayLike<number>;
  /** False: no gradient is asked for. Default true. */
  differentiable?: boolean;
}

/** What `checkGradients` needs. */
export interface GradientCheck {
  device: Device;
  inputs: Readonly<Record<string, CheckedInput>>;
  /** The op on the GPU. */
  op: (inputs: Record<string, Tensor>) => Tensor;
  /** The same in plain loops, in float64. */
  reference: (inputs: Record<string, Float64Array>) => ArrayLike<number>;
  /** Entries of each input whose gradient is compared; spread over the tensor. Default 24. */
  entries?: number;
  /** Default 2e-5 absolute (scaled by the largest wanted value when that is above 1) and 1e-4 relative. */
  atol?: number;
  rtol?: number;
  /** Step of the central difference; smaller next to kinks. Default 1e-4. */
  step?: number;
  seed?: number;
}

/** Numbers in about [-1.7, 1.7] with standard deviation 1, equal everywhere: an integer hash, then one product. */
export function testValues(count: number, seed = 1): Float32Array {
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    let x = (Math.imul(seed, 0x85ebca6b) + Math.imul(i + 1, 0x9e3779b9)) >>> 0;
    x ^= x >>> 16;
    x = Math.imul(x, 0x7feb352d);
    x ^= x >>> 15;
    x = Math.imul(x, 0x846ca68b);
    x ^= x >>> 16;
    values[i] = ((x >>> 0) / 4294967296 * 2 - 1) * Math.sqrt(3);
  }
  return values;
}

/** Runs the check; throws with the worst entry of the first array that is off. */
export async function checkGradients(check: GradientCheck): Promise<void> {
  const { device, inputs, entries = 24, rtol = 1e-4, step = 1e-4, seed = 1 } = check;
  const names = Object.keys(inputs);
  const host: Record<string, Float32Array> = {};
  names.forEach((name, k) => {
    const { shape, data } = inputs[name];
    const size = shape.reduce((a, b) => a * b, 1);
    host[name] = data ? Float32Array.from(data) : testValues(size, seed * 100 + k);
  });
  const { out, grads, probe } = await device.step(() => {
    const tensors: Record<string, Tensor> = {};
    for (const name of names) {
      tensors[name] = device.tensor(host[name], inputs[name].shape, {
        requiresGrad: inputs[name].differentiable !== false,
        label: name,
      });
    }
    const y = check.op(tensors);
    const probe = testValues(y.size, seed * 100 + 99);
    y.backward(device.tensor(probe, y.shape));
    const grads: Record<string, Promise<ArrayLike<number>>> = {};
    for (const name of names) {
      const { grad } = tensors[name];
      if (grad) grads[name] = grad.data();
      else if (inputs[name].differentiable !== false) throw new Error(`${name} got no gradient`);
    }
    return { out: y.data(), grads, probe };
  });

  const doubles = () =>
    Object.fromEntries(names.map((name) => [name, Float64Array.from(host[name])]));
  const want = check.reference(doubles());
  assertClose(await out, want, { atol: tolerance(check.atol, want), rtol, name: "output" });

  const loss = (arrays: Record<string, Float64Array>): number => {
    const y = check.reference(arrays);
    let sum = 0;
    for (let i = 0; i < probe.length; i++) sum += y[i] * probe[i];
    return sum;
  };
  for (const name of Object.keys(grads)) {
    const got = await grads[name];
    const count = Math.min(entries, host[name].length);
    const gotSample: number[] = [], wantSample: number[] = [];
    for (let k = 0; k < count; k++) {
      const i = count === 1 ? 0 : Math.floor(k * (host[name].length - 1) / (count - 1));
      const arrays = doubles();
      arrays[name][i] += step;
      const above = loss(arrays);
      arrays[name][i] -= 2 * step;
      wantSample.push((above - loss(arrays)) / (2 * step));
      gotSample.push(got[i]);
    }
    assertClose(gotSample, wantSample, {
      atol: tolerance(check.atol, wantSample),
      rtol,
      name: `gradient of ${name} (sampled)`,
    });
  }
}

function tolerance(atol = 2e-5, want: ArrayLike<number>): number {
  let largest = 1;
  for (let i = 0; i < want.length; i++) largest = Math.max(largest, Math.abs(want[i]));
  return atol * largest;
}
