/**
 * Verify mode: does every kernel of a step compute what its plain loop does?
 *
 * A walk over the step's record list: before each dispatch what it reads is copied to the host, after it what it wrote,
 * and the kernel's plain loop (`Kernel.reference`, float64) says what should be there. Each dispatch is judged by what
 * it was given, so the first that differs is the culprit and not its victim. This shares nothing with the GPU: it finds
 * a wrong variant and a miscompiling driver alike. It is slow, about a second for every 10^9 operations of the step.
 *
 * Off by how much   at most `tolerance` of the largest change that the output saw, beside the rounding of f32. Where sums
 *                   cancel, what is left may be off by more for good reason: then it may be off by as much as the plain
 *                   loop itself moves when its inputs are changed in their last bits. Halves add their own rounding.
 * @module
 */
import { type Binding, type Kernel, readsBefore, type Values } from "../kernels/kernel.ts";
import type { BufferRange } from "./buffers.ts";
import { MismatchError } from "./errors.ts";
import { placeOf } from "./place.ts";
import { type DispatchRecord, type EngineRecord, releasesInPlace } from "./records.ts";

/** Options of `device.verify`. */
export interface VerifyOptions {
  /** How much an element may be off, as a part of the largest change of its output. Default 1e-4. */
  tolerance?: number;
}

/** What `device.verify` looked at. */
export interface Verification {
  /** Dispatches that agreed with their plain loops. */
  readonly verified: number;
  /** Kernels without a plain loop, which nothing is known of: `name[variant]`, each once. */
  readonly unverified: readonly string[];
}

/** One element that is not what the plain loop says. */
export interface Difference {
  /** Binding of the kernel. */
  readonly output: string;
  /** Element of that binding. */
  readonly index: number;
  /** What the kernel wrote. */
  readonly got: number;
  /** What the plain loop wrote. */
  readonly want: number;
  /** How far they may be apart. */
  readonly allowed: number;
  /** How many elements of the binding are further off than they may be. */
  readonly count: number;
}

/** Bytes read to the host before a part of the list is judged. */
const PART_BYTES = 64 * 2 ** 20;
/** The most dispatches of such a part: a wrong kernel is found before much more has run. */
const PART_DISPATCHES = 32;

/** A dispatch with the values around it. */
interface Check {
  readonly record: DispatchRecord;
  /** Its number in the step. */
  readonly number: number;
  readonly inputs: Promise<Values>;
  readonly outputs: Promise<Values>;
}

/**
 * Runs a list part by part and judges every dispatch.
 * @param run runs records, and rejects when one of them failed on the GPU
 * @throws {MismatchError} naming the first dispatch that differs; the whole list has run then
 */
export async function verifyList(
  list: readonly EngineRecord[],
  run: (records: EngineRecord[]) => Promise<void>,
  tolerance: number,
): Promise<Verification> {
  const records = releasesInPlace(list);
  const unverified = new Set<string>();
  let verified = 0, number = 0;
  let part: EngineRecord[] = [], checks: Check[] = [], bytes = 0;
  let error: MismatchError | null = null;

  const finishPart = async (): Promise<void> => {
    const [ready, wanted] = [part, checks];
    part = [], checks = [], bytes = 0;
    await run(ready);
    for (const check of wanted) {
      error ??= await judge(check, tolerance);
      if (error === null) verified++;
    }
  };
  /** Appends reads of ranges; nothing is read any more once a kernel has been found wrong. */
  const read = (record: DispatchRecord, wanted: (binding: Binding) => boolean): Promise<Values> => {
    const values = record.kernel.program.bindings.map(async (binding, i) => {
      if (!wanted(binding)) return null;
      bytes += record.ranges[i].bytes;
      const size = record.kernel.sizes[binding.name];
      return [binding.name, valuesOf(binding, await readOf(record.ranges[i], part), size)] as const;
    });
    const all = Promise.all(values)
      .then((entries) => Object.fromEntries(entries.filter((e) => e !== null)));
    all.catch(() => {}); // the run that failed tells
    return all;
  };

  let done = 0;
  try {
    for (const [i, record] of records.entries()) {
      done = i;
      if (record.kind === "dispatch") {
        const { kernel } = record;
        const judged = kernel.reference !== undefined && error === null;
        if (!kernel.reference) unverified.add(nameOf(kernel));
        number++;
        const inputs = judged ? read(record, (b) => readsBefore(kernel, b)) : null;
        part.push(record);
        const outputs = judged ? read(record, (b) => b.access !== "read") : null;
        if (inputs && outputs) checks.push({ record, number, inputs, outputs });
      } else part.push(record);
      if (bytes >= PART_BYTES || checks.length >= PART_DISPATCHES) await finishPart();
    }
    await finishPart();
  } catch (cause) {
    await run(records.slice(done + 1).filter((r) => r.kind === "release")).catch(() => {});
    throw cause;
  }
  if (error !== null) throw error;
  return { verified, unverified: [...unverified].sort() };
}

