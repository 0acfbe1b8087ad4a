/**
 * What an operation costs when there is next to nothing to compute: a chain of 1,000 products of 8 x 8. Products, because
 * some frameworks fold a chain of additions into one kernel or none.
 * @module
 */
import { matmul } from "../../mod.ts";
import { generator, type HostTensor, uniform } from "../host_tensor.ts";
import { type ForwardWork, once, type Workload } from "../workload.ts";
import { forwardRun } from "./ours.ts";

const SIDE = 8;

/** y = x r r … r with a rotation r, so that the values neither grow nor vanish. @param eager call op by op */
export function tinyOpsWorkload(count: number, eager: boolean): Workload {
  const work = once((): ForwardWork => ({
    kind: "forward",
    inputs: { x: uniform([SIDE, SIDE], 1), r: rotation() },
    weights: {},
    compute: (ops, { x, r }) => ({ y: chain(x, (y) => ops.matmul(y, r), count) }),
  }));
  return {
    name: eager ? "tiny op, eager" : "tiny op, prepared",
    shape: `chain of ${count} matmuls ${SIDE}x${SIDE}x${SIDE}`,
    flops: null,
    bytes: null,
    unitsPerRun: count,
    eager,
    tolerance: 1e-3, // rounding adds up over the chain
    work,
    wgrad: (device) =>
      forwardRun(device, work(), ({ x, r }) => ({ y: chain(x, (y) => matmul(y, r), count) })),
  };
}

function chain<T>(x: T, step: (x: T) => T, count: number): T {
  for (let i = 0; i < count; i++) x = step(x);
  return x;
}

/** Turns pairs of coordinates by angles of their own. */
function rotation(): HostTensor {
  const data = new Float32Array(SIDE * SIDE), next = generator(5);
  for (let i = 0; i < SIDE; i += 2) {
    const angle = 2 * Math.PI * next();
    data[i * SIDE + i] = data[(i + 1) * SIDE + i + 1] = Math.cos(angle);
    data[i * SIDE + i + 1] = -Math.sin(angle);
    data[(i + 1) * SIDE + i] = Math.sin(angle);
  }
  return { shape: [SIDE, SIDE], data };
}

/** 1,000 of them. */
export const TINY_OPS: readonly Workload[] = [
  tinyOpsWorkload(1000, false),
  tinyOpsWorkload(1000, true),
];
