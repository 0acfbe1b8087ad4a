/**
 * Reading through textures: the same kernel, with some of its inputs copied into textures before it runs.
 *
 * Math    None: a load x[i] becomes a textureLoad of texel (i mod 1024, i div 1024) of a texture of rgba32float (or
 *         r32float), which holds the numbers as they are. The results are the same to the last bit.
 * Shapes  Those of the kernel. A binding can be read so if it is only read and its elements are f32 or vec4<f32>.
 * Work    As the kernel's. The engine copies the buffer into a texture first, which ends a pass and begins another.
 * Memory  Each number is moved once more, by a copy in rows of 1,024 texels. That pays where a load of a buffer is dear. On
 *         Mesa's llvmpipe it is: eight invocations are the lanes of a vector, and a buffer is read lane by lane (a branch, a
 *         bounds check and a store to the stack each), a texture by one gather instruction. There it pays even where each
 *         number is loaded once. On a GPU both go through the same caches, so nothing is gained.
 * Measured on llvmpipe (LLVM 15, 2 cores of an AMD Zen 3, beside other work), from buffers and from textures: a product of
 *         1024 x 1024 x 1024 660 and 186 ms, x W^T [3136, 64] x [192, 64] 22 and 7.8 ms; the demo's training step 3.0 times
 *         faster, a step of the small MCGaze 2.1 times. Copies move 2 to 6 GB/s. Below 100 KB nothing was gained.
 * @module
 */
import type { Binding, ElementType, Kernel, Program } from "./kernel.ts";
import { convertAccesses } from "./rewrite.ts";

import type { Target } from "./target.ts";

/** Texels in a row: 16 KiB of vec4<f32>; in every format a multiple of the 256 bytes that a copy asks for. */
export const TEXEL_ROW = 1024;

/** Rows of a texture at most: 32 MiB of vec4<f32>. What is larger stays a buffer, as its copy would be dear in memory. */
export const MAX_TEXEL_ROWS = 2048;

/** Bytes of a launch below which the copies and a pass of its own cost more than they save. */
const LEAST_BYTES = 1e5;

const made = new WeakMap<Program, Map<string, Program>>();

/** WGSL after `textureLoad(...)` for each type of element that a texture can hold. */
const COMPONENTS: Partial<Record<ElementType, string>> = { "f32": ".x", "vec4<f32>": "" };
const WGSL_TYPES: Partial<Record<ElementType, string>> = { "f32": "f32", "vec4<f32>": "vec4f" };

/** A kernel as the adapter reads its inputs best: through textures where that pays, else as it is. */
export function throughTexels(kernel: Kernel, target: Target): Kernel {
  const { program: { bindings }, bytes } = kernel;
  const pays = target.texels && bytes >= LEAST_BYTES;
  return pays ? inTexels(kernel, bindings.map(({ name }) => name)) : kernel;
}

/** A kernel that reads some of its bindings through textures; those that cannot be read so stay as they are. */
export function inTexels(kernel: Kernel, names: readonly string[]): Kernel {
  const { program, sizes } = kernel;
  const chosen = program.bindings.filter((binding) =>
    names.includes(binding.name) && fits(binding, sizes[binding.name])
  );
  if (chosen.length === 0) return kernel;
  const key = chosen.map(({ name }) => name).join(" ");
  const forms = made.get(program) ?? new Map<string, Program>();
  made.set(program, forms);
  let rewritten = forms.get(key);
  if (rewritten === undefined) forms.set(key, rewritten = texelProgram(program, chosen));
  return { ...kernel, program: rewritten };
}

/** Whether a binding of `size` scalars can be read through a texture. */
function fits({ access, type, texels }: Binding, size: number): boolean {
  const components = type === "vec4<f32>" ? 4 : 1;
  return access === "read" && !texels && type in COMPONENTS &&
    size / components <= TEXEL_ROW * MAX_TEXEL_ROWS;
}

function texelProgram(program: Program, chosen: readonly Binding[]): Program {
  let { code } = program;
  for (const { name, type } of chosen) {
    const load = (element: string) => `texel_${name}(${element.slice(name.length + 1, -1)})`;
    const store = (): never => {
      throw new Error(`${program.name}: ${name} is written; a texture is only read`);
    };
    code = convertAccesses(code, name, { load, store }, program.name).replace(
      `var<storage, read> ${name}: array<${type}>;`,
      `var ${name}: texture_2d<f32>;\n` +
        `fn texel_${name}(at: u32) -> ${WGSL_TYPES[type]} { return textureLoad(${name}, ` +
        `vec2u(at % ${TEXEL_ROW}u, at / ${TEXEL_ROW}u), 0)${COMPONENTS[type]}; }`,
    );
  }
  return {
    ...program,
    variant: `${program.variant}, textures`,
    code,
    bindings: program.bindings.map((binding) =>
      chosen.includes(binding) ? { ...binding, texels: true } : binding
    ),
  };
}
