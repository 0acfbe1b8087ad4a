/**
 * Kind 2: the two activations of routing, entmax-1.5 and softmax along an axis.
 * @module
 */
import type { Device } from "../../engine/device.ts";
import { entmax15, softmax } from "../../engine/ops/mod.ts";
import { type GoldenCase, NotUnderstoodError, type Results } from "../case.ts";
import { pick, runDifferentiated, uploadAll } from "../results.ts";

/** Runs a case of kind 2. Its name says which function; it is along the last axis unless an axis is given. */
export function activationCase(golden: GoldenCase, device: Device): Promise<Results> {
  const axis = golden.config.number("axis", -1);
  const activation = golden.name.includes("entmax")
    ? entmax15
    : golden.name.includes("softmax")
    ? softmax
    : undefined;
  if (activation === undefined) {
    throw new NotUnderstoodError("a case of kind 2 that is neither entmax nor softmax");
  }
  return runDifferentiated(golden, device, () => {
    const leaves = uploadAll(golden, device, "input.");
    return { outputs: { y: activation(pick(leaves, "input.x"), axis) }, leaves };
  });
}
