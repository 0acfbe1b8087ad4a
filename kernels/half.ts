/**
 * Half storage: the same kernel over buffers that hold f16 instead of f32.
 *
 * Math    A load x[i] becomes f32(x[i]), which is exact; a store y[i] = v becomes y[i] = f16(v), rounded to 11 bits. All
 *         between stays as it is: sums, sizes and indices are f32 and u32 in both forms, so nothing that counts is ever
 *         half. Beyond 65,504 a store gives infinity, which the loss scaling looks for (nn/grad_scaler.ts).
 * Shapes  Those of the kernel; each binding is half or not by itself. A binding of u32 in a kernel that moves bits (copies,
 *         fills) sees the bits of each half's f32.
 * Work    As the kernel's. The code is rewritten, not run otherwise: a kernel is written once, and read as f32.
 * Memory  2 bytes an element where it was 4; workgroup memory and registers keep f32. Measured: docs/results/f16.md.
 *
 * WGSL converts nothing by itself, so a place that the rewriting missed does not compile: it cannot be silently wrong.
 * @module
 */
import type { Binding, ElementType, Kernel, Program } from "./kernel.ts";
import { type AccessForm, convertAccesses } from "./rewrite.ts";

/** The WebGPU feature that f16 in shaders needs. */
export const HALF_FEATURE = "shader-f16";

/** Element type in half storage, what a load of it is converted with, and what a store is. */
interface HalfForm extends AccessForm {
  readonly type: ElementType;
}

const HALF_FORMS: Partial<Record<ElementType, HalfForm>> = {
  "f32": { type: "f16", load: (x) => `f32(${x})`, store: (v) => `f16(${v})` },
  "vec2<f32>": { type: "vec2<f16>", load: (x) => `vec2f(${x})`, store: (v) => `vec2<f16>(${v})` },
  "vec4<f32>": { type: "vec4<f16>", load: (x) => `vec4f(${x})`, store: (v) => `vec4<f16>(${v})` },
  "u32": {
    type: "f16",
    load: (x) => `bitcast<u32>(f32(${x}))`,
    store: (v) => `f16(bitcast<f32>(${v}))`,
  },
  "vec4<u32>": {
    type: "vec4<f16>",
    load: (x) => `bitcast<vec4u>(vec4f(${x}))`,
    store: (v) => `vec4<f16>(bitcast<vec4f>(${v}))`,
  },
};

const made = new WeakMap<Program, Map<string, Program>>();

/**
 * A kernel with some of its bindings in half storage.
 * @param names the bindings; none gives the kernel itself
 */
export function inHalf(kernel: Kernel, names: readonly string[]): Kernel {
  if (names.length === 0) return kernel;
  const { program, sizes, bytes } = kernel;
  const key = names.join(" ");
  const forms = made.get(program) ?? new Map<string, Program>();
  made.set(program, forms);
  let half = forms.get(key);
  if (half === undefined) forms.set(key, half = halfProgram(program, names));
  const all = program.bindings.reduce((sum, { name }) => sum + 4 * sizes[name], 0);
  const saved = names.reduce((sum, name) => sum + 2 * sizes[name], 0);
  return { ...kernel, program: half, bytes: bytes * (all - saved) / all };
}

/** Bytes of one scalar of a binding. */
export function scalarBytes({ type }: Binding): 2 | 4 {
  return type.includes("f16") ? 2 : 4;
}

function halfProgram(program: Program, names: readonly string[]): Program {
  let { code } = program;
  const bindings = program.bindings.map((binding): Binding => {
    if (!names.includes(binding.name)) return binding;
    const form = HALF_FORMS[binding.type];
    if (form === undefined) {
      throw new Error(
        `${program.name}: ${binding.name} is ${binding.type}, which has no half form`,
      );
    }
    if (binding.texels) return { ...binding, type: form.type }; // textureLoad() gives f32 of either
    code = code.replace(
      `> ${binding.name}: array<${binding.type}>;`,
      `> ${binding.name}: array<${form.type}>;`,
    );
    code = convertAccesses(code, binding.name, form, program.name);
    return { ...binding, type: form.type };
  });
  return {
    ...program,
    variant: `${program.variant}, half ${names.join(" ")}`,
    code: `enable f16;\n${code}`,
    bindings,
    features: [...program.features, HALF_FEATURE],
  };
}
