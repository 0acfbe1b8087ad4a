/**
 * Tests of half storage: they run where the device has `shader-f16`. Elsewhere (SwiftShader in Chrome, devices with the
 * default limits) the same tests check that asking for a half is refused with the reason and the way out.
 * @module
 */
import { type Device, FeatureError } from "../engine/mod.ts";
import { HALF_FEATURE } from "../kernels/half.ts";
import { assertThrows, gpuTest, type GpuTestOptions } from "./harness.ts";

/** A `gpuTest` of half storage. */
export function halfTest(
  name: string,
  fn: (device: Device) => void | Promise<void>,
  options?: GpuTestOptions,
): void {
  gpuTest(name, async (device) => {
    if (device.target.features.has(HALF_FEATURE)) return await fn(device);
    assertThrows(
      () => device.zeros([2], "f16"),
      FeatureError,
      'needs the WebGPU feature "shader-f16"',
    );
  }, options);
}

/** The nearest half of each value, as f32; a loop of its own, since some browsers have no Float16Array. */
export function roundToHalf(values: ArrayLike<number>): Float32Array<ArrayBuffer> {
  return Float32Array.from(values, (value) => {
    if (!Number.isFinite(value) || value === 0) return value;
    const exponent = Math.max(-14, Math.floor(Math.log2(Math.abs(value))));
    const ulp = 2 ** (exponent - 10), steps = value / ulp, low = Math.floor(steps);
    const up = steps - low > 0.5 || (steps - low === 0.5 && low % 2 !== 0);
    const rounded = (low + Number(up)) * ulp;
    return Math.abs(rounded) > 65504 ? Math.sign(value) * Infinity : rounded;
  });
}

/** Half the distance between neighbouring halves around 1: the rounding of one store, relative to the value. */
export const HALF_ROUNDING = 2 ** -11;
