/**
 * Compiled programs and bind groups, made once.
 *
 * The key of a pipeline is the final WGSL text: it cannot go stale. Bind-group layouts are explicit, one per signature
 * (access and least size of each binding), so that programs with equal signatures share bind groups.
 * @module
 */
import { type Binding, ELEMENT_BYTES, paramBytes, type Program } from "../kernels/kernel.ts";
import { GpuError, LimitError } from "./errors.ts";
import { placeOf } from "./place.ts";
import { Texels } from "./texels.ts";

/** A program ready to run. */
export interface CompiledProgram {
  readonly program: Program;
  readonly pipeline: GPUComputePipeline;
  readonly layout: BoundLayout;
}

/** A bind-group layout with its number, which keys the bind-group cache. */
export interface BoundLayout {
  readonly id: number;
  readonly layout: GPUBindGroupLayout;
  readonly pipelineLayout: GPUPipelineLayout;
}

const COMPUTE = 0x4; // GPUShaderStage.COMPUTE, as a number so that importing needs no WebGPU

/** One binding of a bind group. */
export interface BoundRange {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
  /** A texture that holds a copy of it, which is bound in its place (texels.ts). */
  readonly view?: GPUTextureView;
}

/** What a bind group holds for a range. */
export function resourceOf({ buffer, offset, size, view }: BoundRange): GPUBindingResource {
  return view ?? { buffer, offset, size };
}

/**
 * How a binding is declared. Least sizes are, so that they are checked once, when a bind group is made. Left to the check
 * at each dispatch, Deno 2.9.6 was seen to compare a new pipeline with an older bind group's size and refuse it.
 */
function layoutOf(
  { access, type, texels }: Binding,
): Pick<GPUBindGroupLayoutEntry, "buffer" | "texture"> {
  if (texels) return { texture: { sampleType: "unfilterable-float" } };
  return {
    buffer: {
      type: access === "read" ? "read-only-storage" : "storage",
      minBindingSize: ELEMENT_BYTES[type],
    },
  };
}

/** The caches of one device. */
export class Pipelines {
  #compiled = new Map<string, CompiledProgram>();
  #compiling = new Map<string, Promise<void>>();
  #layouts = new Map<string, BoundLayout>();
  #groups = new Map<string, GPUBindGroup>();
  #groupsOf = new Map<GPUBuffer | GPUTextureView, Set<string>>();
  #ids = new Map<GPUBuffer | GPUTextureView, number>();
  #nextId = 1;
  /** What programs read instead of buffers. */
  readonly texels: Texels;
  constructor(private readonly gpu: GPUDevice) {
    this.texels = new Texels(gpu, (view) => this.forget(view));
  }

  /** The compiled program; `prepare` must have finished for it. */
  get(program: Program): CompiledProgram {
    return this.#compiled.get(program.code)!;
  }

  /** True when the program needs no compilation. */
  has(program: Program): boolean {
    return this.#compiled.has(program.code);
  }

  /** The variants compiled so far of each kernel, in alphabetical order. */
  variants(): Record<string, string> {
    const found = new Map<string, Set<string>>();
    for (const { program } of this.#compiled.values()) {
      const known = found.get(program.name);
      if (known) known.add(program.variant);
      else found.set(program.name, new Set([program.variant]));
    }
    const names = [...found.keys()].sort();
    return Object.fromEntries(names.map((name) => [name, [...found.get(name)!].sort().join("; ")]));
  }

  /** How many programs are compiled. */
  get size(): number {
    return this.#compiled.size;
  }

  /**
   * Compiles what is missing, in parallel.
   * @param places who asked for them, for the error
   * @throws {GpuError} with the numbered source line when a program does not compile.
   */
  async prepare(
    programs: Iterable<Program>,
    places?: ReadonlyMap<Program, Error>,
  ): Promise<void> {
    const missing = this.missing(programs);
    await Promise.all(missing.map((program) => this.compile(program, places?.get(program))));
  }

  /** Those of some programs that are not compiled, each once. */
  missing(programs: Iterable<Program>): Program[] {
    const missing = new Map<string, Program>();
    for (const program of programs) {
      if (!this.has(program)) missing.set(program.code, program);
    }
    return [...missing.values()];
  }

  /** Compiles one program; a compilation that is under way is shared. */
  compile(program: Program, place?: Error): Promise<void> {
    let job = this.#compiling.get(program.code);
    if (!job) {
      job = this.#compile(program, place).finally(() => this.#compiling.delete(program.code));
      this.#compiling.set(program.code, job);
    }
    return job;
  }

