/**
 * Random masks and noise. Which numbers a call gets is decided by the device's seed, the number of the step and the
 * number of the call within it, so a training run can be repeated and resumed bit for bit (kernels/random.ts).
 *
 *     y = x m / (1 - p)    dx = dy m / (1 - p)    with m = 1 or 0, made again in the backward
 * @module
 */
import { dropout as dropoutKernel, dropoutMask, normalNoise } from "../../kernels/random.ts";
import { record } from "../autograd.ts";
import type { Device } from "../device.ts";
import { run } from "../dispatch.ts";
import { ScopeError, ShapeError } from "../errors.ts";
import { normalTable } from "../random/normal.ts";
import { expectFloat, Tensor } from "../tensor.ts";
import { broadcastMap } from "./broadcast.ts";

/**
 * Sets each element to 0 with probability p and scales the others by 1 / (1 - p), so that the mean stays. For training
 * only: leave it out in evaluation.
 *
 * Gradient: dx = dy m / (1 - p), the mask m of 0 and 1 made again.
 * @param p in [0, 1]; 0 returns x itself
 * @throws {ShapeError} for another p
 */
export function dropout(x: Tensor, p: number): Tensor {
  expectFloat("dropout: x", x);
  expectProbability("dropout", p);
  if (p === 0 || x.size === 0) return x;
  const { device } = x;
  const y = device.empty(x.shape, x.dtype, "dropout");
  const { block, call } = device.nextRandom();
  run(dropoutKernel(x.size, call, p), { block, x, y });
  const { seed, stepIndex } = device;
  record("dropout", {
    inputs: { x },
    outputs: [y],
    saved: { block },
    backward: ({ saved, dOut }) => {
      if (dOut.device.seed !== seed || dOut.device.stepIndex !== stepIndex) {
        throw new ScopeError(
          "dropout(): backward() runs in another step, or with another seed, than forward; its mask cannot be made again",
        );
      }
      const dx = dOut.device.empty(dOut.shape, dOut.dtype, "dropout.backward");
      run(dropoutKernel(dOut.size, call, p), { block: saved.block, x: dOut, y: dx });
      return { x: dx };
    },
  });
  return y;
}

/**
 * Sets whole samples x[b] to 0 with probability p and scales the others by 1 / (1 - p): stochastic depth
 * (arXiv:1603.09382), when x is the output of a residual branch.
 *
 * Gradient: dx = dy m / (1 - p), with the mask m of the samples.
 * @param x [B, ...]
 * @param p in [0, 1]; 0 returns x itself
 * @throws {ShapeError} for another p, or a scalar
 */
export function dropPath(x: Tensor, p: number): Tensor {
  expectFloat("dropPath: x", x);
  expectProbability("dropPath", p);
  if (x.rank === 0) throw new ShapeError("dropPath(): x is a scalar, needs [B, ...]");
  if (p === 0 || x.size === 0) return x;
  const { device } = x;
  // One number a sample: it is kept for the backward, as making it again would cost a dispatch and save nothing.
  const mask = device.empty([x.shape[0], ...x.shape.slice(1).map(() => 1)], "f32", "dropPath.mask");
  const { block, call } = device.nextRandom();
  run(dropoutMask(mask.size, call, p), { block, y: mask });
  const y = broadcastMap("dropPath", "mul", x.shape, { a: x, b: mask }, x.dtype);
  record("dropPath", {
    inputs: { x },
    outputs: [y],
    saved: { mask },
    backward: ({ saved, dOut }) => ({
      x: broadcastMap(
        "dropPath.backward",
        "mul",
        dOut.shape,
        { a: dOut, b: saved.mask },
        dOut.dtype,
      ),
    }),
  });
  return y;
}

/**
 * Normal numbers with mean 0 and standard deviation `scale`, the same bits on every adapter.
 *
 * Gradient: none: noise is a constant.
 */
export function gaussianNoise(device: Device, shape: readonly number[], scale: number): Tensor {
  const y = device.empty(shape, "f32", "gaussianNoise");
  if (y.size === 0) return y;
  const { block, call } = device.nextRandom();
  run(normalNoise(y.size, call, scale), { block, knots: knotsOn(device), y });
  return y;
}

const tables = new WeakMap<Device, Tensor>();

/** The table of normal quantiles, uploaded once a device. */
function knotsOn(device: Device): Tensor {
  let table = tables.get(device);
  if (table === undefined) {
    const buffer = device.persistent(normalTable().length, "normal quantiles");
    table = new Tensor(device, [normalTable().length], "u32", { buffer, offset: 0 });
    tables.set(device, table);
  }
  // Recorded writes may never run (a dry run): write until one has.
  if (!table.storage.buffer.written) device.write(table, normalTable());
  return table;
}

function expectProbability(name: string, p: number): void {
  if (!(p >= 0 && p <= 1)) {
    throw new ShapeError(`${name}(): p is ${p}, needs a probability in [0, 1]`);
  }
}
