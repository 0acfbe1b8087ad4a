/**
 * What most runners share: the scalar loss of a case, its gradients, and reading both back.
 * @module
 */
import type { Device } from "../engine/device.ts";
import { DataError, ShapeError } from "../engine/errors.ts";
import type { Tensor } from "../engine/tensor.ts";
import { add, mul, sum } from "../engine/ops/mod.ts";
import type { GoldenCase, Results } from "./case.ts";

/** Tensors by their name without the prefix. */
export type Named = Readonly<Record<string, Tensor>>;

/**
 * One of them.
 * @throws {DataError} there is none of this name
 */
export function pick(named: Named, name: string): Tensor {
  const tensor: Tensor | undefined = named[name];
  if (tensor === undefined) throw new DataError(`there is no ${name}`);
  return tensor;
}

/**
 * The scalar loss of a case without a stored loss function: the sum over all outputs with a probe of sum(output * probe).
 */
export function probeLoss(golden: GoldenCase, device: Device, outputs: Named): Tensor {
  const terms = golden.namesUnder("probe.").map((name) =>
    sum(mul(pick(outputs, name), golden.upload(device, `probe.${name}`)))
  );
  return terms.reduce((a, b) => add(a, b));
}

/** @throws {ShapeError} an output has another shape than the stored one */
function checkShapes(golden: GoldenCase, outputs: Named): void {
  for (const [name, { shape }] of Object.entries(outputs)) {
    if (!golden.has(`output.${name}`)) continue;
    const want = golden.shape(`output.${name}`);
    if (shape.join() !== want.join()) {
      throw new ShapeError(`output.${name} has shape [${shape}], want [${want}]`);
    }
  }
}

/**
 * Runs a function in one step, differentiates its loss and reads everything that the case stores.
 * @param run makes outputs and, where the case stores one, the loss; without it the probes' loss is used
 * @param leaves what gradients are stored for, by the name behind `grad.`: `input.x`, `param.phi`
 */
export async function runDifferentiated(
  golden: GoldenCase,
  device: Device,
  run: () => { outputs: Named; loss?: Tensor; leaves: Named },
): Promise<Results> {
  const reads = await device.step(() => {
    const { outputs, loss: ownLoss, leaves } = run();
    checkShapes(golden, outputs);
    const hasProbes = golden.namesUnder("probe.").length > 0;
    const loss = ownLoss ?? (hasProbes ? probeLoss(golden, device, outputs) : undefined);
    if (loss !== undefined && golden.namesUnder("grad.").length > 0) loss.backward();
    const reads = new Map<string, Promise<ArrayLike<number>>>();
    for (const [name, tensor] of Object.entries(outputs)) {
      reads.set(`output.${name}`, tensor.data());
    }
    if (loss !== undefined) reads.set("output.loss", loss.data());
    for (const [name, leaf] of Object.entries(leaves)) {
      if (leaf.grad !== null) reads.set(`grad.${name}`, leaf.grad.data());
    }
    return reads;
  });
  const results: Results = new Map();
  for (const [name, read] of reads) results.set(name, await read);
  return results;
}

/** Uploads all tensors whose names begin with a prefix, by their full names. */
export function uploadAll(golden: GoldenCase, device: Device, prefix: string): Named {
  return Object.fromEntries(
    golden.namesUnder(prefix).map((name) => [
      prefix + name,
      golden.upload(device, prefix + name),
    ]),
  );
}
