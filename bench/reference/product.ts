/**
 * Batched matrix product in float64 by plain loops: the slow truth that results are compared with.
 * @module
 */

/** Sizes of a product; `transposeA`: a holds [k, m], `transposeB`: b holds [n, k]. */
export interface ProductShape {
  readonly batch: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
}

/** a [batch, m, k] times b [batch, k, n], rows of a with columns of b, four columns side by side. */
export function product(
  { batch, m, n, k, transposeA = false, transposeB = false }: ProductShape,
  a: Float64Array,
  b: Float64Array,
): Float64Array<ArrayBuffer> {
  const y = new Float64Array(batch * m * n);
  for (let z = 0; z < batch; z++) {
    const rows = asRows(a.subarray(z * m * k, (z + 1) * m * k), m, k, transposeA);
    const columns = asRows(b.subarray(z * k * n, (z + 1) * k * n), n, k, !transposeB);
    for (let j = 0; j < n; j += 4) {
      const c0 = j * k, c1 = Math.min(j + 1, n - 1) * k;
      const c2 = Math.min(j + 2, n - 1) * k, c3 = Math.min(j + 3, n - 1) * k;
      for (let i = 0; i < m; i++) {
        let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (let l = 0, at = i * k; l < k; l++, at++) {
          const value = rows[at];
          s0 += value * columns[c0 + l];
          s1 += value * columns[c1 + l];
          s2 += value * columns[c2 + l];
          s3 += value * columns[c3 + l];
        }
        const out = (z * m + i) * n + j;
        y[out] = s0;
        if (j + 1 < n) y[out + 1] = s1;
        if (j + 2 < n) y[out + 2] = s2;
        if (j + 3 < n) y[out + 3] = s3;
      }
    }
  }
  return y;
}

/** A matrix with `rows` rows of `width`; where it holds the transpose, a turned copy. */
function asRows(x: Float64Array, rows: number, width: number, transposed: boolean): Float64Array {
  if (!transposed) return x;
  const turned = new Float64Array(rows * width);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < width; j++) turned[i * width + j] = x[j * rows + i];
  }
  return turned;
}
