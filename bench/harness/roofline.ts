/**
 * What the adapter can do: multiply-adds and copied bytes a second, by the wall clock that the workloads are measured by.
 * `device.roofline()` takes a tenth of a second for the same; here several shapes of the loop are tried, for as long as any
 * sample takes.
 * @module
 */
import { fmaLoop, type FmaLoopShape } from "../../kernels/fma_loop.ts";
import { type Kernel, packParams, paramBytes } from "../../kernels/kernel.ts";
import { stridedMap } from "../../kernels/strided_map.ts";
import { percentile } from "./statistics.ts";

/** The roofs. */
export interface Roofline {
  /** 10^9 floating-point operations a second, a multiply-add counted as two. */
  readonly gflops: number;
  /** The shape of the loop that reached them. */
  readonly shape: string;
  /** 10^9 bytes a second, read and written ones added up. */
  readonly gbs: number;
  /** What copied them. */
  readonly copier: string;
}

/**
 * Few invocations suit processors, many suit graphics cards. How long a loop's body may be differs between processors: on one
 * EPYC 80 steps gave llvmpipe the most, on another 8 steps gave three times as much.
 */
const LOOPS: readonly (FmaLoopShape & { readonly invocations: number })[] = [
  { vectors: false, chains: 10, steps: 8, size: 8, invocations: 2 ** 10 },
  { vectors: false, chains: 12, steps: 8, size: 8, invocations: 2 ** 10 },
  { vectors: true, chains: 3, steps: 8, size: 64, invocations: 2 ** 12 },
  { vectors: false, chains: 12, steps: 80, size: 8, invocations: 2 ** 10 },
  { vectors: true, chains: 3, steps: 80, size: 8, invocations: 2 ** 10 },
  { vectors: true, chains: 3, steps: 80, size: 64, invocations: 2 ** 12 },
  { vectors: true, chains: 2, steps: 40, size: 64, invocations: 2 ** 17 },
  { vectors: false, chains: 8, steps: 40, size: 256, invocations: 2 ** 19 },
];

/** Floats that are copied: 64 MiB, more than any cache. */
const COPIED = 2 ** 24;

/** Measures both; the best of some samples counts, since what disturbs only ever slows down. */
export async function measureRoofline(
  gpu: GPUDevice,
  sampleMs: number,
  samples: number,
): Promise<Roofline> {
  let best = { gflops: 0, loop: LOOPS[0] };
  for (const loop of LOOPS) {
    const gflops = await loopRate(gpu, loop, sampleMs, 1);
    if (gflops > best.gflops) best = { gflops, loop };
  }
  const { variant } = fmaLoop(1, 1, best.loop).program;
  return {
    gflops: Math.max(best.gflops, await loopRate(gpu, best.loop, sampleMs, samples)),
    shape: `${variant}, ${best.loop.invocations} invocations by ${best.loop.size}`,
    ...await measureCopies(gpu, sampleMs, samples),
  };
}

/** 10^9 operations a second of a loop of multiply-adds. */
async function loopRate(
  gpu: GPUDevice,
  { invocations, ...shape }: typeof LOOPS[number],
  sampleMs: number,
  samples: number,
): Promise<number> {
  const loop = (rounds: number) => fmaLoop(invocations, rounds, shape);
  const bench = new KernelBench(gpu, loop(1));
  const rate = await bestRate(sampleMs, samples, async (rounds) => {
    return { work: loop(rounds).flops, ms: await bench.time(loop(rounds), 1) };
  });
  bench.free();
  return rate;
}

/** By a kernel, and by the command for it, which the driver may do better. */
async function measureCopies(
  gpu: GPUDevice,
  sampleMs: number,
  samples: number,
): Promise<Pick<Roofline, "gbs" | "copier">> {
  const size = Math.min(COPIED, Math.floor(gpu.limits.maxStorageBufferBindingSize / 16) * 4);
  const copy = stridedMap("copy", [size], { a: { strides: [1], size } });
  const bench = new KernelBench(gpu, copy);
  const rate = (time: (times: number) => Promise<number>) =>
    bestRate(sampleMs, samples, async (times) => {
      return { work: copy.bytes * times, ms: await time(times) };
    });
  const kernel = await rate((times) => bench.time(copy, times));
  const command = await rate((times) => bench.timeCommand(4 * size, times));
  bench.free();
  return kernel >= command
    ? { gbs: kernel, copier: "by a kernel" }
    : { gbs: command, copier: "by copyBufferToBuffer" };
}

