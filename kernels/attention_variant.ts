/**
 * Which attention kernels serve a shape on an adapter.
 *
 * Few tokens need no kernel of their own: with 3 (gaze queries; 14 x 8 heads, Dh = 32) all rows of a head belong to one
 * invocation, and on lavapipe a pass takes 0.07 to 0.1 ms where an empty dispatch takes 0.03 to 0.08 ms.
 * @module
 */
import type { AttentionShape } from "./attention_reference.ts";
import type { AttentionTiling } from "./attention_online.ts";
import type { Target } from "./target.ts";

/** The online kernels with their tilings, or the readable ones. */
export type AttentionVariant =
  | { readonly kind: "readable" }
  | {
    readonly kind: "online";
    readonly forward: AttentionTiling;
    readonly backwardQ: AttentionTiling;
    readonly backwardKV: AttentionTiling;
  };

/** Most vectors of one row that are held in registers; beyond that the readable kernels run. */
const MAX_VECTORS = 32;

/**
 * Vectors that an invocation of a software adapter holds of q (or k) over all its rows. More would still be a little
 * faster, but compilation grows with the square: at Dh = 64, lavapipe, 8 x 3 x 197 tokens, 4 rows instead of 3 forward
 * and 2 backward win 10 % and 30 % of the time, and compile in 7 s instead of 2.6 s.
 */
const VECTORS = { forward: 48, backward: 32 } as const;

/** Most rows of an invocation, so that the code stays small. */
const MAX_ROWS = 8;

/** Invocations of a workgroup on a software adapter: as many as lavapipe has lanes, twice those of SwiftShader. */
const SOFTWARE_SIZE = 8;

/** Bytes of the two tiles in workgroup memory: half of what is always there, so that two workgroups fit. */
const TILE_BYTES = 8192;

/** Chooses the variant; the last in the list, the readable one, serves any shape on any device. */
export function attentionVariant(shape: AttentionShape, target: Target): AttentionVariant {
  const width = shape.headDim % 4 === 0 ? 4 : 1;
  const vectors = shape.headDim / width;
  if (vectors > MAX_VECTORS) return { kind: "readable" };
  if (target.adapterClass === "software") {
    const tiling = (budget: number): AttentionTiling => {
      const most = Math.max(1, Math.min(MAX_ROWS, Math.floor(budget / vectors)));
      const rows = evenRows(shape.tokens, most);
      return { width, vectors, rows, tile: 0, size: SOFTWARE_SIZE };
    };
    const backward = tiling(VECTORS.backward);
    return {
      kind: "online",
      forward: tiling(VECTORS.forward),
      backwardQ: backward,
      backwardKV: backward,
    };
  }
  const size = shape.tokens <= 32 ? 32 : 64;
  const tile = Math.max(1, Math.min(size, Math.floor(TILE_BYTES / (8 * shape.headDim))));
  const tiling: AttentionTiling = { width, vectors, rows: 1, tile, size };
  return { kind: "online", forward: tiling, backwardQ: tiling, backwardKV: tiling };
}

/** Rows of an invocation, at most `most`, that leave few beyond the end: 49 tokens go 7 by 7, not 8 by 8. */
function evenRows(tokens: number, most: number): number {
  return Math.ceil(tokens / Math.ceil(tokens / most));
}
