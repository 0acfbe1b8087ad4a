/**
 * Takes the time of kernels by themselves, outside of any step: on buffers of their own, by timestamps where there are some.
 * @module
 */
import { type Kernel, packParams, paramBytes } from "../kernels/kernel.ts";
import type { Pipelines } from "./pipelines.ts";
import { beginAfterCopies } from "./texels.ts";

/** Runs some kernels, one after another, and takes the time of all. */
export class Stopwatch {
  readonly #buffers = new Map<string, GPUBuffer>();
  readonly #uniforms: readonly GPUBuffer[];
  readonly #queries: GPUQuerySet | null;

  /**
   * @param kernels launches whose programs are compiled when `time` is called
   * @param shared buffers of 4-byte words by the bindings' names, each large enough, which stay the caller's
   */
  constructor(
    private readonly gpu: GPUDevice,
    private readonly pipelines: Pipelines,
    private readonly kernels: readonly Kernel[],
    private readonly shared?: ReadonlyMap<string, GPUBuffer>,
  ) {
    for (const [name, words] of shared ? [] : wordsOf(kernels)) {
      this.#buffers.set(name, scratchBuffer(gpu, words));
    }
    this.#uniforms = kernels.map(({ program, params }) => {
      const bytes = new DataView(new ArrayBuffer(paramBytes(program)));
      packParams(program, params, bytes, 0);
      const uniform = gpu.createBuffer({ size: bytes.byteLength, usage: 0x40 | 0x08 }); // UNIFORM | COPY_DST
      gpu.queue.writeBuffer(uniform, 0, bytes.buffer);
      return uniform;
    });
    this.#queries = gpu.features.has("timestamp-query")
      ? gpu.createQuerySet({ type: "timestamp", count: 2 })
      : null;
  }

  /** Milliseconds that `runs` runs of all kernels take. */
  async time(runs: number): Promise<number> {
    const { gpu } = this;
    const launches = this.kernels.map((kernel, i) => this.#launch(kernel, this.#uniforms[i]));
    const encoder = gpu.createCommandEncoder({ label: "stopwatch" });
    const querySet = this.#queries;
    const first = { querySet: querySet!, beginningOfPassWriteIndex: 0 };
    let pass = encoder.beginComputePass(querySet ? { timestampWrites: first } : undefined);
    for (let i = 0; i < runs; i++) {
      for (const { pipeline, group, workgroups, copies } of launches) {
        if (copies.length > 0) {
          pass.end();
          pass = beginAfterCopies(encoder, copies);
        }
        pass.setPipeline(pipeline);
        pass.setBindGroup(0, group, [0]);
        pass.dispatchWorkgroups(...workgroups);
      }
    }
    pass.end();
    const last = { querySet: querySet!, endOfPassWriteIndex: 1 };
    if (querySet) encoder.beginComputePass({ timestampWrites: last }).end();
    const start = performance.now();
    gpu.queue.submit([encoder.finish()]);
    await gpu.queue.onSubmittedWorkDone();
    const passed = performance.now() - start;
    if (this.#queries === null) return passed;
    const [begin, end] = await readTimestamps(gpu, this.#queries, 2);
    return end > begin ? Number(end - begin) / 1e6 : passed;
  }

  #launch({ program, sizes, workgroups }: Kernel, uniform: GPUBuffer) {
    const compiled = this.pipelines.get(program), buffers = this.shared ?? this.#buffers;
    const { ranges, copies } = this.pipelines.texels.bind(
      program,
      program.bindings.map(({ name }) => {
        return { buffer: buffers.get(name)!, offset: 0, size: 4 * sizes[name] };
      }),
    );
    const group = this.pipelines.group(compiled, program, uniform, ranges);
    return { pipeline: compiled.pipeline, group, workgroups, copies };
  }

  /** Gives its memory back. */
  free(): void {
    for (const buffer of [...this.#uniforms, ...this.#buffers.values()]) {
      this.pipelines.forget(buffer);
      buffer.destroy();
    }
    this.#queries?.destroy();
  }
}

/** For each binding's name the most words that one of the kernels binds. */
export function wordsOf(kernels: readonly Kernel[]): Map<string, number> {
  const words = new Map<string, number>();
  for (const { program, sizes } of kernels) {
    for (const { name } of program.bindings) {
      words.set(name, Math.max(words.get(name) ?? 0, sizes[name]));
    }
  }
  return words;
}

/** Memory for so many words, 0 to begin with. */
export function scratchBuffer(gpu: GPUDevice, words: number): GPUBuffer {
  return gpu.createBuffer({ label: "stopwatch", size: 4 * words, usage: 0x80 | 0x04 }); // STORAGE | COPY_SRC
}

/** The first `count` timestamps of a set, in nanoseconds. */
export async function readTimestamps(
  gpu: GPUDevice,
  querySet: GPUQuerySet,
  count: number,
): Promise<BigUint64Array> {
  const resolved = gpu.createBuffer({ size: 8 * count, usage: 0x200 | 0x04 }); // QUERY_RESOLVE | COPY_SRC
  const staging = gpu.createBuffer({ size: 8 * count, usage: 0x01 | 0x08 }); // MAP_READ | COPY_DST
  const encoder = gpu.createCommandEncoder();
  encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, staging, 0, 8 * count);
  gpu.queue.submit([encoder.finish()]);
  await staging.mapAsync(0x1); // READ
  const times = new BigUint64Array(staging.getMappedRange().slice(0));
  for (const buffer of [resolved, staging]) buffer.destroy();
  return times;
}
