/**
 * Values on the host with their shape, and where a benchmark's inputs come from: a small seeded generator, so that every
 * framework and every run gets the same numbers.
 * @module
 */

/** Row-major values. */
export interface HostTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array<ArrayBuffer>;
  /**
   * What a framework may store in an order of its own, as its convolutions want it: maps [B, H, W, C], the filter of a
   * convolution [O, C, KH, KW].
   */
  readonly role?: "maps" | "filter";
}

/** Tensors by name; parameters carry timm's names. */
export type HostTensors = Readonly<Record<string, HostTensor>>;

/** Elements of a shape. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** Uniform numbers in [0, 1) from a 32-bit seed (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** A tensor of values uniform in [centre - spread, centre + spread]. */
export function uniform(
  shape: readonly number[],
  seed: number,
  spread = 1,
  centre = 0,
): HostTensor {
  const next = generator(seed);
  const data = Float32Array.from(
    { length: elements(shape) },
    () => centre + spread * (2 * next() - 1),
  );
  return { shape, data };
}

/** The same values with the axes in another order. */
export function permuted({ shape, data }: HostTensor, axes: readonly number[]): HostTensor {
  const strides = shape.map((_, axis) => elements(shape.slice(axis + 1)));
  const result = new Float32Array(data.length), sizes = axes.map((axis) => shape[axis]);
  const index = sizes.map(() => 0);
  let from = 0;
  for (let i = 0; i < result.length; i++) {
    result[i] = data[from];
    for (let a = sizes.length - 1; a >= 0; a--) {
      from += strides[axes[a]];
      if (++index[a] < sizes[a]) break;
      from -= sizes[a] * strides[axes[a]];
      index[a] = 0;
    }
  }
  return { shape: sizes, data: result };
}

/**
 * Weights that keep a network's values near 1: matrices uniform within sqrt(3 / inputs), vectors near 0, what a norm
 * multiplies or divides by near 1, temperatures 0.5.
 */
export function weightsFor(
  shapes: Iterable<readonly [name: string, shape: readonly number[]]>,
): HostTensors {
  const weights: Record<string, HostTensor> = {};
  let seed = 1000;
  for (const [name, shape] of shapes) {
    seed++;
    if (shape.length === 0) weights[name] = { shape, data: Float32Array.of(0.5) };
    else if (/bias$|running_mean$/.test(name)) weights[name] = uniform(shape, seed, 0.1);
    else if (shape.length === 1) weights[name] = uniform(shape, seed, 0.2, 1);
    else if (/pos_embed|cls_token|phi$/.test(name)) weights[name] = uniform(shape, seed, 1);
    else {
      // Convolutions [out, in, h, w] and linear maps [out, in] or [experts, out, in].
      const inputs = shape.length === 4 ? elements(shape.slice(1)) : shape[shape.length - 1];
      weights[name] = uniform(shape, seed, Math.sqrt(3 / inputs));
    }
  }
  return weights;
}
