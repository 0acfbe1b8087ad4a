/**
 * Known answers: does this driver compile loops, workgroup memory, barriers and integer arithmetic correctly?
 *
 * Drivers that miscompile exist, and give wrong numbers without an error. Four things whose exact results are known are
 * computed in the forms that real kernels use.
 *
 * Math    matmul     C = A B, 8 x 8, small integers, tiles staged in workgroup memory
 *         reduction  sum of 64 numbers by a tree with a barrier in a loop
 *         barrier    a reversal through workgroup memory: every invocation reads what another one wrote
 *         integers   one Philox round: 32 x 32 -> 64 bit products from 16-bit halves, wrapping addition, shifts, xor
 * Shapes  seed [64] u32 -> result [256] u32, four results an invocation. Floats are small integers: exact in f32.
 * Work    One workgroup of 64 invocations.
 * Memory  1,280 bytes in all: what it costs is its compilation and one dispatch.
 * @module
 */
import { defineProgram, type Kernel, memoize } from "./kernel.ts";
import { MULTIPLY_HIGH } from "./snippets.ts";
import { wgsl } from "./wgsl.ts";

const SIZE = 64;

const program = memoize((_: null) =>
  defineProgram({
    name: "self_test",
    params: { multiplier: "u32", key: "u32" },
    bindings: { seed: "read u32", result: "write u32" },
    workgroupSize: SIZE,
    workgroupBytes: 4 * SIZE * 3,
    code: wgsl`
var<workgroup> a: array<f32, 64>;
var<workgroup> b: array<f32, 64>;
var<workgroup> c: array<u32, 64>;

${MULTIPLY_HIGH}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(local_invocation_index) t: u32) {
  let s = seed[t];
  let row = t / 8u; let column = t % 8u;
  a[t] = f32(s % 13u) - 6.0;
  b[t] = f32((s >> 8u) % 11u) - 5.0;
  workgroupBarrier();
  var dot = 0.0;
  for (var k = 0u; k < 8u; k++) { dot += a[row * 8u + k] * b[k * 8u + column]; }
  result[t] = bitcast<u32>(dot);
  workgroupBarrier();

  for (var stride = 32u; stride > 0u; stride >>= 1u) {
    if (t < stride) { a[t] += a[t + stride]; }
    workgroupBarrier();
  }
  result[64u + t] = u32(i32(a[0]) + 1000);

  c[t] = s;
  workgroupBarrier();
  result[128u + t] = c[63u - t];

  let high = multiply_high(s, params.multiplier);
  result[192u + t] = (high ^ params.key ^ (s * params.multiplier + t)) + u32(i32(t) / -3 + 21);
}`,
  })
);

const MULTIPLIER = 0xd2511f53, KEY = 0x9e3779b9;

/** The self-test: seed [64] to result [256]. */
export function selfTestKernel(): Kernel {
  return {
    program: program(null),
    params: { multiplier: MULTIPLIER, key: KEY },
    sizes: { seed: SIZE, result: 4 * SIZE },
    workgroups: [1, 1, 1],
    flops: 2 * 512 + 64,
    bytes: 4 * 5 * SIZE,
    reference: ({ seed }) => selfTestReference(seed),
  };
}

/** Input of the self-test. */
export function selfTestSeed(): Uint32Array<ArrayBuffer> {
  return Uint32Array.from({ length: SIZE }, (_, i) => Math.imul(i + 1, KEY) >>> 0);
}

/** The plain loops, with 64-bit products from BigInt. */
export function selfTestReference(seed: ArrayLike<number>): { result: Uint32Array } {
  const result = new Uint32Array(4 * SIZE);
  const floats = new Float32Array(result.buffer);
  const a = Array.from(seed, (s) => s % 13 - 6);
  const b = Array.from(seed, (s) => (s >>> 8) % 11 - 5);
  const total = a.reduce((sum, value) => sum + value, 0);
  for (let t = 0; t < SIZE; t++) {
    let dot = 0;
    for (let k = 0; k < 8; k++) dot += a[Math.floor(t / 8) * 8 + k] * b[k * 8 + t % 8];
    floats[t] = dot;
    result[SIZE + t] = total + 1000;
    result[2 * SIZE + t] = seed[SIZE - 1 - t];
    const high = Number(BigInt(seed[t]) * BigInt(MULTIPLIER) >> 32n);
    const low = (Math.imul(seed[t], MULTIPLIER) + t) >>> 0;
    result[3 * SIZE + t] = ((high ^ KEY ^ low) >>> 0) + Math.trunc(t / -3) + 21;
  }
  return { result };
}

/** What a wrong result at an index means. */
export function selfTestPart(index: number): string {
  return ["a matmul", "a reduction", "a barrier", "integer arithmetic"][Math.floor(index / SIZE)];
}