  async #compile(program: Program, place: Error | undefined): Promise<void> {
    const limits = this.gpu.limits;
    const asked = place === undefined ? "" : `, asked for ${placeOf(place)}`;
    if (program.workgroupSize > limits.maxComputeInvocationsPerWorkgroup) {
      throw new LimitError(
        `${program.name} (${program.variant}) needs ${program.workgroupSize} invocations a workgroup, ` +
          `this device allows ${limits.maxComputeInvocationsPerWorkgroup}${asked}; choose another variant`,
      );
    }
    const label = `${program.name}[${program.variant}]`;
    // Making the pipeline fails too, and tells; without a scope this would tell once more, as an uncaptured error.
    this.gpu.pushErrorScope("validation");
    const module = this.gpu.createShaderModule({ code: program.code, label });
    void this.gpu.popErrorScope().catch(() => {});
    const layout = this.#layout(program);
    try {
      const pipeline = await this.gpu.createComputePipelineAsync({
        label,
        layout: layout.pipelineLayout,
        compute: { module, entryPoint: "main" },
      });
      this.#compiled.set(program.code, { program, pipeline, layout });
    } catch (cause) {
      throw new GpuError(await describeCompileError(program, asked, module, cause), { cause });
    }
  }

  #layout(program: Program): BoundLayout {
    const bytes = paramBytes(program);
    const signature = [
      bytes,
      ...program.bindings.map((b) =>
        b.texels ? "t" : (b.access === "read" ? "r" : "w") + ELEMENT_BYTES[b.type]
      ),
    ].join(" ");
    let known = this.#layouts.get(signature);
    if (!known) {
      const layout = this.gpu.createBindGroupLayout({
        label: signature,
        entries: [
          {
            binding: 0,
            visibility: COMPUTE,
            buffer: { type: "uniform", hasDynamicOffset: true, minBindingSize: bytes },
          },
          ...program.bindings.map((b, i): GPUBindGroupLayoutEntry => ({
            binding: i + 1,
            visibility: COMPUTE,
            ...layoutOf(b),
          })),
        ],
      });
      const pipelineLayout = this.gpu.createPipelineLayout({
        bindGroupLayouts: [layout],
        label: signature,
      });
      known = { id: this.#layouts.size, layout, pipelineLayout };
      this.#layouts.set(signature, known);
    }
    return known;
  }

  /** The bind group of these ranges; the uniform buffer is bound with a dynamic offset. */
  group(
    compiled: CompiledProgram,
    program: Program,
    uniform: GPUBuffer,
    ranges: readonly BoundRange[],
  ): GPUBindGroup {
    const bytes = paramBytes(program);
    let key = `${compiled.layout.id}:${this.#idOf(uniform)}`;
    for (const r of ranges) {
      key += r.view ? `|${this.#idOf(r.view)}` : `|${this.#idOf(r.buffer)},${r.offset},${r.size}`;
    }
    let group = this.#groups.get(key);
    if (!group) {
      group = this.gpu.createBindGroup({
        label: program.name,
        layout: compiled.layout.layout,
        entries: [
          { binding: 0, resource: { buffer: uniform, offset: 0, size: bytes } },
          ...ranges.map((range, i) => ({ binding: i + 1, resource: resourceOf(range) })),
        ],
      });
      this.#groups.set(key, group);
      this.#remember(uniform, key);
      for (const r of ranges) this.#remember(r.view ?? r.buffer, key);
    }
    return group;
  }

  /** Forgets the bind groups that name a buffer or texture; called when it is destroyed. */
  forget(bound: GPUBuffer | GPUTextureView): void {
    for (const key of this.#groupsOf.get(bound) ?? []) this.#groups.delete(key);
    this.#groupsOf.delete(bound);
    this.#ids.delete(bound);
  }

  #idOf(bound: GPUBuffer | GPUTextureView): number {
    let id = this.#ids.get(bound);
    if (id === undefined) this.#ids.set(bound, id = this.#nextId++);
    return id;
  }

  #remember(bound: GPUBuffer | GPUTextureView, key: string): void {
    let keys = this.#groupsOf.get(bound);
    if (!keys) this.#groupsOf.set(bound, keys = new Set());
    keys.add(key);
  }
}

/** The compiler's message with the source around the line it names. */
async function describeCompileError(
  program: Program,
  asked: string,
  module: GPUShaderModule,
  cause: unknown,
): Promise<string> {
  const lines = program.code.split("\n");
  let text = cause instanceof Error ? cause.message : String(cause);
  const info = await module.getCompilationInfo().catch(() => null);
  for (const message of info?.messages ?? []) {
    if (message.type !== "error") continue;
    const from = Math.max(0, message.lineNum - 3);
    const around = lines.slice(from, message.lineNum + 2)
      .map((line, i) => `${String(from + i + 1).padStart(5)} | ${line}`);
    text += `\n${message.message}\n${around.join("\n")}`;
  }
  return `${program.name} (${program.variant}) does not compile${asked}. If nobody changed its shader, update the driver ` +
    `or choose another adapter. The driver says: ${text}`;
}
