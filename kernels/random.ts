/**
 * Random numbers that depend on nothing but where they are used: dropout masks and noise.
 *
 * Math    Word i of a call is word i mod 4 of the Philox4x32-10 block (Salmon et al., "Parallel random numbers: as easy
 *         as 1, 2, 3", SC 2011) with
 *           key     = (low half of the seed, high half of the seed)
 *           counter = (floor(i / 4), call, step, 0)
 *         where call numbers the random ops of a step. From it
 *           dropout  y[i] = x[i] / (1 - p) where word i >= p 2^32, else 0     mask: the same with x = 1
 *           normal   y[i] = scale * (word i as a standard normal, through an integer table)
 *         Dropout is its own backward, from dy to dx; noise has none.
 * Bits    Only 32-bit integer arithmetic makes the words. What becomes a float does so by one exact conversion and one
 *         multiplication: the same bits on every adapter.
 * Shapes  block u32 [4] = (seed low, seed high, step, unused), so that a step can be replayed with other numbers and
 *         nothing is compiled or recorded anew; x, y [n] f32; knots u32 [1025].
 * Work    One invocation 4 elements, one block. It hashes its own index, so there is no state and no order, and a backward
 *         pass makes the mask again instead of keeping it. About 90 integer operations an element: on a GPU they hide
 *         behind the memory traffic, on a software adapter they take about as long.
 * Memory  4 bytes written an element, and 4 read by dropout, as vec4 where n is divisible by 4. The 4 KiB of knots come
 *         from the cache.
 * @module
 */
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { philox4x32 } from "./philox.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS, MULTIPLY_HIGH } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

const SIZE = 64;

/** WGSL: `fn philox4x32(key: vec2u, counter: vec4u) -> vec4u`, ten rounds. */
export const PHILOX: string = wgsl`
${MULTIPLY_HIGH}
fn philox4x32(key: vec2u, counter: vec4u) -> vec4u {
  var k = key;
  var c = counter;
  for (var round = 0u; round < 10u; round++) {
    let high0 = multiply_high(c.x, 0xd2511f53u);
    let high1 = multiply_high(c.z, 0xcd9e8d57u);
    c = vec4u(high1 ^ c.y ^ k.x, c.z * 0xcd9e8d57u, high0 ^ c.w ^ k.y, c.x * 0xd2511f53u);
    k += vec2u(0x9e3779b9u, 0xbb67ae85u);
  }
  return c;
}`;

/** WGSL: `fn words(i: u32) -> vec4u`, words 4 i to 4 i + 3 of this call. Needs the binding `block` and `params.call`. */
const WORDS = wgsl`
${PHILOX}
fn words(i: u32) -> vec4u {
  return philox4x32(vec2u(block[0], block[1]), vec4u(i, params.call, block[2], 0u));
}`;

/**
 * WGSL: stores components of `value` to y[4 i], y[4 i + 1], ...: all four at once where y is an array of vec4, else as
 * many as there are.
 */
function store(wide: boolean, value: string, element: string): string {
  if (wide) return `y[i] = ${value};`;
  return `for (var k = 0u; k < 4u && 4u * i + k < params.count; k++) { y[4u * i + k] = ${element}; }`;
}

/** An entry point whose invocation i owns elements 4 i to 4 i + 3 of `params.count`. */
function entry(body: string): string {
  return wgsl`
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (4u * i >= params.count) { return; }
  ${body}
}`;
}

function launch(count: number): Pick<Kernel, "workgroups"> {
  return { workgroups: foldWorkgroups(ceilDiv(Math.ceil(count / 4), SIZE)) };
}

const wordsProgram = memoize((_: null) =>
  defineProgram({
    name: "random_words",
    params: { count: "u32", call: "u32" },
    bindings: { block: "read u32", y: "write u32" },
    workgroupSize: SIZE,
    code: wgsl`
${WORDS}
${entry(`let w = words(i);\n  ${store(false, "w", "w[k]")}`)}`,
  })
);

/** The words themselves. Bindings: block, y u32 [count]. */
export function randomWords(count: number, call: number): Kernel {
  return {
    program: wordsProgram(null),
    params: { count, call },
    sizes: { block: 4, y: count },
    ...launch(count),
    flops: 0,
    bytes: 4 * count,
    reference: ({ block }) => ({ y: wordsReference(count, call, block) }),
  };
}

const dropoutProgram = memoize(({ wide, mask }: { wide: boolean; mask: boolean }) => {
  const type = wide ? "vec4<f32>" : "f32";
  return defineProgram({
    name: mask ? "dropout_mask" : "dropout",
    variant: wide ? "vec4" : "readable",
    params: { count: "u32", call: "u32", threshold: "u32", scale: "f32" },
    bindings: mask
      ? { block: "read u32", y: `write ${type}` }
      : { block: "read u32", x: `read ${type}`, y: `write ${type}` },
    workgroupSize: SIZE,
    code: wgsl`
${WORDS}
${
      entry(wgsl`
  // integers are compared, so no adapter can disagree about an element
  let factor = select(vec4f(0.0), vec4f(params.scale), words(i) >= vec4u(params.threshold));
  #if ${mask}
  ${store(wide, "factor", "factor[k]")}
  #else
  ${store(wide, "x[i] * factor", "x[4u * i + k] * factor[k]")}
  #endif
`)
    }`,
  });
});

