/**
 * Every kernel of the catalogue that holds activations, weights or gradients, in half storage: does it compute its plain
 * loop from half inputs, but for the rounding of what it stores?
 */
import { run } from "../../engine/dispatch.ts";
import type { Device, HostArray } from "../../engine/mod.ts";
import { CATALOGUE, type CataloguedKernel, type CatalogueEntry } from "../../kernels/catalogue.ts";
import { inHalf } from "../../kernels/half.ts";
import type { Binding, Kernel } from "../../kernels/kernel.ts";
import { testValues } from "../gradcheck.ts";
import { HALF_ROUNDING, halfTest, roundToHalf } from "../half_harness.ts";
import { assert } from "../harness.ts";

/** Kernels of the engine, optimisers and lists of indices: what they read and write is never half. */
const NEVER_HALF = new Set([
  "adamw",
  "boxes",
  "box_losses",
  "batch_norm_fold",
  "entmax_support",
  "fill",
  "fma_loop",
  "global_norm",
  "non_finite",
  "random_words",
  "self_test",
  "sgd",
]);
/** Copies move words; of halves they move the halves themselves. */
const COPIES = /^(map_copy|concat|embed|permute)$/;
/**
 * Sums and functions of one kernel round in f32 (2e-5 of the largest result, as the catalogue's own test has it), its
 * stores to half; the readable softmax stores twice.
 */
const TOLERANCE = 2e-5 + 2 * HALF_ROUNDING;

/** Half the smallest f16 above 0: nothing nearer can be asked of a store. */
const LEAST_HALF = 2 ** -25;

const halves = ({ program }: Kernel): string[] =>
  program.bindings.filter(({ type }) => type.includes("f32") || COPIES.test(program.name))
    .map(({ name }) => name);

/** Inputs of a kernel, rounded to what they are stored in. */
function inputsOf({ kernel, input }: CataloguedKernel): Record<string, Float64Array> {
  const { program, sizes, params } = kernel, half = halves(kernel);
  const read = program.bindings.filter(({ access }) => access !== "write");
  return Object.fromEntries(read.map(({ name, access, type }, k) => {
    const integers = !half.includes(name) && type.includes("u32");
    const random = testValues(sizes[name], k + 1);
    const values = Float64Array.from(random, (value, i) => {
      if (access === "update" && params.accumulate === 0) return NaN;
      if (integers) return input(Math.floor(2 ** 22 * Math.abs(value)), name, i);
      // with a logsumexp that belongs to other scores, probabilities would outgrow a half
      return input(name === "qkv" ? value / 2 : value, name, i);
    });
    return [name, half.includes(name) ? Float64Array.from(roundToHalf(values)) : values];
  }));
}

function hostArray(binding: Binding, values: Float64Array, half: boolean): HostArray {
  if (half) return Float16Array.from(values);
  return binding.type.includes("u32") ? Uint32Array.from(values) : Float32Array.from(values);
}

/** Infinity for what a half cannot hold; nothing in the catalogue comes out near that bound. */
function beyondHalf(value: number): number {
  return Math.abs(value) < 65520 ? value : Math.sign(value) * Infinity;
}

async function check(device: Device, catalogued: CataloguedKernel): Promise<void> {
  const { kernel } = catalogued, { program, sizes } = kernel;
  const inputs = inputsOf(catalogued), half = halves(kernel);
  const outputs = program.bindings.filter(({ access }) => access !== "read");
  const reads = await device.step(() => {
    const tensors = Object.fromEntries(program.bindings.map((binding) => {
      const { name, type } = binding;
      if (inputs[name]) {
        return [name, device.tensor(hostArray(binding, inputs[name], half.includes(name)))];
      }
      const dtype = half.includes(name) ? "f16" : type.includes("u32") ? "u32" : "f32";
      return [name, device.empty([sizes[name]], dtype)];
    }));
    run(kernel, tensors);
    return outputs.map(({ name }) => tensors[name].data());
  });
  const got = Object.fromEntries(
    await Promise.all(outputs.map(async ({ name }, k) => [name, await reads[k]] as const)),
  );
  const wanted = kernel.reference!(inputs, got);
  for (const { name } of outputs) {
    const what = `${program.name}[${program.variant}] ${JSON.stringify(kernel.params)}: ${name}`;
    const exact = !half.includes(name);
    const want = exact ? wanted[name] : Float64Array.from(wanted[name], beyondHalf);
    const largest = Array.from(want).reduce(
      (most, v) => Math.max(most, Number.isFinite(v) ? Math.abs(v) : 0),
      1e-30,
    );
    for (let i = 0; i < want.length; i++) {
      if (Number.isNaN(want[i])) continue;
      const off = Math.abs(got[name][i] - want[i]);
      assert(
        got[name][i] === want[i] || !exact && off <= TOLERANCE * largest + LEAST_HALF,
        `${what}[${i}] is ${got[name][i]}, want ${want[i]} (largest ${largest})`,
      );
    }
  }
}

/** The different programs of an entry. */
function programs({ small }: CatalogueEntry): CataloguedKernel[] {
  return [...new Map(small().map((one) => [one.kernel.program.code, one])).values()];
}

halfTest("every kernel of the catalogue has a half form, and it is valid WGSL", async ({ gpu }) => {
  for (const { kernel } of CATALOGUE.flatMap(programs)) {
    if (halves(kernel).length === 0) continue;
    const { program } = inHalf(kernel, halves(kernel));
    gpu.pushErrorScope("validation");
    gpu.createShaderModule({ code: program.code });
    const error = await gpu.popErrorScope();
    assert(error === null, `${program.name}[${program.variant}]: ${error?.message}`);
  }
});

/** Programs of an entry that are run, from the first to the last: that all compile is the test above. */
const RUN = 4;

for (const one of CATALOGUE) {
  const { family, launch } = one;
  if (NEVER_HALF.has(family) || NEVER_HALF.has(launch)) continue;
  halfTest(`${launch} (${family}.ts) computes its plain loop in half storage`, async (device) => {
    const all = programs(one).filter(({ kernel }) => kernel.reference && halves(kernel).length > 0);
    const step = Math.max(1, (all.length - 1) / (RUN - 1));
    for (let k = 0; k < all.length; k += step) await check(device, all[Math.round(k)]);
  });
}