function nameOf({ program }: Kernel): string {
  return `${program.name}[${program.variant}]`;
}

/** Appends a read of a range. */
function readOf(source: BufferRange, records: EngineRecord[]): Promise<ArrayBuffer> {
  const { promise, resolve, reject } = Promise.withResolvers<ArrayBuffer>();
  promise.catch(() => {});
  records.push({ kind: "read", source, resolve, reject });
  return promise;
}

function valuesOf({ type }: Binding, bytes: ArrayBuffer, size: number): ArrayLike<number> {
  if (type.includes("f16")) return new Float16Array(bytes, 0, size);
  if (type.includes("u32")) return new Uint32Array(bytes);
  return type.includes("i32") ? new Int32Array(bytes) : new Float32Array(bytes);
}

async function judge(
  { record, number, inputs, outputs }: Check,
  tolerance: number,
): Promise<MismatchError | null> {
  const { kernel } = record;
  const difference = compare(kernel, await inputs, await outputs, tolerance);
  if (difference === null) return null;
  const { output, index, got, want, allowed, count } = difference;
  const range = record.ranges[kernel.program.bindings.findIndex((b) => b.name === output)];
  const sizes = Object.entries(kernel.params).map(([key, value]) => `${key} ${value}`).join(", ");
  return new MismatchError(
    `${nameOf(kernel)}, dispatch ${number} of the step, asked for ${placeOf(record.place)}, ` +
      `differs from its plain loop: ${output}[${
        coordinates(index, range, kernel.sizes[output]).join(", ")
      }] is ${got}, ` +
      `should be ${want} (may be off by ${allowed.toPrecision(2)}); ${count} of ` +
      `${
        kernel.sizes[output]
      } elements differ; ${sizes}. Either this kernel is wrong, or the driver of this ` +
      `adapter miscompiles it: update the driver or choose another adapter.`,
    { kernel: nameOf(kernel), place: placeOf(record.place), ...difference },
  );
}

/** The position of an element in its tensor; the index alone where the shape is not known. */
function coordinates(index: number, { shape }: BufferRange, size: number): number[] {
  if (!shape || shape.reduce((a, b) => a * b, 1) !== size) return [index];
  return shape.map((_, k) => {
    const step = shape.slice(k + 1).reduce((a, b) => a * b, 1);
    return Math.floor(index / step) % shape[k];
  });
}

