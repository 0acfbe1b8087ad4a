/**
 * The two additions that the tape needs itself; no op, since they are never differentiated.
 * @module
 */
import { addGradientsKernel, addInto } from "../kernels/add_into.ts";
import { promoted } from "./cast.ts";
import { run } from "./dispatch.ts";
import type { GradTarget } from "./autograd.ts";
import type { Tensor } from "./tensor.ts";

/** Sum of two gradients of one tensor. */
export function addGradients(a: Tensor, b: Tensor): Tensor {
  const y = a.device.empty(a.shape, promoted(a, b), "gradient");
  if (y.size > 0) run(addGradientsKernel(a.size), { a, b, y });
  return y;
}

/** Puts a gradient into its fixed place, or adds it to what is there. */
export function storeGradient(a: Tensor, { tensor, accumulate }: GradTarget): void {
  if (a.size > 0) run(addInto(a.size, accumulate), { a, y: tensor });
}
