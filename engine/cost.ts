/**
 * How long a kernel will take, roughly, so that no submit holds a slow device until its driver loses patience.
 *
 * Drivers give up on a submit after about 2 seconds, and browsers and desktops stutter long before. Submits are therefore
 * cut between dispatches where their predicted times pass `SUBMIT_MS`, and a dispatch that is predicted to take longer
 * is divided by its workgroups, that is by rows of its output.
 *
 * The prediction is meant for the slow devices of a class and the slow kernels of a family: on a good device, submits are
 * a tenth as long, which costs little. Only where submits are cut depends on it, never what is computed.
 * @module
 */
import { divide, type LaunchPart } from "../kernels/divide.ts";
import type { Kernel } from "../kernels/kernel.ts";
import type { AdapterClass } from "../kernels/target.ts";
import { leastTime, type Roofline } from "./roofline.ts";

/** What to expect of an adapter. */
export interface Rates {
  /** Arithmetic of an ordinary kernel in GFLOP/s. */
  readonly gflops: number;
  /** Memory of an ordinary kernel in GB/s. */
  readonly gbs: number;
  /** Milliseconds that any dispatch takes. */
  readonly dispatch: number;
}

/** Milliseconds that a submit may be predicted to take. */
export const SUBMIT_MS = 100;

/** Slow devices of each class; software: two cores. */
const RATES: Readonly<Record<AdapterClass, Rates>> = {
  discrete: { gflops: 500, gbs: 50, dispatch: 0.01 },
  integrated: { gflops: 50, gbs: 5, dispatch: 0.02 },
  software: { gflops: 2, gbs: 1, dispatch: 0.1 },
};

/** Parts of the roofline that an ordinary kernel reaches. */
const ARITHMETIC = 0.1, MEMORY = 0.3;

/** What to expect of an adapter, from its roofline where that was measured, else from its class. */
export function ratesOf(adapterClass: AdapterClass, roofline: Roofline | null): Rates {
  const rates = RATES[adapterClass];
  if (roofline === null) return rates;
  return { ...rates, gflops: ARITHMETIC * roofline.gflops, gbs: MEMORY * roofline.gbs };
}

/** Predicted milliseconds of a kernel. */
export function predictedMs(kernel: Pick<Kernel, "flops" | "bytes">, rates: Rates): number {
  return leastTime(kernel, rates).ms + rates.dispatch;
}

/** A part of a launch with its predicted time. */
export interface TimedPart extends LaunchPart {
  /** Predicted milliseconds. */
  readonly ms: number;
}

/** A launch in parts that are predicted to take at most `SUBMIT_MS` each, as far as it can be divided. */
export function inParts(kernel: Kernel, rates: Rates): TimedPart[] {
  const { ms } = leastTime(kernel, rates);
  return divide(kernel, Math.ceil(ms / SUBMIT_MS))
    .map((part) => ({ ...part, ms: part.share * ms + rates.dispatch }));
}

/** Whether a submit that takes `ms` so far must end before a dispatch of `next`. */
export function isFull(ms: number, next: number): boolean {
  return ms > 0 && ms + next > SUBMIT_MS;
}
