/**
 * Every program of the catalogue: is its interface sound, does it compile within the specification's default limits, and
 * does it compute what its plain loop computes, within its own part of its buffers?
 * @module
 */
import { CATALOGUE, type CataloguedKernel } from "../../kernels/catalogue.ts";
import {
  type Binding,
  type Kernel,
  MAX_STORAGE_BUFFERS,
  MAX_WORKGROUPS_PER_DIMENSION,
  type Program,
} from "../../kernels/kernel.ts";
import { DEFAULT_TARGET } from "../../kernels/target.ts";
import { ratesOf, SUBMIT_MS } from "../../engine/cost.ts";
import { run } from "../../engine/dispatch.ts";
import type { Device } from "../../engine/mod.ts";
import { Pipelines } from "../../engine/pipelines.ts";
import { assert, assertEquals, gpuTest, test } from "../harness.ts";

const nameOf = ({ name, variant }: Program) => `${name}[${variant}]`;
/** A shader without what `defineProgram` puts before it. */
const body = ({ code }: Program) => code.slice(code.indexOf("const WORKGROUP_SIZE"));
const uses = (program: Program, text: string) => new RegExp(`\\b${text}\\b`).test(body(program));

function smallKernels(): CataloguedKernel[] {
  return CATALOGUE.flatMap(({ small }) => small());
}

/** The different programs, by their code. */
function programs(): Program[] {
  return [...new Map(smallKernels().map(({ kernel: { program } }) => [program.code, program]))
    .values()];
}

