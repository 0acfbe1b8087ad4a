/**
 * Matrix products: squares, and those of a ViT-Tiny at batch 1 and 8.
 * @module
 */
import { matmul } from "../../mod.ts";
import { generator, type HostTensors, uniform } from "../host_tensor.ts";
import { product } from "../reference/product.ts";
import { type Expected, type ForwardWork, once, type Workload } from "../workload.ts";
import { forwardRun } from "./ours.ts";

/**
 * y [m, n] = a [m, k] b [k, n].
 * @param mostChecked the most multiply-adds that a check takes; a larger product is checked in some of its rows
 */
export function matmulWorkload(
  m: number,
  k: number,
  n: number,
  mostChecked = 2 ** 28,
): Workload {
  const work = once((): ForwardWork => ({
    kind: "forward",
    inputs: { a: uniform([m, k], 1), b: uniform([k, n], 2) },
    weights: {},
    compute: (ops, { a, b }) => ({ y: ops.matmul(a, b) }),
  }));
  return {
    name: "matmul",
    shape: `${m}x${k}x${n}`,
    flops: 2 * m * k * n,
    bytes: 4 * (m * k + k * n + m * n),
    tolerance: 1e-5,
    work,
    reference: () => ({ y: sampledRows(work().inputs, [m, k, n], mostChecked) }),
    wgrad: (device) => forwardRun(device, work(), ({ a, b }) => ({ y: matmul(a, b) })),
  };
}

/** Whole rows of the product, all of them or a random choice that meets every tile of a kernel many times. */
function sampledRows(
  { a, b }: HostTensors,
  [m, k, n]: readonly number[],
  mostChecked: number,
): Expected {
  const count = Math.min(m, Math.max(1, Math.floor(mostChecked / (k * n))));
  const next = generator(3);
  const rows = Array.from({ length: m }, (_, i) => i);
  for (let i = 0; i < count; i++) { // the beginning of a shuffle
    const j = i + Math.floor(next() * (m - i));
    [rows[i], rows[j]] = [rows[j], rows[i]];
  }
  const chosen = new Float64Array(count * k);
  for (let i = 0; i < count; i++) {
    chosen.set(a.data.subarray(rows[i] * k, (rows[i] + 1) * k), i * k);
  }
  const values = product({ batch: 1, m: count, n, k }, chosen, Float64Array.from(b.data));
  return { values, at: Uint32Array.from(values, (_, i) => rows[Math.floor(i / n)] * n + i % n) };
}

/** The ladder. */
export const MATMULS: readonly Workload[] = [
  ...[256, 512, 1024, 2048].map((size) => matmulWorkload(size, size, size)),
  matmulWorkload(197, 192, 768),
  matmulWorkload(197, 768, 192),
  matmulWorkload(1576, 192, 576),
  matmulWorkload(1576, 192, 768),
];