/** How often a sample that cannot be true is taken again before it is an error. */
const RETAKES = 5;

/**
 * 10^9 units of work a second, the best of the samples. Once the work is known to take `sampleMs`, a sample of less than half
 * of that is one whose wait came back before the work was done (seen once in Deno: 0.6 ms for 230): it does not count.
 * @param sample does so many times its work
 * @throws {Error} where waits keep coming back too early
 */
export async function bestRate(
  sampleMs: number,
  samples: number,
  sample: (times: number) => Promise<{ work: number; ms: number }>,
): Promise<number> {
  await sample(1);
  let times = 1;
  for (;;) {
    const { ms } = await sample(times);
    if (ms >= sampleMs) break;
    times = Math.ceil(1.1 * times * Math.min(16, sampleMs / ms));
  }
  const rates: number[] = [];
  for (let retakes = 0; rates.length < samples;) {
    const { work, ms } = await sample(times);
    if (ms >= sampleMs / 2) rates.push(work / ms / 1e6);
    else if (++retakes > RETAKES) throw new Error("roofline: waits end before the work does");
  }
  return percentile(rates, 1);
}

/** Runs launches of one program on buffers of their own, past the engine, which would cut long ones into parts. */
class KernelBench {
  readonly #buffers: GPUBuffer[];
  readonly #uniform: GPUBuffer;
  readonly #pipeline: GPUComputePipeline;
  readonly #group: GPUBindGroup;

  constructor(readonly gpu: GPUDevice, { program, sizes }: Kernel) {
    this.#uniform = gpu.createBuffer({ size: paramBytes(program), usage: 0x40 | 0x08 }); // UNIFORM | COPY_DST
    this.#buffers = program.bindings.map(({ name }) =>
      gpu.createBuffer({ label: "roofline", size: 4 * sizes[name], usage: 0x80 | 0x04 | 0x08 }) // STORAGE, copies
    );
    this.#pipeline = gpu.createComputePipeline({
      label: program.name,
      layout: "auto",
      compute: { module: gpu.createShaderModule({ code: program.code }), entryPoint: "main" },
    });
    this.#group = gpu.createBindGroup({
      layout: this.#pipeline.getBindGroupLayout(0),
      entries: [this.#uniform, ...this.#buffers].map((buffer, binding) => ({
        binding,
        resource: { buffer },
      })),
    });
  }

  /** Milliseconds of so many dispatches and a wait. */
  async time({ program, params, workgroups }: Kernel, times: number): Promise<number> {
    const bytes = new DataView(new ArrayBuffer(this.#uniform.size));
    packParams(program, params, bytes, 0);
    this.gpu.queue.writeBuffer(this.#uniform, 0, bytes.buffer);
    return await this.#time((encoder) => {
      const pass = encoder.beginComputePass();
      pass.setPipeline(this.#pipeline);
      pass.setBindGroup(0, this.#group);
      for (let i = 0; i < times; i++) pass.dispatchWorkgroups(...workgroups);
      pass.end();
    });
  }

  /** The same of so many copies from its first buffer to its second by command. */
  timeCommand(bytes: number, times: number): Promise<number> {
    const [from, to] = this.#buffers;
    return this.#time((encoder) => {
      for (let i = 0; i < times; i++) encoder.copyBufferToBuffer(from, 0, to, 0, bytes);
    });
  }

  async #time(record: (encoder: GPUCommandEncoder) => void): Promise<number> {
    const { queue } = this.gpu;
    const start = performance.now();
    const encoder = this.gpu.createCommandEncoder();
    record(encoder);
    queue.submit([encoder.finish()]);
    await queue.onSubmittedWorkDone();
    return performance.now() - start;
  }

  free(): void {
    for (const buffer of [this.#uniform, ...this.#buffers]) buffer.destroy();
  }
}
