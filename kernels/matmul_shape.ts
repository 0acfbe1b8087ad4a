/**
 * What every matmul kernel shares: the sizes of a product, and what its epilogue does with a finished sum.
 *
 * Fusing is worth it because a product's result is in registers exactly once: adding a bias or applying an activation
 * there costs no memory traffic, as a kernel of its own it costs a read and a write of the whole result.
 * @module
 */
import { type Activation, activationFunctions } from "./activations.ts";
import type { Access, ElementType } from "./kernel.ts";
import { wgsl } from "./wgsl.ts";

/** Sizes of a batch of products y[z] = A[z] B[z], with A[z]: [m, k] and B[z]: [k, n] after transposition. */
export interface MatmulShape {
  /** Number of products. */
  readonly batch: number;
  /** Rows of A[z] and y[z]. */
  readonly m: number;
  /** Columns of B[z] and y[z]. */
  readonly n: number;
  /** Columns of A[z], rows of B[z]: the length of the sums. */
  readonly k: number;
  /** `a` holds [k, m] instead of [m, k]. */
  readonly transposeA?: boolean;
  /** `b` holds [n, k] instead of [k, n]: the layout of weights, [Out, In]. */
  readonly transposeB?: boolean;
  /** One `a` serves the whole batch. */
  readonly sharedA?: boolean;
  /** One `b` serves the whole batch. */
  readonly sharedB?: boolean;
}

/** What happens to a finished sum before it is stored; the default is nothing. */
export interface MatmulEpilogue {
  /** Adds a bias: [n] for all products, or [batch, n]. */
  readonly bias?: "none" | "shared" | "batched";
  /** Adds a tensor of y's shape, as the last layer of a residual block does. */
  readonly residual?: boolean;
  /** Applied after bias and residual. */
  readonly activation?: Activation;
  /** Also stores the sum before the activation, in `pre`: its derivative needs it. */
  readonly keepPre?: boolean;
  /** 1 adds to what y holds, 0 overwrites it; left out, y is never read. */
  readonly accumulate?: 0 | 1;
}

/** The part of an epilogue that changes code. */
export interface EpilogueConfig {
  /** Is there a bias? */
  readonly bias: boolean;
  /** Is there a residual? */
  readonly residual: boolean;
  /** What is applied after both. */
  readonly activation: Activation;
  /** Is the sum before the activation stored too? */
  readonly keepPre: boolean;
  /** Is y read as well, so that it can be added to? */
  readonly update: boolean;
}

/** Reduces an epilogue to what changes code. */
export function epilogueConfig(epilogue: MatmulEpilogue): EpilogueConfig {
  return {
    bias: (epilogue.bias ?? "none") !== "none",
    residual: epilogue.residual ?? false,
    activation: epilogue.activation ?? "none",
    keepPre: epilogue.keepPre ?? false,
    update: epilogue.accumulate !== undefined,
  };
}

/** True when an epilogue needs whole sums, so that k cannot be split. */
export function needsWholeSums(epilogue: MatmulEpilogue): boolean {
  const { bias, residual, activation, keepPre } = epilogueConfig(epilogue);
  return bias || residual || keepPre || activation !== "none";
}

/** Bindings of the results, the bias and the residual, for `defineProgram`. */
export function epilogueBindings(
  config: EpilogueConfig,
  type: ElementType,
): Record<string, `${Access} ${ElementType}`> {
  return {
    ...(config.bias ? { bias: `read ${type}` as const } : {}),
    ...(config.residual ? { residual: `read ${type}` as const } : {}),
    y: config.update ? `update ${type}` : `write ${type}`,
    ...(config.keepPre ? { pre: `write ${type}` as const } : {}),
  };
}

/**
 * WGSL: `fn store(at: u32, bias_at: u32, sum: T)`, which finishes one element (or four neighbours) of y. Its program
 * needs the parameter `accumulate`.
 */
export function epilogueFunction(config: EpilogueConfig, type: "f32" | "vec4f"): string {
  const { bias, residual, activation, keepPre, update } = config;
  return wgsl`
#if ${activation !== "none"}
${activationFunctions(activation, type)}
#endif
fn store(at: u32, bias_at: u32, sum: ${type}) {
  var value = sum;
  #if ${bias}
  value += bias[bias_at];
  #endif
  #if ${residual}
  value += residual[at];
  #endif
  #if ${keepPre}
  pre[at] = value;
  #endif
  #if ${activation !== "none"}
  value = ${activation}(value);
  #endif
  #if ${update}
  // select, not a product with accumulate: what is overwritten may be NaN
  value += select(${type}(0.0), y[at], params.accumulate == 1u);
  #endif
  y[at] = value;
}`;
}

/** Sizes of the bindings, operations and bytes of a product: equal for every variant. */
export function matmulCost(
  shape: MatmulShape,
  epilogue: MatmulEpilogue,
): { sizes: Record<string, number>; flops: number; bytes: number } {
  const { batch, m, n, k } = shape;
  const sizes = {
    a: (shape.sharedA ? 1 : batch) * m * k,
    b: (shape.sharedB ? 1 : batch) * k * n,
    bias: epilogue.bias === "batched" ? batch * n : n,
    residual: batch * m * n,
    y: batch * m * n,
    pre: batch * m * n,
  };
  const { flops, bytes } = epilogueCost(sizes.y, epilogue);
  return {
    sizes,
    flops: 2 * k * sizes.y + flops,
    bytes: 4 * (sizes.a + sizes.b + (epilogueConfig(epilogue).bias ? sizes.bias : 0)) + bytes,
  };
}

/** Operations of an epilogue on `size` sums, and bytes of what it reads and writes, the bias apart. */
export function epilogueCost(
  size: number,
  epilogue: MatmulEpilogue,
): { flops: number; bytes: number } {
  const { bias, residual, activation, keepPre } = epilogueConfig(epilogue);
  const count = (...flags: boolean[]) => flags.filter(Boolean).length;
  const adds = epilogue.accumulate === 1;
  return {
    flops: size * count(bias, residual, activation !== "none", adds),
    bytes: 4 * size * (1 + count(residual, keepPre, adds)),
  };
}
