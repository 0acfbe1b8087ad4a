/**
 * What a kernel is: a program (WGSL with its interface) and a launch of it (sizes, workgroups, cost).
 *
 * A program depends only on what changes the *code* (variant, tile, options). Sizes travel in a uniform, so one program
 * serves many shapes. Interface and code cannot drift apart: the `Params` struct, the binding declarations and the
 * uniform's bytes are all made from one declaration here.
 *
 * Nothing in `kernels/` sees a GPU: a kernel can be printed, compared and documented on any machine.
 * @module
 */

/** Types a uniform field may have; each takes 4 bytes. */
export type ScalarType = "u32" | "i32" | "f32";

/**
 * Types of the elements of a storage buffer; vectors view the same memory four (or two) scalars at a time. Those of f16
 * come from half.ts: no kernel is written with them.
 */
export type ElementType =
  | ScalarType
  | "vec2<f32>"
  | "vec4<f32>"
  | "vec4<u32>"
  | "f16"
  | "vec2<f16>"
  | "vec4<f16>";

/** Bytes of an element. */
export const ELEMENT_BYTES: Readonly<Record<ElementType, number>> = {
  "f32": 4,
  "i32": 4,
  "u32": 4,
  "vec2<f32>": 8,
  "vec4<f32>": 16,
  "vec4<u32>": 16,
  "f16": 2,
  "vec2<f16>": 4,
  "vec4<f16>": 8,
};

/**
 * How a program uses a buffer: `read`, `write` (every element it owns is written, none is read first) or `update`
 * (read, then written, as an accumulation or an optimiser does).
 */
export type Access = "read" | "write" | "update";

/** One storage buffer of a program; binding number = position in the list + 1 (0 is the uniform). */
export interface Binding {
  /** The WGSL variable. */
  readonly name: string;
  /** What the program does with it. */
  readonly access: Access;
  /** Element type of the array. */
  readonly type: ElementType;
  /** It is read through a texture, into which the engine copies it (texels.ts). */
  readonly texels?: boolean;
}

/** A compute shader with its interface. Equal configurations give the same object (see `memoize`). */
export interface Program {
  /** Family and pass, `attention.backward`; the label of pipelines, profile rows and errors. */
  readonly name: string;
  /** The rung of the ladder, `readable` or `tiled 8x8`. */
  readonly variant: string;
  /** Complete WGSL. */
  readonly code: string;
  /** Storage buffers in binding order. */
  readonly bindings: readonly Binding[];
  /** Fields of the uniform, in order. */
  readonly params: readonly (readonly [name: string, type: ScalarType])[];
  /** Invocations per workgroup. */
  readonly workgroupSize: number;
  /** Bytes of `var<workgroup>` memory. */
  readonly workgroupBytes: number;
  /** WebGPU features the code needs, such as `shader-f16`. */
  readonly features: readonly string[];
  /** Its workgroups count from `params.first_group`, so that a launch can be divided into several (divide.ts). */
  readonly divisible: boolean;
}

/** Values of bindings, by name. */
export type Values = Readonly<Record<string, ArrayLike<number>>>;

/**
 * What a kernel must write, by binding, in float64 and by the plainest loop there is. NaN stands for an element that is
 * left as it was.
 * @param inputs what it reads or updates
 * @param got what it did write: only for outputs that leave a choice, such as members of a list at the very threshold
 */
export type PlainLoop = (inputs: Values, got: Values) => Values;

/** A program with the sizes of one call. */
export interface Kernel {
  /** What runs. */
  readonly program: Program;
  /** Value of every field of the program's `Params`. */
  readonly params: Readonly<Record<string, number>>;
  /** Scalars each binding must hold, by name; the engine refuses a tensor of another size. */
  readonly sizes: Readonly<Record<string, number>>;
  /** Workgroups to launch in x, y and z. */
  readonly workgroups: readonly [number, number, number];
  /** Floating-point operations of the call, a multiply-add counted as two. */
  readonly flops: number;
  /** Bytes moved if each element were read or written just once. */
  readonly bytes: number;
  /** The plain loop of this very call, which tests and verify mode compare with. Every kernel of the catalogue has one. */
  readonly reference?: PlainLoop;
}

/** Whether a kernel looks at what a binding holds before it runs: what it overwrites (accumulate 0) may be anything. */
export function readsBefore({ params }: Kernel, { access }: Binding): boolean {
  return access === "read" || (access === "update" && params.accumulate !== 0);
}

