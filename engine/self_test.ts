/**
 * The self-test of a device: known answers, once per process and adapter.
 *
 * It runs beside the compilation of the first step, so it delays nothing but the first read, and that hardly: reads and
 * steps wait for its verdict. A driver that computes wrong answers is refused by name.
 * @module
 */
import {
  selfTestKernel,
  selfTestPart,
  selfTestReference,
  selfTestSeed,
} from "../kernels/self_test.ts";
import { DeviceLostError } from "./errors.ts";
import { packParams, paramBytes } from "../kernels/kernel.ts";
import type { Pipelines } from "./pipelines.ts";

const verdicts = new Map<string, Promise<string | null>>();

/**
 * Runs the known answers on a device; the verdict is remembered for its adapter.
 * @returns null, or which part is computed wrongly
 */
export function selfTest(
  gpu: GPUDevice,
  pipelines: Pipelines,
  adapter: string,
): Promise<string | null> {
  // A device that is lost in its test says nothing about the adapter: the next one, or whoever shared it, tests anew.
  const known = verdicts.get(adapter);
  if (known) return known.catch(() => selfTest(gpu, pipelines, adapter));
  const lost = gpu.lost.then(({ message }) => {
    throw new DeviceLostError(
      `The GPU device was lost in its self-test (${message}). Make a new one with requestDevice(); if that one is ` +
        "lost too, update the driver or choose another adapter.",
    );
  });
  const verdict = Promise.race([run(gpu, pipelines), lost]);
  verdicts.set(adapter, verdict);
  verdict.catch(() => verdicts.delete(adapter));
  return verdict;
}

async function run(gpu: GPUDevice, pipelines: Pipelines): Promise<string | null> {
  const kernel = selfTestKernel();
  const { program } = kernel;
  await pipelines.prepare([program]);
  const seedValues = selfTestSeed();
  const buffer = (size: number, usage: number): GPUBuffer =>
    gpu.createBuffer({ label: "self-test", size, usage });
  const seed = buffer(seedValues.byteLength, 0x80 | 0x08); // STORAGE | COPY_DST
  const result = buffer(4 * kernel.sizes.result, 0x80 | 0x04); // STORAGE | COPY_SRC
  const staging = buffer(result.size, 0x01 | 0x08); // MAP_READ | COPY_DST
  const uniform = buffer(paramBytes(program), 0x40 | 0x08); // UNIFORM | COPY_DST
  const params = new DataView(new ArrayBuffer(uniform.size));
  packParams(program, kernel.params, params, 0);
  gpu.queue.writeBuffer(seed, 0, seedValues);
  gpu.queue.writeBuffer(uniform, 0, params.buffer);
  const compiled = pipelines.get(program);
  const encoder = gpu.createCommandEncoder({ label: "self-test" });
  const pass = encoder.beginComputePass();
  pass.setPipeline(compiled.pipeline);
  pass.setBindGroup(
    0,
    pipelines.group(compiled, program, uniform, [
      { buffer: seed, offset: 0, size: seed.size },
      { buffer: result, offset: 0, size: result.size },
    ]),
    [0],
  );
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(result, 0, staging, 0, result.size);
  gpu.queue.submit([encoder.finish()]);
  await staging.mapAsync(0x1);
  const got = new Uint32Array(staging.getMappedRange().slice(0));
  for (const used of [seed, result, uniform]) pipelines.forget(used);
  for (const used of [seed, result, staging, uniform]) used.destroy();
  const want = selfTestReference(seedValues).result;
  const wrong = got.findIndex((value, i) => value !== want[i]);
  return wrong < 0 ? null : selfTestPart(wrong);
}
