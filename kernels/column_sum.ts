/**
 * Sums down the columns of a matrix, whole or by strips of rows: what bias gradients, layer norm and split K end with.
 *
 * Math    y[s, c] = sum of x[r, c] over the rows r of strip s; with accumulate 1 it is added to what y holds.
 *         One strip gives the column sums; many strips give partial sums for a second launch. The split depends on shape
 *         and adapter class only, so the order of additions, and with it every bit, is the same from run to run.
 * Shapes  x [rows, cols] -> y [strips, cols], f32; the last strip may be shorter.
 * Work    One invocation per strip and column (four columns where their number allows). A tall matrix has too few columns
 *         to fill a GPU, hence strips (`columnSumStrip`).
 * Memory  x once, neighbours on neighbouring columns: coalesced. One addition for 4 bytes: bound by memory.
 * @module
 */
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS } from "./snippets.ts";
import type { Target } from "./target.ts";
import { wgsl } from "./wgsl.ts";

/** Options of `columnSum`. */
export interface ColumnSumOptions {
  /** 1 adds to what y holds; default 0. */
  readonly accumulate?: 0 | 1;
  /** Rows of a strip; default all. */
  readonly strip?: number;
}

const SIZE = 32;

const program = memoize(({ vectors }: { vectors: boolean }) => {
  const type = vectors ? "vec4<f32>" : "f32";
  const alias = vectors ? "vec4f" : "f32";
  return defineProgram({
    name: "column_sum",
    variant: vectors ? "vec4" : "readable",
    params: { rows: "u32", cols: "u32", strip: "u32", count: "u32", accumulate: "u32" },
    bindings: { x: `read ${type}`, y: `update ${type}` },
    workgroupSize: SIZE,
    code: wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let own = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (own >= params.count) { return; }
  let begin = own / params.cols * params.strip;
  let column = own % params.cols;
  let end = min(begin + params.strip, params.rows);
  var sum = ${alias}(0.0);
  for (var row = begin; row < end; row++) { sum += x[row * params.cols + column]; }
  // select, not a product with accumulate: what is overwritten may be NaN
  y[own] = sum + select(${alias}(0.0), y[own], params.accumulate == 1u);
}`,
  });
});

/** y [strips, cols] from x [rows, cols]. */
export function columnSum(rows: number, cols: number, options: ColumnSumOptions = {}): Kernel {
  const { accumulate = 0, strip = rows } = options;
  const strips = Math.max(1, ceilDiv(rows, Math.max(1, strip)));
  const vectors = cols % 4 === 0;
  const count = strips * (vectors ? cols / 4 : cols);
  return {
    program: program({ vectors }),
    params: { rows, cols: vectors ? cols / 4 : cols, strip, count, accumulate },
    sizes: { x: rows * cols, y: strips * cols },
    workgroups: foldWorkgroups(ceilDiv(count, SIZE)),
    flops: rows * cols,
    bytes: 4 * (rows + (1 + accumulate) * strips) * cols,
    reference: ({ x, y }) => columnSumReference(rows, cols, x, { strip, accumulate, y }),
  };
}

/**
 * Rows of a strip when a sum is worth two launches; `rows` when one is enough. Software adapters have two to some dozen
 * lanes and dear dispatches; a GPU wants some ten thousand invocations.
 */
export function columnSumStrip(rows: number, cols: number, target: Target): number {
  const wanted = target.adapterClass === "software" ? 64 : 16384;
  const strips = Math.min(ceilDiv(wanted, Math.max(1, cols)), ceilDiv(rows, 16));
  return strips < 2 ? rows : ceilDiv(rows, strips);
}

/** The plain loop; `y` is what an accumulating sum adds to. */
export function columnSumReference(
  rows: number,
  cols: number,
  x: ArrayLike<number>,
  { strip = rows, accumulate = 0, y: before }: ColumnSumOptions & { y?: ArrayLike<number> } = {},
): { y: Float64Array } {
  const y = new Float64Array(Math.max(1, ceilDiv(rows, Math.max(1, strip))) * cols);
  if (accumulate) y.set(before!);
  for (let row = 0; row < rows; row++) {
    const first = Math.floor(row / strip) * cols;
    for (let c = 0; c < cols; c++) y[first + c] += x[row * cols + c];
  }
  return { y };
}