test("every program has one entry point, at most 8 buffers and no unused binding", () => {
  for (const program of programs()) {
    const name = nameOf(program);
    assertEquals(program.code.match(/@compute/g)?.length, 1, name);
    assert(/@compute @workgroup_size\(WORKGROUP_SIZE\)\s+fn main\(/.test(program.code), name);
    assert(program.bindings.length <= MAX_STORAGE_BUFFERS, `${name}: too many buffers`);
    const idle = program.bindings.filter((b) => !uses(program, b.name)).map((b) => b.name);
    assertEquals(idle, [], `${name}: unused bindings`);
    const lines = program.code.split("\n").length;
    assert(lines < 400, `${name} has ${lines} lines`);
  }
});

test("every field of Params is used, if not by a program then by another variant of it", () => {
  const unused = new Map<string, Set<string>>(), used = new Set<string>();
  for (const { family, small } of CATALOGUE) {
    // softmax.ts and softmax_workgroup.ts share the fields of their programs
    const shared = family.split("_")[0];
    for (const { kernel: { program } } of small()) {
      for (const [field] of program.params) {
        const key = `${shared}: ${field}`;
        if (new RegExp(`\\bparams\\.${field}\\b`).test(body(program))) used.add(key);
        else unused.set(key, (unused.get(key) ?? new Set()).add(nameOf(program)));
      }
    }
  }
  const idle = [...unused].filter(([key]) => !used.has(key))
    .map(([key, names]) => `${key} in ${[...names].join(", ")}`);
  assertEquals(idle, []);
});

test("one name and variant leads to one launch function", () => {
  const owners = new Map<string, Set<string>>();
  for (const { launch, small } of CATALOGUE) {
    for (const { kernel, target } of small()) {
      // they call launch functions
      if (target !== undefined || /^(\w*patchify|\w+Launch)$/.test(launch)) continue;
      const name = nameOf(kernel.program);
      owners.set(name, (owners.get(name) ?? new Set()).add(launch));
    }
  }
  const twice = [...owners].filter(([, launches]) => launches.size > 1)
    .map(([name, launches]) => `${name}: ${[...launches].join(", ")}`);
  assertEquals(twice, []);
});

test("what is selected for the default limits fits them", () => {
  for (const { kernel: { program }, target } of smallKernels()) {
    if (target === undefined) continue;
    const name = nameOf(program);
    assert(program.workgroupSize <= DEFAULT_TARGET.maxInvocations, `${name}: invocations`);
    assert(program.workgroupBytes <= DEFAULT_TARGET.maxWorkgroupBytes, `${name}: workgroup memory`);
    assertEquals([...program.features], [], `${name}: features`);
  }
});

test("declared workgroup memory is what the code declares", () => {
  const BYTES: Readonly<Record<string, number>> = {
    "f32": 4,
    "u32": 4,
    "vec2f": 8,
    "vec4f": 16,
    "vec4<f32>": 16,
  };
  for (const program of programs()) {
    const alias = new Map(
      [...program.code.matchAll(/^alias (\w+) = ([\w<>]+);/gm)].map((m) => [m[1], m[2]]),
    );
    let bytes = 0;
    for (const m of program.code.matchAll(/var<workgroup> \w+: array<([\w<>]+), (\d+)u?>/g)) {
      bytes += BYTES[alias.get(m[1]) ?? m[1]] * Number(m[2]);
    }
    assertEquals(program.workgroupBytes, bytes, nameOf(program));
  }
});

/** Programs that leave part of an output as it is: strips of one window among those of all, lists that end early. */
const PARTLY_WRITTEN = new Set([
  "global_norm.strips",
  "entmax_support.threshold",
  "entmax_support.by_token",
  "entmax_support.by_slot",
]);

test("every launch carries its plain loop, sane sizes and costs, and at most 65,535 groups a dimension", () => {
  for (const { launch, small, huge } of CATALOGUE) {
    for (const { kernel } of [...small(), ...huge()]) {
      const { program, params, sizes, workgroups, flops, bytes } = kernel;
      const name = `${launch}: ${nameOf(program)}`;
      let written = 0;
      for (const { name: binding, access } of program.bindings) {
        const size = sizes[binding];
        assert(Number.isSafeInteger(size) && size > 0, `${name}: ${binding} has size ${size}`);
        if (access === "write") written += 4 * size;
      }
      assert(kernel.reference !== undefined, `${name} carries no plain loop`);
      assert(Number.isFinite(flops) && flops >= 0, `${name}: ${flops} flops`);
      assert(Number.isFinite(bytes), `${name}: ${bytes} bytes`);
      assert(bytes >= written || PARTLY_WRITTEN.has(program.name), `${name}: ${bytes} bytes moved`);
      for (const count of workgroups) {
        assert(Number.isSafeInteger(count) && count >= 1, `${name}: ${workgroups} workgroups`);
        assert(count <= MAX_WORKGROUPS_PER_DIMENSION, `${name}: ${workgroups} workgroups`);
      }
      for (const [field, type] of program.params) {
        const value = params[field];
        assert(Number.isFinite(value), `${name}: ${field} is ${value}`);
        if (type === "u32") {
          assert(value >= 0 && value < 2 ** 32 && value % 1 === 0, `${name}: ${field}`);
        }
      }
    }
  }
});

gpuTest("every program compiles on a device with the default limits", async (device) => {
  const pipelines = new Pipelines(device.gpu);
  await pipelines.prepare(programs());
  assertEquals(pipelines.size, programs().length);
}, { device: { limits: "default" }, timeout: 300 });

/** Elements of the guard behind every buffer: more than one workgroup could touch. */
const GUARD = 1024;
/** A quiet NaN, and one that no arithmetic makes. */
const NAN = 0x7fc00000, UNTOUCHED = 0x7fc0beef;
/** Rounding of f32 through the sums and functions of one kernel, relative to the largest result. */
const TOLERANCE = 2e-5;

const scratch = new DataView(new ArrayBuffer(4));

function bitsOf(value: number): number {
  scratch.setFloat32(0, value);
  return scratch.getUint32(0);
}

const isInteger = ({ type }: Binding) => type.includes("u32");

/** Pseudo-random input `i` of a binding: numbers in [-1.5, 1.5), or integers in [0, 2^24). */
function randomInput(binding: Binding, i: number): number {
  let hash = [...binding.name].reduce((h, c) => Math.imul(h ^ c.charCodeAt(0), 0x01000193), i + 1);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  hash = (hash ^ (hash >>> 13)) >>> 8;
  return isInteger(binding) ? hash : 3 * hash / 2 ** 24 - 1.5;
}

/** Inputs of a kernel, rounded to f32 where they are floats. What is overwritten rather than updated begins as NaN. */
function inputsOf({ kernel, input }: CataloguedKernel): Record<string, Float64Array> {
  const { program, sizes, params } = kernel;
  const read = program.bindings.filter(({ access }) => access !== "write");
  return Object.fromEntries(read.map((binding) => {
    const { name, access } = binding;
    const overwritten = access === "update" && params.accumulate === 0;
    const values = Float64Array.from({ length: sizes[name] }, (_, i) => {
      if (overwritten) return NaN;
      const value = input(randomInput(binding, i), name, i);
      return isInteger(binding) ? value : Math.fround(value);
    });
    return [name, values];
  }));
}

interface RunOptions {
  /** Elements to append to every buffer. */
  readonly guard: number;
  /** Bits of the guards of what is only read, by the number of the binding. */
  readonly beyond?: (binding: number) => number;
  /** Launch over x and y, as if there were too many workgroups for x alone, or in parts, as if that took too long. */
  readonly as?: "folded" | "divided";
}

/** The launch over x and y, with workgroups to spare, which must leave. */
function folded(kernel: Kernel): Kernel {
  const { program, workgroups: [count] } = kernel;
  return program.divisible ? { ...kernel, workgroups: [2, Math.ceil((count + 1) / 2), 1] } : kernel;
}

/** The launch as if it took two submits and a bit. */
function divided(kernel: Kernel, device: Device): Kernel {
  const { gflops } = ratesOf(device.target.adapterClass, null);
  return { ...kernel, flops: 2.5 * SUBMIT_MS * 1e6 * gflops };
}

/** Runs a kernel; returns the bits of all it may write, by binding. */
function runBits(
  device: Device,
  kernel: Kernel,
  inputs: Readonly<Record<string, Float64Array>>,
  { guard, beyond = () => NAN, as }: RunOptions,
): Promise<Uint32Array>[] {
  const { program, sizes } = kernel;
  const tensors = Object.fromEntries(program.bindings.map((binding, k) => {
    const { name, access } = binding;
    const bits = new Uint32Array(sizes[name] + guard).fill(
      access === "read" ? beyond(k) : UNTOUCHED,
    );
    inputs[name]?.forEach((value, i) => bits[i] = isInteger(binding) ? value : bitsOf(value));
    return [name, device.tensor(bits)];
  }));
  const launched = as === "folded"
    ? folded(kernel)
    : as === "divided"
    ? divided(kernel, device)
    : kernel;
  run({
    ...launched,
    sizes: Object.fromEntries(Object.entries(sizes).map(([name, size]) => [name, size + guard])),
  }, tensors);
  return program.bindings.filter(({ access }) => access !== "read")
    .map(({ name }) => tensors[name].data() as Promise<Uint32Array>);
}

const valuesOf = (binding: Binding, bits: Uint32Array) =>
  isInteger(binding) ? bits : new Float32Array(bits.buffer);

/** Compares the bits of an output with its plain loop, in which NaN stands for what must stay as it was. */
function assertAsReference(
  bits: Uint32Array,
  binding: Binding,
  want: ArrayLike<number>,
  before: Float64Array | undefined,
  what: string,
): void {
  assertEquals(want.length, bits.length, `${what}: length of the reference`);
  const exact = isInteger(binding), values = valuesOf(binding, bits);
  let largest = 1e-30;
  for (let i = 0; i < want.length; i++) {
    if (Number.isFinite(want[i])) largest = Math.max(largest, Math.abs(want[i]));
  }
  for (let i = 0; i < want.length; i++) {
    if (Number.isNaN(want[i])) {
      assert(
        bits[i] === (before === undefined ? UNTOUCHED : bitsOf(before[i])),
        `${what}[${i}] was touched`,
      );
      continue;
    }
    assert(before !== undefined || bits[i] !== UNTOUCHED, `${what}[${i}] is a hole`);
    const off = Math.abs(values[i] - want[i]);
    const right = exact ? off === 0 : off <= TOLERANCE * largest;
    assert(right, `${what}[${i}] is ${values[i]}, want ${want[i]} (largest ${largest})`);
  }
}

async function check(device: Device, catalogued: CataloguedKernel): Promise<void> {
  const { kernel } = catalogued;
  const { program, sizes } = kernel;
  const inputs = inputsOf(catalogued);
  const [plain, inFold, inParts] = await device.step(() => [
    runBits(device, kernel, inputs, { guard: 0 }),
    runBits(device, kernel, inputs, { guard: GUARD, as: "folded" }),
    // numbers, as adapters may take NaN for 0 in a comparison; all different
    runBits(device, kernel, inputs, { guard: GUARD, beyond: (k) => bitsOf(1 + k), as: "divided" }),
  ]);
  const outputs = program.bindings.filter(({ access }) => access !== "read");
  const all = await Promise.all(plain);
  const got = outputs.map((binding, k) => [binding.name, valuesOf(binding, all[k])]);
  assert(kernel.reference !== undefined, `${nameOf(program)} has no plain loop`);
  const wanted = kernel.reference(inputs, Object.fromEntries(got));
  for (const [k, binding] of outputs.entries()) {
    const { name } = binding;
    const what = `${nameOf(program)} ${JSON.stringify(kernel.params)}: ${name}`;
    const bits = all[k];
    for (const [way, guarded] of [["over x and y", inFold], ["in parts", inParts]] as const) {
      const got = await guarded[k], beyond = got.subarray(sizes[name]);
      assert(beyond.every((v) => v === UNTOUCHED), `${what}: wrote beyond, launched ${way}`);
      const inside = got.subarray(0, sizes[name]);
      assertEquals(inside, bits, `${what}: read beyond, or differs launched ${way}`);
    }
    assertAsReference(bits, binding, wanted[name], inputs[name], what);
  }
}

for (const { family, launch, small } of CATALOGUE) {
  gpuTest(
    `${launch} (${family}.ts) computes what its plain loop does, in its place`,
    async (device) => {
      const different = new Map(
        small().map((
          one,
        ) => [`${one.kernel.program.code} ${JSON.stringify(one.kernel.params)}`, one]),
      );
      for (const one of different.values()) await check(device, one);
    },
  );
}
