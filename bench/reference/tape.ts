/**
 * The reference: every operation as a plain loop in float64, with its gradient. It shares no code with the kernels, so an
 * agreement of the two means something.
 * @module
 */
import { erf } from "../../kernels/activations.ts";
import type { HostTensor } from "../host_tensor.ts";
import { elements } from "../host_tensor.ts";
import { ComposedOps } from "../ops/composed.ts";
import type { ConvOptions, RoiOptions } from "../ops/ops.ts";
import { maxima, patches, regions } from "./maps.ts";
import { product } from "./product.ts";

/** A value and, after `backward`, the gradient of the result by it. */
export class Value {
  /** Filled by `Tape.backward`; null where nothing depends on it. */
  grad: Float64Array | null = null;
  constructor(
    readonly shape: readonly number[],
    readonly data: Float64Array,
    readonly needsGrad: boolean,
  ) {}

  /** Adds to the gradient. */
  add(grad: ArrayLike<number>): void {
    if (!this.needsGrad) return;
    this.grad ??= new Float64Array(this.data.length);
    for (let i = 0; i < grad.length; i++) this.grad[i] += grad[i];
  }
}

const SQRT_HALF = Math.SQRT1_2, DENSITY = 1 / Math.sqrt(2 * Math.PI);

/** Evaluates `Ops` at once and remembers how, for `backward`. */
export class Tape extends ComposedOps<Value> {
  readonly #steps: (() => void)[] = [];

  /** An input; `needsGrad` where its gradient is asked for. */
  input({ shape, data }: HostTensor, needsGrad = false): Value {
    return new Value(shape, Float64Array.from(data), needsGrad);
  }

  /** Fills the gradients of everything that `result` depends on. @param dOut gradient by the result */
  backward(result: Value, dOut: ArrayLike<number>): void {
    result.add(dOut);
    for (const step of this.#steps.toReversed()) step();
  }

  /** A result and what it hands to its inputs, once its own gradient is known. */
  #result(
    shape: readonly number[],
    data: Float64Array,
    inputs: readonly Value[],
    backward: (dOut: Float64Array) => void,
  ): Value {
    const y = new Value(shape, data, inputs.some((x) => x.needsGrad));
    if (y.needsGrad) this.#steps.push(() => y.grad && backward(y.grad));
    return y;
  }