/** The word below which an element is dropped, and the factor of those kept, for a probability p in [0, 1]. */
export function dropoutParams(p: number): { threshold: number; scale: number } {
  // Dropping all is done by the factor: a threshold of 2^32 does not exist.
  return {
    threshold: Math.min(Math.round(p * 2 ** 32), 2 ** 32 - 1),
    scale: p === 1 ? 0 : 1 / (1 - p),
  };
}

/** y = x where kept, scaled by 1 / (1 - p), else 0; its own backward, from dy to dx. Bindings: block, x, y. */
export function dropout(count: number, call: number, p: number): Kernel {
  return {
    program: dropoutProgram({ wide: count % 4 === 0, mask: false }),
    params: { count, call, ...dropoutParams(p) },
    sizes: { block: 4, x: count, y: count },
    ...launch(count),
    flops: count,
    bytes: 8 * count,
    reference: ({ block, x }) => dropoutReference(x, wordsReference(count, call, block), p),
  };
}

/** y = 1 / (1 - p) where kept, else 0. Bindings: block, y. */
export function dropoutMask(count: number, call: number, p: number): Kernel {
  return {
    program: dropoutProgram({ wide: count % 4 === 0, mask: true }),
    params: { count, call, ...dropoutParams(p) },
    sizes: { block: 4, y: count },
    ...launch(count),
    flops: 0,
    bytes: 4 * count,
    reference: ({ block }) =>
      dropoutReference(new Uint8Array(count).fill(1), wordsReference(count, call, block), p),
  };
}

/** Entries of the table that `normalNoise` reads: 32 for each octave of a 32-bit number, and the end. */
export const NORMAL_KNOTS = 1025;

const normalProgram = memoize(({ wide }: { wide: boolean }) =>
  defineProgram({
    name: "normal_noise",
    variant: wide ? "vec4" : "readable",
    params: { count: "u32", call: "u32", unit: "f32" },
    bindings: { block: "read u32", knots: "read u32", y: wide ? "write vec4<f32>" : "write f32" },
    workgroupSize: SIZE,
    code: wgsl`
${WORDS}
// The top bit of a word is the sign; the other 31, as an odd number n below 2^32, the probability n / 2^33 that a normal
// is beyond the result. Its leading zeros give the octave, the next 5 bits the segment of the table, 16 more the place
// between its ends.
fn normal(word: u32) -> i32 {
  let n = (word << 1u) | 1u;
  let zeros = countLeadingZeros(n);
  let mantissa = n << zeros;
  let knot = (31u - zeros) * 32u + ((mantissa >> 26u) & 31u);
  let fraction = (mantissa >> 10u) & 0xffffu;
  let z = i32(knots[knot] - (((knots[knot] - knots[knot + 1u]) * fraction) >> 16u));
  return select(z, -z, (word >> 31u) == 1u);
}
${
      entry(wgsl`
  let w = words(i);
  let z = vec4i(normal(w.x), normal(w.y), normal(w.z), normal(w.w));
  let value = vec4f(z) * params.unit; // |z| < 2^24: the conversion is exact
  ${store(wide, "value", "value[k]")}
`)
    }`,
  })
);

/**
 * y = normal numbers with mean 0 and standard deviation `scale`. Bindings: block, knots, y.
 *
 * The knots are the normal quantiles for tail probabilities that halve from octave to octave, 32 an octave, in units of
 * 2^-21, largest first (the engine's normal table).
 */
export function normalNoise(count: number, call: number, scale: number): Kernel {
  return {
    program: normalProgram({ wide: count % 4 === 0 }),
    params: { count, call, unit: scale / 2 ** 21 },
    sizes: { block: 4, knots: NORMAL_KNOTS, y: count },
    ...launch(count),
    flops: count,
    bytes: 4 * (count + NORMAL_KNOTS),
    reference: ({ block, knots }) => ({
      y: Float64Array.from(
        wordsReference(count, call, block),
        (word) => scale * normalFromKnots(word, knots),
      ),
    }),
  };
}

/** The plain loop of `dropout`, from the words. */
export function dropoutReference(
  x: ArrayLike<number>,
  words: ArrayLike<number>,
  p: number,
): { y: Float64Array } {
  const { threshold, scale } = dropoutParams(p);
  return { y: Float64Array.from(x, (value, i) => words[i] >= threshold ? value * scale : 0) };
}

/** The plain loop of the words. `block`: seed low, seed high, step. */
export function wordsReference(
  count: number,
  call: number,
  block: ArrayLike<number>,
): Uint32Array {
  const words = new Uint32Array(4 * Math.ceil(count / 4));
  for (let i = 0; i < words.length; i += 4) {
    philox4x32([block[0], block[1]], [i / 4, call, block[2], 0], words, i);
  }
  return words.subarray(0, count);
}

/**
 * The plain loop of one normal number: what a random word stands for, a whole multiple of 2^-21.
 * @param knots see `normalNoise`; their differences are below 2^16
 */
export function normalFromKnots(word: number, knots: ArrayLike<number>): number {
  const n = ((word << 1) | 1) >>> 0;
  const zeros = Math.clz32(n);
  const mantissa = n << zeros; // the leading 1 is now bit 31
  const knot = (31 - zeros) * 32 + ((mantissa >>> 26) & 31);
  const fraction = (mantissa >>> 10) & 0xffff;
  const z = knots[knot] - (((knots[knot] - knots[knot + 1]) * fraction) >>> 16);
  return (word >>> 31 === 0 ? z : -z) / 2 ** 21;
}
