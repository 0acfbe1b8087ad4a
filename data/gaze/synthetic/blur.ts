/**
 * Blurring a picture: a Gaussian along rows, then along columns.
 * @module
 */

/** Blurs a [size, size, 3] picture in place; `deviation` is in pixels, edges repeat. */
export function blur(picture: Float64Array, size: number, deviation: number): void {
  if (deviation < 0.15) return; // below, the middle weight is 1 to six digits
  const weights = kernel(deviation);
  const line = new Float64Array(size);
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < size; i++) blurLine(picture, i * size * 3 + c, 3, line, weights);
    for (let i = 0; i < size; i++) blurLine(picture, i * 3 + c, size * 3, line, weights);
  }
}

/** The weights of a Gaussian at 0, 1, 2, ...; with their mirror images they add up to 1. */
function kernel(deviation: number): number[] {
  const weights: number[] = [];
  let total = 0;
  for (let i = 0; i <= Math.ceil(3 * deviation); i++) {
    // exp(-q) as (1 + q / 64)^-64 would be wider; six squarings of a short series are exact enough.
    const q = i * i / (2 * deviation * deviation) / 64;
    let value = 1 - q + q * q / 2 - q * q * q / 6;
    for (let k = 0; k < 6; k++) value *= value;
    weights.push(value);
    total += i === 0 ? value : 2 * value;
  }
  return weights.map((weight) => weight / total);
}

function blurLine(
  values: Float64Array,
  start: number,
  step: number,
  line: Float64Array,
  weights: readonly number[],
): void {
  const last = line.length - 1;
  for (let i = 0; i <= last; i++) line[i] = values[start + i * step];
  for (let i = 0; i <= last; i++) {
    let sum = line[i] * weights[0];
    for (let k = 1; k < weights.length; k++) {
      sum += weights[k] * (line[Math.max(0, i - k)] + line[Math.min(last, i + k)]);
    }
    values[start + i * step] = sum;
  }
}
