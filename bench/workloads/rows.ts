/**
 * Operations on rows and elements: softmax, layer norm, GELU, entmax.
 * @module
 */
import { entmax15, gelu, layerNorm, softmax, type Tensor } from "../../mod.ts";
import { elements, type HostTensors, uniform } from "../host_tensor.ts";
import type { Ops } from "../ops/ops.ts";
import { type ForwardWork, once, type Workload } from "../workload.ts";
import { forwardRun } from "./ours.ts";

/** An operation that reads x and writes y of the same shape: its bytes are what counts. */
function rowsWorkload(
  name: string,
  shape: readonly number[],
  spread: number,
  weights: () => HostTensors,
  compute: <T>(ops: Ops<T>, x: Readonly<Record<string, T>>) => T,
  ours: (x: Record<string, Tensor>) => Tensor,
): Workload {
  const work = once((): ForwardWork => ({
    kind: "forward",
    inputs: { x: uniform(shape, 1, spread) },
    weights: weights(),
    compute: (ops, x) => ({ y: compute(ops, x) }),
  }));
  return {
    name,
    shape: shape.join("x"),
    flops: null,
    bytes: 8 * elements(shape),
    tolerance: 1e-5,
    work,
    wgrad: (device) => forwardRun(device, work(), (x) => ({ y: ours(x) })),
  };
}

/** Softmax over the last axis. */
export function softmaxWorkload(rows: number, n: number): Workload {
  const compute = <T>(ops: Ops<T>, { x }: Readonly<Record<string, T>>) => ops.softmax(x, 1);
  return rowsWorkload("softmax", [rows, n], 4, () => ({}), compute, ({ x }) => softmax(x));
}

/** Layer norm with scale and offset. */
export function layerNormWorkload(rows: number, n: number): Workload {
  const weights = () => ({ weight: uniform([n], 2, 0.2, 1), bias: uniform([n], 3, 0.1) });
  const compute = <T>(ops: Ops<T>, p: Readonly<Record<string, T>>) =>
    ops.layerNorm(p.x, p.weight, p.bias, 1e-6);
  return rowsWorkload(
    "layer norm",
    [rows, n],
    2,
    weights,
    compute,
    (p) => layerNorm(p.x, p.weight, p.bias, 1e-6),
  );
}

/** Exact GELU. */
export function geluWorkload(rows: number, n: number): Workload {
  const compute = <T>(ops: Ops<T>, { x }: Readonly<Record<string, T>>) => ops.gelu(x);
  return rowsWorkload("gelu", [rows, n], 3, () => ({}), compute, ({ x }) => gelu(x));
}

/** Entmax-1.5 over the last axis. */
export function entmaxWorkload(rows: number, n: number): Workload {
  const compute = <T>(ops: Ops<T>, { x }: Readonly<Record<string, T>>) => ops.entmax15(x);
  return rowsWorkload("entmax-1.5", [rows, n], 2, () => ({}), compute, ({ x }) => entmax15(x));
}

/** At the sizes of ViT-Tiny with batch 8 and of its SpheroMoE layer. */
export const ROWS: readonly Workload[] = [
  softmaxWorkload(4728, 197),
  layerNormWorkload(1576, 192),
  geluWorkload(1576, 768),
  entmaxWorkload(1576, 294),
];