/** What `defineProgram` needs: everything of a `Program`, with the interface in short form and the code without it. */
export interface ProgramSource {
  /** Family and pass. */
  name: string;
  /** The rung of the ladder; default `readable`. */
  variant?: string;
  /** Fields of the uniform `params`, in order: `{ rows: "u32", eps: "f32" }`. */
  params: Readonly<Record<string, ScalarType>>;
  /** Storage buffers in order: `{ x: "read f32", y: "write vec4<f32>" }`. At most 8. */
  bindings: Readonly<Record<string, `${Access} ${ElementType}`>>;
  /** Invocations per workgroup. */
  workgroupSize: number;
  /** Bytes of workgroup memory; default 0. */
  workgroupBytes?: number;
  /** WebGPU features needed; default none. */
  features?: readonly string[];
  /** The shader; it may use `params`, the bindings by name and `WORKGROUP_SIZE`. */
  code: string;
}

/** The field of `Params` that a divided launch counts its workgroups from; made here where the code uses it. */
export const FIRST_GROUP = "first_group";

/** The most storage buffers a program may bind: the default limit of the specification. */
export const MAX_STORAGE_BUFFERS = 8;

/**
 * Completes a shader with its generated interface.
 * @throws {Error} when it binds more than 8 storage buffers (a mistake in a kernel, not of a user).
 */
export function defineProgram(source: ProgramSource): Program {
  const bindings = Object.entries(source.bindings).map(([name, spec]): Binding => {
    const [access, type] = spec.split(" ") as [Access, ElementType];
    return { name, access, type };
  });
  if (bindings.length > MAX_STORAGE_BUFFERS) {
    throw new Error(
      `${source.name}: ${bindings.length} storage buffers, at most ${MAX_STORAGE_BUFFERS}`,
    );
  }
  const params = Object.entries(source.params);
  const divisible = source.code.includes(`params.${FIRST_GROUP}`);
  const fields = divisible ? [...params, [FIRST_GROUP, "u32"]] : params;
  const header = [
    ...(source.features?.includes("shader-f16") ? ["enable f16;"] : []),
    ...(source.features?.includes("subgroups") ? ["enable subgroups;"] : []),
    `struct Params { ${fields.map(([name, type]) => `${name}: ${type}`).join(", ")} }`,
    "@group(0) @binding(0) var<uniform> params: Params;",
    ...bindings.map((b, i) =>
      `@group(0) @binding(${i + 1}) var<storage, ${
        b.access === "read" ? "read" : "read_write"
      }> ${b.name}: array<${b.type}>;`
    ),
    `const WORKGROUP_SIZE = ${source.workgroupSize}u;`,
  ].join("\n");
  return {
    name: source.name,
    variant: source.variant ?? "readable",
    code: `${header}\n${source.code}`,
    bindings,
    params,
    workgroupSize: source.workgroupSize,
    workgroupBytes: source.workgroupBytes ?? 0,
    features: source.features ?? [],
    divisible,
  };
}

/** Makes a function of one plain configuration object return the same program for equal configurations. */
export function memoize<C>(make: (config: C) => Program): (config: C) => Program {
  const programs = new Map<string, Program>();
  return (config) => {
    const key = JSON.stringify(config);
    let program = programs.get(key);
    if (program === undefined) programs.set(key, program = make(config));
    return program;
  };
}

/** The most workgroups WebGPU guarantees in one dimension. */
export const MAX_WORKGROUPS_PER_DIMENSION = 65535;

/**
 * Spreads `count` workgroups over x and y, because one dimension holds at most 65,535. The shader numbers them
 * (`FOLDED_GROUP` in snippets.ts) and leaves when its number is not below its count.
 */
export function foldWorkgroups(count: number): [number, number, number] {
  if (count <= MAX_WORKGROUPS_PER_DIMENSION) return [Math.max(1, count), 1, 1];
  const y = Math.ceil(count / MAX_WORKGROUPS_PER_DIMENSION);
  return [Math.ceil(count / y), y, 1];
}

/** Integer division rounding up. */
export function ceilDiv(a: number, b: number): number {
  return Math.ceil(a / b);
}

/** The uniform's bytes: one 4-byte word a field, padded to a multiple of 16. */
export function packParams(
  program: Program,
  params: Readonly<Record<string, number>>,
  into: DataView,
  offset: number,
  firstGroup = 0,
): void {
  program.params.forEach(([name, type], i) => {
    const value = params[name];
    if (value === undefined) throw new Error(`${program.name}: parameter ${name} is missing`);
    const at = offset + 4 * i;
    if (type === "f32") into.setFloat32(at, value, true);
    else if (type === "i32") into.setInt32(at, value, true);
    else into.setUint32(at, value, true);
  });
  if (program.divisible) into.setUint32(offset + 4 * program.params.length, firstGroup, true);
}

/** Bytes that the uniform of a program takes. */
export function paramBytes(program: Program): number {
  const fields = program.params.length + Number(program.divisible);
  return Math.max(16, Math.ceil(fields / 4) * 16);
}
