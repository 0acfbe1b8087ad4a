/**
 * What a catalogue entry is, and helpers to write many calls down shortly.
 * @module
 */
import type { Kernel } from "../kernel.ts";
import { type AdapterClass, DEFAULT_TARGET, type Target } from "../target.ts";

/** One launch function with its calls. */
export interface CatalogueEntry {
  /** The file that holds it, without `.ts`. */
  readonly family: string;
  /** The function's name. */
  readonly launch: string;
  /** Kernels of the small calls: awkward sizes that together reach every program. */
  readonly small: () => readonly CataloguedKernel[];
  /** Kernels of huge calls, which reach the limits of a dispatch; not meant to run. */
  readonly huge: () => readonly CataloguedKernel[];
}

/** A kernel with what a test needs to run and judge it. */
export interface CataloguedKernel {
  /** The kernel. */
  readonly kernel: Kernel;
  /** What the call selected a variant for; absent where it names the variant itself. */
  readonly target?: Target;
  /** Element `i` of a binding that is read or updated, made from `value`, a pseudo-random number. */
  readonly input: (value: number, name: string, i: number) => number;
}

/** The calls of a launch function. */
export interface Calls<A extends readonly unknown[]> {
  /** Arguments of the small calls; one with a `Target` among them counts as a selection. */
  readonly small: readonly Readonly<A>[];
  /** Arguments of the huge calls. */
  readonly huge?: readonly Readonly<A>[];
  /** See `CataloguedKernel`; default: the value as it is. */
  readonly input?: (value: number, name: string, i: number, args: Readonly<A>) => number;
}

/**
 * An entry of the catalogue.
 * @param family the file that holds the function, without `.ts`
 * @param launch returns a kernel, or an object with kernels among its values
 */
export function entry<A extends readonly unknown[]>(
  family: string,
  launch: (...args: A) => object,
  { small, huge = [], input = (value) => value }: Calls<NoInfer<A>>,
): CatalogueEntry {
  const kernelsOf = (args: Readonly<A>): CataloguedKernel[] => {
    const launched = launch(...[...args] as unknown as A);
    const kernels = isKernel(launched) ? [launched] : Object.values(launched).filter(isKernel);
    return kernels.map((kernel) => ({
      kernel,
      target: args.find(isTarget),
      input: (value, name, i) => input(value, name, i, args),
    }));
  };
  return {
    family,
    launch: launch.name,
    small: () => small.flatMap(kernelsOf),
    huge: () => huge.flatMap(kernelsOf),
  };
}

function isKernel(value: unknown): value is Kernel {
  return typeof value === "object" && value !== null && "program" in value;
}

function isTarget(value: unknown): value is Target {
  return typeof value === "object" && value !== null && "adapterClass" in value;
}

/** The default limits with each class of adapter. */
export const TARGETS: readonly Target[] = (["discrete", "integrated", "software"] as const)
  .map((adapterClass: AdapterClass) => ({ ...DEFAULT_TARGET, adapterClass }));

/** Pairs every item of `a` with every one of `b`. */
export function pairs<A, B>(a: readonly A[], b: readonly B[]): [A, B][] {
  return a.flatMap((x) => b.map((y): [A, B] => [x, y]));
}

/** A call for every item. */
export function each<T>(items: readonly T[]): [T][] {
  return items.map((item) => [item]);
}

/** A flag that is off, then on. */
export const BOTH: readonly [false, true] = [false, true];

/** Floats of the largest binding that every device has. */
export const HUGE: number = 2 ** 25;

/** A value that equals others now and then: one of 0, 0.5 and 1, and their negatives. */
export function coarse(value: number): number {
  return Math.round(2 * value) / 2;
}
