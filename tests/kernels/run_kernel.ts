/**
 * Runs one kernel on host arrays: how tests reach a variant that the selection would not choose on this adapter.
 * @module
 */
import type { Device } from "../../engine/mod.ts";
import { run } from "../../engine/dispatch.ts";
import type { Kernel } from "../../kernels/kernel.ts";

/**
 * @param inputs values of the bindings that are read (or updated)
 * @returns the values of all other bindings, by name; they started as NaN
 */
export async function runKernel(
  device: Device,
  kernel: Kernel,
  inputs: Readonly<Record<string, ArrayLike<number>>>,
): Promise<Record<string, Float32Array>> {
  const reads = await device.step(() => {
    const tensors = Object.fromEntries(
      kernel.program.bindings.map(({ name }) => {
        const values = inputs[name];
        if (values !== undefined) return [name, device.tensor(Float32Array.from(values))];
        return [name, device.full([kernel.sizes[name]], NaN)];
      }),
    );
    run(kernel, tensors);
    return kernel.program.bindings
      .filter(({ name, access }) => access !== "read" || inputs[name] === undefined)
      .map(({ name }) => ({ name, values: tensors[name].data() }));
  });
  const outputs: Record<string, Float32Array> = {};
  for (const { name, values } of reads) outputs[name] = await values as Float32Array;
  return outputs;
}
