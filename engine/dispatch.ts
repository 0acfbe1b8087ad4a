/**
 * From a kernel and named tensors to a record on the list.
 * @module
 */
import { inHalf } from "../kernels/half.ts";
import type { Kernel } from "../kernels/kernel.ts";
import { throughTexels } from "../kernels/texels.ts";
import { LimitError, ShapeError } from "./errors.ts";
import { here } from "./place.ts";
import { bytesFor, type Tensor } from "./tensor.ts";

/**
 * Appends a dispatch to the device's list: nothing runs yet. Bindings that get f16 tensors are in half storage; inputs are
 * read through textures where the adapter reads them so much faster.
 * @param kernel what to run
 * @param tensors one tensor for each binding, by name, outputs included
 * @throws {ShapeError} when a tensor's size is not what the kernel declared, or the kernel has no workgroup
 * @throws {LimitError} when the device cannot run it
 */
export function run(kernel: Kernel, tensors: Readonly<Record<string, Tensor>>): void {
  const { program, workgroups } = kernel;
  if (!workgroups.every((count) => Number.isInteger(count) && count > 0)) {
    throw new ShapeError(
      `${program.name}: ${
        workgroups.join(" x ")
      } workgroups would run nothing and leave the outputs undefined`,
    );
  }
  const device = tensors[program.bindings[0].name].device;
  const ranges = program.bindings.map(({ name }) => {
    const tensor = tensors[name];
    if (tensor === undefined) {
      throw new ShapeError(
        `${program.name}: binding ${name} got no tensor; it takes ${
          program.bindings.map((b) => b.name).join(", ")
        }`,
      );
    }
    if (tensor.device !== device) {
      throw new ShapeError(`${program.name}: ${name} lives on another device; copy it there first`);
    }
    const { size } = tensor;
    if (size !== kernel.sizes[name]) {
      throw new ShapeError(
        `${program.name}: ${name} = ${tensor.describe()} has ${size} elements, needs ${
          kernel.sizes[name]
        }`,
      );
    }
    const bytes = bytesFor(size, tensor.dtype);
    if (bytes > device.target.maxBindingBytes) {
      throw new LimitError(
        `${program.name}: ${name} = ${tensor.describe()} takes ${bytes} bytes, this device binds at most ` +
          `${device.target.maxBindingBytes}; use a smaller batch or split the tensor`,
      );
    }
    return tensor.range;
  });
  for (let i = 0; i < ranges.length; i++) {
    if (program.bindings[i].access === "read") continue;
    for (let k = 0; k < ranges.length; k++) {
      if (k !== i && ranges[k].buffer === ranges[i].buffer) {
        throw new ShapeError(
          `${program.name}: ${program.bindings[i].name} is written in the buffer that ` +
            `${program.bindings[k].name} uses; WebGPU forbids that`,
        );
      }
    }
  }
  const halves = program.bindings.flatMap(({ name }) =>
    tensors[name].dtype === "f16" ? [name] : []
  );
  device.append({
    kind: "dispatch",
    kernel: inHalf(throughTexels(kernel, device.target), halves),
    ranges,
    place: here(program.name),
  });
}