  /** y[i] = f(x[i]), dx[i] = slope(x[i], y[i]) dy[i]. */
  #map(x: Value, f: (x: number) => number, slope: (x: number, y: number) => number): Value {
    const data = x.data.map(f);
    return this.#result(
      x.shape,
      data,
      [x],
      (dy) => x.add(dy.map((d, i) => d * slope(x.data[i], data[i]))),
    );
  }

  constant(values: HostTensor): Value {
    return this.input(values);
  }

  shape(x: Value): readonly number[] {
    return x.shape;
  }

  reshape(x: Value, shape: readonly number[]): Value {
    return this.#result(shape, x.data, [x], (dy) => x.add(dy));
  }

  /** y[i] = x[from[i]]; the gradient goes back the same way. */
  #gather(x: Value, shape: readonly number[], from: Uint32Array): Value {
    const data = new Float64Array(from.length);
    for (let i = 0; i < from.length; i++) data[i] = x.data[from[i]];
    return this.#result(shape, data, [x], (dy) => {
      const dx = new Float64Array(x.data.length);
      for (let i = 0; i < from.length; i++) dx[from[i]] += dy[i];
      x.add(dx);
    });
  }

  permute(x: Value, axes: readonly number[]): Value {
    const strides = stridesOf(x.shape);
    const shape = axes.map((a) => x.shape[a]);
    return this.#gather(x, shape, walk(shape, axes.map((a) => strides[a])));
  }

  slice(x: Value, axis: number, begin: number, end: number): Value {
    const shape = x.shape.with(axis, end - begin), strides = stridesOf(x.shape);
    return this.#gather(x, shape, walk(shape, strides, begin * strides[axis]));
  }

  concat(parts: readonly Value[], axis: number): Value {
    const shape = parts[0].shape.with(axis, parts.reduce((sum, p) => sum + p.shape[axis], 0));
    const strides = stridesOf(shape), data = new Float64Array(elements(shape));
    let begin = 0;
    const places = parts.map((part) => {
      const to = walk(part.shape, strides, begin * strides[axis]);
      begin += part.shape[axis];
      for (let i = 0; i < to.length; i++) data[to[i]] = part.data[i];
      return to;
    });
    return this.#result(shape, data, parts, (dy) => {
      parts.forEach((part, p) => part.add(Float64Array.from(places[p], (to) => dy[to])));
    });
  }

  broadcastTo(x: Value, shape: readonly number[]): Value {
    return this.#gather(x, shape, spread(x.shape, shape));
  }

  /** An operation element by element; the slopes are by a and by b. */
  #binary(
    a: Value,
    b: Value,
    f: (a: number, b: number) => number,
    slopeA: (a: number, b: number) => number,
    slopeB: (a: number, b: number) => number,
  ): Value {
    const shape = broadcast(a.shape, b.shape);
    const fromA = spread(a.shape, shape), fromB = spread(b.shape, shape);
    const data = new Float64Array(fromA.length);
    for (let i = 0; i < data.length; i++) data[i] = f(a.data[fromA[i]], b.data[fromB[i]]);
    return this.#result(shape, data, [a, b], (dy) => {
      const da = new Float64Array(a.data.length), db = new Float64Array(b.data.length);
      for (let i = 0; i < dy.length; i++) {
        const p = a.data[fromA[i]], q = b.data[fromB[i]];
        da[fromA[i]] += dy[i] * slopeA(p, q);
        db[fromB[i]] += dy[i] * slopeB(p, q);
      }
      a.add(da);
      b.add(db);
    });
  }

  add(a: Value, b: Value): Value {
    return this.#binary(a, b, (a, b) => a + b, () => 1, () => 1);
  }

  sub(a: Value, b: Value): Value {
    return this.#binary(a, b, (a, b) => a - b, () => 1, () => -1);
  }

  mul(a: Value, b: Value): Value {
    return this.#binary(a, b, (a, b) => a * b, (_, b) => b, (a) => a);
  }

  div(a: Value, b: Value): Value {
    return this.#binary(a, b, (a, b) => a / b, (_, b) => 1 / b, (a, b) => -a / (b * b));
  }

  scale(x: Value, factor: number): Value {
    return this.#map(x, (x) => x * factor, () => factor);
  }

  shift(x: Value, term: number): Value {
    return this.#map(x, (x) => x + term, () => 1);
  }

  sqrt(x: Value): Value {
    return this.#map(x, Math.sqrt, (_, y) => 0.5 / y);
  }

  exp(x: Value): Value {
    return this.#map(x, Math.exp, (_, y) => y);
  }

  atLeast(x: Value, least: number): Value {
    return this.#map(x, (x) => x >= least ? 1 : 0, () => 0);
  }

  relu(x: Value): Value {
    return this.#map(x, (x) => Math.max(x, 0), (x) => x > 0 ? 1 : 0);
  }

  gelu(x: Value): Value {
    const normal = (x: number): number => 0.5 * (1 + erf(x * SQRT_HALF));
    return this.#map(
      x,
      (x) => x * normal(x),
      (x) => normal(x) + x * DENSITY * Math.exp(-x * x / 2),
    );
  }

  stopGradient(x: Value): Value {
    return new Value(x.shape, x.data, false);
  }

  /** Lines along an axis, each as the indices of its elements. */
  #lines(shape: readonly number[], axis: number, visit: (at: (i: number) => number) => void): void {
    const n = shape[axis], stride = stridesOf(shape)[axis];
    const outer = elements(shape.slice(0, axis));
    for (let o = 0; o < outer; o++) {
      for (let s = 0; s < stride; s++) visit((i) => (o * n + i) * stride + s);
    }
  }

  sum(x: Value, axis: number): Value {
    const n = x.shape[axis], shape = x.shape.with(axis, 1);
    const data = new Float64Array(elements(shape));
    let line = 0;
    this.#lines(x.shape, axis, (at) => {
      for (let i = 0; i < n; i++) data[line] += x.data[at(i)];
      line++;
    });
    return this.#result(shape, data, [x], (dy) => {
      const dx = new Float64Array(x.data.length);
      let line = 0;
      this.#lines(x.shape, axis, (at) => {
        for (let i = 0; i < n; i++) dx[at(i)] = dy[line];
        line++;
      });
      x.add(dx);
    });
  }

  /** Only of constants: no workload needs its gradient. */
  max(x: Value, axis: number): Value {
    const n = x.shape[axis], shape = x.shape.with(axis, 1);
    const data = new Float64Array(elements(shape)).fill(-Infinity);
    let line = 0;
    this.#lines(x.shape, axis, (at) => {
      for (let i = 0; i < n; i++) data[line] = Math.max(data[line], x.data[at(i)]);
      line++;
    });
    return new Value(shape, data, false);
  }

  /**
   * A map of whole lines.
   * @param f fills a line of the result
   * @param slope fills a line of the gradient from the result's line and its gradient
   */
  #perLine(
    x: Value,
    axis: number,
    f: (line: Float64Array) => Float64Array,
    slope: (y: Float64Array, dy: Float64Array) => Float64Array,
  ): Value {
    const n = x.shape[axis], data = new Float64Array(x.data.length);
    const line = new Float64Array(n), dLine = new Float64Array(n);
    this.#lines(x.shape, axis, (at) => {
      for (let i = 0; i < n; i++) line[i] = x.data[at(i)];
      f(line).forEach((value, i) => data[at(i)] = value);
    });
    return this.#result(x.shape, data, [x], (dy) => {
      const dx = new Float64Array(data.length);
      this.#lines(x.shape, axis, (at) => {
        for (let i = 0; i < n; i++) {
          line[i] = data[at(i)];
          dLine[i] = dy[at(i)];
        }
        slope(line, dLine).forEach((value, i) => dx[at(i)] = value);
      });
      x.add(dx);
    });
  }

  softmax(x: Value, axis: number): Value {
    return this.#perLine(x, axis, (line) => {
      const most = line.reduce((a, b) => Math.max(a, b), -Infinity);
      const powers = line.map((v) => Math.exp(v - most)), total = total64(powers);
      return powers.map((v) => v / total);
    }, (y, dy) => {
      const mean = total64(y.map((p, i) => p * dy[i]));
      return y.map((p, i) => p * (dy[i] - mean));
    });
  }

  logSoftmax(x: Value, axis: number): Value {
    return this.#perLine(x, axis, (line) => {
      const most = line.reduce((a, b) => Math.max(a, b), -Infinity);
      const log = most + Math.log(total64(line.map((v) => Math.exp(v - most))));
      return line.map((v) => v - log);
    }, (y, dy) => {
      const total = total64(dy);
      return y.map((log, i) => dy[i] - Math.exp(log) * total);
    });
  }

  /** By sorting, which gives the threshold exactly; its gradient is that of arXiv:1905.05702, section 4. */
  override entmax15(x: Value): Value {
    return this.#perLine(x, x.shape.length - 1, (line) => {
      const z = line.map((v) => v / 2).toSorted().toReversed();
      let threshold = z[0] - 1, sum = 0, squares = 0;
      for (let k = 1; k <= z.length; k++) {
        sum += z[k - 1];
        squares += z[k - 1] ** 2;
        const mean = sum / k, variance = squares / k - mean ** 2;
        const candidate = mean - Math.sqrt(Math.max(0, 1 / k - variance));
        if (candidate > z[k - 1]) break;
        threshold = candidate;
      }
      return line.map((v) => Math.max(0, v / 2 - threshold) ** 2);
    }, (y, dy) => {
      const root = y.map(Math.sqrt), total = total64(root);
      const mean = total64(root.map((r, i) => r * dy[i])) / total;
      return root.map((r, i) => r * (dy[i] - mean));
    });
  }

  override layerNorm(x: Value, weight: Value, bias: Value, eps: number): Value {
    const n = x.shape[x.shape.length - 1], axis = x.shape.length - 1;
    const rates: number[] = [];
    const unit = this.#perLine(
      x,
      axis,
      (line) => {
        const mean = total64(line) / n;
        const variance = total64(line.map((v) => (v - mean) ** 2)) / n;
        const rate = 1 / Math.sqrt(variance + eps);
        rates.push(rate);
        return line.map((v) => (v - mean) * rate);
      },
      (() => {
        let row = 0; // lines are visited in the same order
        return (y: Float64Array, dy: Float64Array) => {
          const rate = rates[row++];
          const a = total64(dy) / n, b = total64(dy.map((d, i) => d * y[i])) / n;
          return dy.map((d, i) => rate * (d - a - y[i] * b));
        };
      })(),
    );
    return this.add(this.mul(unit, weight), bias);
  }

  matmul(
    a: Value,
    b: Value,
    { transposeA = false, transposeB = false }: { transposeA?: boolean; transposeB?: boolean } = {},
  ): Value {
    const lead = a.shape.slice(0, -2), batch = elements(lead);
    const [p, q] = a.shape.slice(-2), [r, s] = b.shape.slice(-2);
    const m = transposeA ? q : p, k = transposeA ? p : q, n = transposeB ? r : s;
    const data = product({ batch, m, n, k, transposeA, transposeB }, a.data, b.data);
    return this.#result([...lead, m, n], data, [a, b], (dy) => {
      if (a.needsGrad) {
        a.add(
          transposeA
            ? product(
              { batch, m: k, n: m, k: n, transposeA: transposeB, transposeB: true },
              b.data,
              dy,
            )
            : product({ batch, m, n: k, k: n, transposeB: !transposeB }, dy, b.data),
        );
      }
      if (b.needsGrad) {
        b.add(
          transposeB
            ? product(
              { batch, m: n, n: k, k: m, transposeA: true, transposeB: transposeA },
              dy,
              a.data,
            )
            : product({ batch, m: k, n, k: m, transposeA: !transposeA }, a.data, dy),
        );
      }
    });
  }

  /** A result of operations whose gradient no workload needs. */
  #forwardOnly(shape: readonly number[], data: Float64Array, inputs: readonly Value[]): Value {
    if (inputs.some((x) => x.needsGrad)) throw new Error("the reference has no gradient of maps");
    return new Value(shape, data, false);
  }

  /** Each pixel's patch times the filter, image by image. */
  conv2d(x: Value, filter: Value, bias: Value, options: ConvOptions): Value {
    const [batch, ...image] = x.shape, [outputs, ...patch] = filter.shape;
    const k = elements(patch), size = elements(image);
    const images = Array.from({ length: batch }, (_, b) => {
      const { rows, shape } = patches(x.data.subarray(b * size, (b + 1) * size), image, {
        ...options,
        kernel: [patch[1], patch[2]],
      });
      const m = elements(shape);
      return {
        shape,
        y: product({ batch: 1, m, n: outputs, k, transposeB: true }, rows, filter.data),
      };
    });
    const shape = [batch, ...images[0].shape, outputs], data = new Float64Array(elements(shape));
    images.forEach(({ y }, b) => data.set(y, b * y.length));
    for (let i = 0; i < data.length; i++) {
      data[i] += bias.data[i % outputs];
      if (options.relu) data[i] = Math.max(0, data[i]);
    }
    return this.#forwardOnly(shape, data, [x, filter, bias]);
  }

  maxPool(x: Value): Value {
    const { shape, data } = maxima(x.data, x.shape);
    return this.#forwardOnly(shape, data, [x]);
  }

  override roiAlign(maps: readonly Value[], boxes: Value, options: RoiOptions): Value {
    const { shape, data } = regions(maps, boxes, options);
    return this.#forwardOnly(shape, data, [...maps, boxes]);
  }
}

function total64(values: Float64Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

/** Distance in elements between neighbours along each axis. */
function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i];
  }
  return strides;
}

/** Places of the elements of a shape, in row-major order, where each axis has its own stride. */
function walk(shape: readonly number[], strides: readonly number[], offset = 0): Uint32Array {
  let places = Uint32Array.of(offset);
  shape.forEach((size, axis) => {
    const next = new Uint32Array(places.length * size);
    let at = 0;
    for (const place of places) {
      for (let i = 0; i < size; i++) next[at++] = place + i * strides[axis];
    }
    places = next;
  });
  return places;
}

/** For each element of `to` the element of `from` that it reads. */
function spread(from: readonly number[], to: readonly number[]): Uint32Array {
  const padded = [...new Array<number>(to.length - from.length).fill(1), ...from];
  const strides = stridesOf(padded);
  return walk(to, strides.map((stride, i) => padded[i] === 1 ? 0 : stride));
}

function broadcast(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  const at = (shape: readonly number[], i: number) => shape[shape.length - rank + i] ?? 1;
  return Array.from({ length: rank }, (_, i) => Math.max(at(a, i), at(b, i)));
}
