/**
 * What a page of the kernel atlas shows: a family of kernels as passes, each a ladder of rungs that compute the same.
 * @module
 */
import type { Kernel } from "../../kernels/kernel.ts";

/** A formula in TeX with what it says. */
export interface Formula {
  /** In words. */
  readonly caption: string;
  /** Source for the renderer. */
  readonly tex: string;
}

/** Element `i` of a binding that is read or updated, from a pseudo-random `value`: -1 to 1, or a whole number for u32. */
export type MakeInput = (value: number, name: string, i: number) => number;

/** A launch that can be drawn and run. */
export interface Example {
  readonly kernel: Kernel;
  /** Dimensions of each binding, by name, as the family's docs give them; the last two are drawn as rows and columns. */
  readonly shapes: Readonly<Record<string, readonly number[]>>;
  readonly input: MakeInput;
}

/** One way to compute a pass. */
export interface Rung {
  /** Such as `A tile of 8 x 8 sums in registers`. */
  readonly title: string;
  /** The file that holds it, relative to `kernels/`. */
  readonly file: string;
  /** Small enough to draw every element. */
  readonly picture: () => Example;
  /** Large enough to be timed. */
  readonly timed: () => Example;
}

/** One computation of a family: forward, or the gradient of one input. */
export interface Pass {
  /** Such as `Forward` or `Backward`. */
  readonly title: string;
  /** The sizes that are timed, in words. */
  readonly size: string;
  /** The readable rung first. */
  readonly rungs: readonly Rung[];
}

/** A page of the atlas. */
export interface Chapter {
  /** The page's name in addresses. */
  readonly slug: string;
  readonly title: string;
  /** What it is, where both systems use it, and what it teaches, in a few sentences. */
  readonly summary: string;
  readonly formulas: readonly Formula[];
  readonly passes: readonly Pass[];
  /** Files of the family, relative to `kernels/`: their headers are on the page. */
  readonly files: readonly string[];
  /** Its tests, relative to the project. */
  readonly tests: readonly string[];
}

/** A pass in short form: one description for both sizes. */
export interface PassSource<S> {
  readonly title: string;
  /** The sizes to draw and those to time. */
  readonly sizes: { readonly picture: S; readonly timed: S };
  /** The timed sizes in words. */
  readonly size: string;
  /** Dimensions of each binding. */
  readonly shapes: (sizes: S) => Readonly<Record<string, readonly number[]>>;
  readonly input?: (value: number, name: string, i: number, sizes: S) => number;
  readonly rungs: readonly {
    readonly title: string;
    readonly file: string;
    readonly launch: (sizes: S) => Kernel;
  }[];
}

/** Completes a pass. */
export function pass<S>(source: PassSource<S>): Pass {
  const { title, size, sizes, shapes, input = (value) => value } = source;
  const example = (launch: (sizes: S) => Kernel, sizes: S): Example => ({
    kernel: launch(sizes),
    shapes: shapes(sizes),
    input: (value, name, i) => input(value, name, i, sizes),
  });
  return {
    title,
    size,
    rungs: source.rungs.map(({ title, file, launch }) => ({
      title,
      file,
      picture: () => example(launch, sizes.picture),
      timed: () => example(launch, sizes.timed),
    })),
  };
}
