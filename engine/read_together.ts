/**
 * Reads many tensors in one go: tensors that lie in one buffer, as parameters in an arena do, share one copy.
 * @module
 */
import type { VirtualBuffer } from "./buffers.ts";
import { expectFloat, type HostArray, type Tensor } from "./tensor.ts";

/** Tensors whose values fill less than this part of the range they span are read one by one. */
const DENSE_ENOUGH = 0.5;

/**
 * The values of f32 and f16 tensors as f32, in order. All reads join one list, so the GPU is waited for once. Arrays of tensors in one
 * buffer may be views of one array.
 * @throws {DTypeError} when one holds no floats
 */
export async function readTogether(tensors: readonly Tensor[]): Promise<Float32Array[]> {
  const byBuffer = new Map<VirtualBuffer, number[]>();
  tensors.forEach((tensor, i) => {
    expectFloat("readTogether(): tensor", tensor);
    const { buffer } = tensor.storage;
    const there = byBuffer.get(buffer);
    if (there) there.push(i);
    else byBuffer.set(buffer, [i]);
  });
  const values: Promise<Float32Array>[] = new Array(tensors.length);
  for (const [buffer, members] of byBuffer) {
    const ranges = members.map((i) => tensors[i].range);
    const start = Math.min(...ranges.map((r) => r.offset));
    const bytes = Math.max(...ranges.map((r) => r.offset + r.bytes)) - start;
    const used = ranges.reduce((sum, r) => sum + r.bytes, 0);
    const plain = members.every((i) => tensors[i].dtype === "f32");
    if (plain && members.length > 1 && used >= DENSE_ENOUGH * bytes) {
      const { device } = tensors[members[0]];
      const whole = device.read({ buffer, offset: start, bytes }, (host) => host);
      members.forEach((i, k) => {
        const { offset } = ranges[k];
        values[i] = whole.then((host) => new Float32Array(host, offset - start, tensors[i].size));
      });
    } else {
      for (const i of members) values[i] = tensors[i].data().then(asFloats);
    }
  }
  return await Promise.all(values);
}

function asFloats(values: HostArray): Float32Array {
  return values instanceof Float32Array ? values : Float32Array.from(values);
}