/** The first element that is further from the plain loop than it may be, or null. */
export function compare(
  kernel: Kernel,
  inputs: Values,
  outputs: Values,
  tolerance: number,
): Difference | null {
  const want = kernel.reference!(inputs, outputs);
  for (const binding of kernel.program.bindings) {
    const { name: output, access, type } = binding;
    if (access === "read") continue;
    const exact = !isFloat(type), half = type.includes("f16");
    const got = outputs[output], before = inputs[output];
    const scale = exact ? [0] : scalesOf(type, want[output], before);
    const margin = (i: number): number =>
      exact ? 0 : tolerance * scale[i % scale.length] +
        (half ? 2 * HALF_ULP : 4 * ULP) * Math.abs(want[output][i]) +
        (half ? LEAST_HALF : LEAST_NORMAL);
    const stored = half ? asHalf : Math.fround;
    let off = tooFar(got, want[output], margin, stored);
    if (off.length === 0) continue;
    const slack = exact ? null : sensitivity(kernel, inputs, outputs, output);
    const allowed = (i: number): number => margin(i) + 8 * (slack?.[i] ?? 0);
    off = off.filter((i) => !isNear(got[i], want[output][i], allowed(i), stored));
    if (off.length === 0) continue;
    const [index] = off;
    return {
      output,
      index,
      got: got[index],
      want: exact ? want[output][index] : stored(want[output][index]),
      allowed: allowed(index),
      count: off.length,
    };
  }
  return null;
}

/** Half the distance between two neighbouring f32 around 1. */
const ULP = 2 ** -24;
/** Below this an adapter may round to 0. */
const LEAST_NORMAL = 2 ** -126;
/** The same two for f16. */
const HALF_ULP = 2 ** -11, LEAST_HALF = 2 ** -14;

function isFloat(type: string): boolean {
  return type.includes("f32") || type.includes("f16");
}

/** What a store makes of a number beyond f16; the rounding of others is part of what they may be off by. */
function asHalf(value: number): number {
  return Math.abs(value) < 65520 ? value : Math.sign(value) * Infinity;
}

/** The largest change of an output; for pairs, of each of the two, which may mean quite different things. */
function scalesOf(
  type: string,
  want: ArrayLike<number>,
  before: ArrayLike<number> | undefined,
): number[] {
  const scales = type.startsWith("vec2") ? [0, 0] : [0];
  for (let i = 0; i < want.length; i++) {
    const change = Math.abs(want[i] - (before?.[i] ?? 0)), k = i % scales.length;
    if (change > scales[k] && change < Infinity) scales[k] = change;
  }
  return scales;
}

/** NaN in `want` stands for an element that nothing is said of; beyond f32 is infinity. */
function isNear(
  got: number,
  want: number,
  margin: number,
  stored: (value: number) => number,
): boolean {
  if (Number.isNaN(want)) return true;
  const off = Math.abs(got - want);
  return off <= margin || got === stored(want);
}

function tooFar(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  margin: (i: number) => number,
  stored: (value: number) => number,
): number[] {
  const found: number[] = [];
  for (let i = 0; i < got.length; i++) {
    if (!isNear(got[i], want[i], margin(i), stored)) found.push(i);
  }
  return found;
}

/** How far the plain loop moves each element of an output when its inputs are changed by about 10^-6 of themselves. */
function sensitivity(
  kernel: Kernel,
  inputs: Values,
  outputs: Values,
  output: string,
): Float64Array {
  const want = kernel.reference!(inputs, outputs)[output];
  const moved = new Float64Array(want.length);
  for (let round = 0; round < 3; round++) {
    const changed = kernel.program.bindings.flatMap(({ name, type }, k) => {
      const values = inputs[name];
      if (values === undefined) return [];
      return [[name, isFloat(type) ? nudged(values, 3 * k + round) : values] as const];
    });
    const other = kernel.reference!(Object.fromEntries(changed), outputs)[output];
    for (let i = 0; i < moved.length; i++) {
      moved[i] = Math.max(moved[i], Math.abs(other[i] - want[i]) || 0);
    }
  }
  return moved;
}

/** Every value a little larger or smaller, by a hash of its index. */
function nudged(values: ArrayLike<number>, seed: number): Float64Array {
  return Float64Array.from(values, (value, i) => {
    const hash = Math.imul(Math.imul(i + 1, 0x9e3779b9) ^ (seed + 1), 0x85ebca6b);
    return value * (1 + (hash < 0 ? -1 : 1) * 2 ** -20);
  });
}
