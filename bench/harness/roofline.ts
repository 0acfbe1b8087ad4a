/**
 * What the adapter can do: multiply-adds and copied bytes a second, measured, so that a share of them means something.
 *
 * Work    FMA: each invocation carries some independent chains x = x a + b, long enough to hide the latency of one; copy:
 *         each invocation moves one vec4. Which shape is best differs between adapters, so several are tried.
 * Memory  FMA: none but the result, written so that the loop is not optimised away.
 * @module
 */
import { percentile } from "./statistics.ts";

/** The roofs. */
export interface Roofline {
  /** 10^9 floating-point operations a second, a multiply-add counted as two. */
  readonly gflops: number;
  /** The shape of the loop that reached them. */
  readonly shape: string;
  /** 10^9 bytes a second, read and written ones added up. */
  readonly gbs: number;
}

/** One loop. */
interface FmaShape {
  readonly type: "f32" | "vec4f";
  readonly chains: number;
  readonly workgroup: number;
  readonly invocations: number;
}

const UNROLL = 80, COPY_BYTES = 64 * 2 ** 20;

/** Few invocations suit processors, many suit graphics cards. */
const SHAPES: readonly FmaShape[] = [
  { type: "f32", chains: 12, workgroup: 8, invocations: 2 ** 10 },
  { type: "vec4f", chains: 3, workgroup: 8, invocations: 2 ** 10 },
  { type: "vec4f", chains: 3, workgroup: 64, invocations: 2 ** 12 },
  { type: "vec4f", chains: 2, workgroup: 64, invocations: 2 ** 17 },
  { type: "f32", chains: 8, workgroup: 256, invocations: 2 ** 19 },
];

/** Measures both. @param sampleMs least duration of a sample */
export async function measureRoofline(
  gpu: GPUDevice,
  sampleMs: number,
  rounds: number,
): Promise<Roofline> {
  let best = { gflops: 0, shape: "" };
  for (const shape of SHAPES) {
    const gflops = await fmaRate(gpu, shape, sampleMs, rounds);
    if (gflops > best.gflops) best = { gflops, shape: describe(shape) };
  }
  return { ...best, gbs: await copyRate(gpu, sampleMs, rounds) };
}

function describe({ type, chains, workgroup, invocations }: FmaShape): string {
  return `${chains} chains of ${type}, ${invocations} invocations in groups of ${workgroup}`;
}

async function fmaRate(
  gpu: GPUDevice,
  shape: FmaShape,
  sampleMs: number,
  rounds: number,
): Promise<number> {
  const { type, chains, workgroup, invocations } = shape;
  const names = Array.from({ length: chains }, (_, i) => `x${i}`);
  const code = `
struct Params { turns: u32, scale: f32, term: f32, unused: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<${type}>;
@compute @workgroup_size(${workgroup})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let a = ${type}(params.scale);
  let b = ${type}(params.term);
  ${names.map((x, i) => `var ${x} = ${type}(f32(id.x) + ${i}.0);`).join("\n  ")}
  for (var t = 0u; t < params.turns; t++) {
    ${
    Array.from({ length: UNROLL }, () => names.map((x) => `${x} = fma(${x}, a, b);`).join(" "))
      .join("\n    ")
  }
  }
  y[id.x] = ${names.join(" + ")};
}`;
  const lanes = type === "vec4f" ? 4 : 1;
  const params = gpu.createBuffer({ label: "fma params", size: 16, usage: 0x40 | 0x08 });
  const y = gpu.createBuffer({ label: "fma", size: 4 * lanes * invocations, usage: 0x80 });
  const groups = Math.ceil(invocations / workgroup);
  const run = await dispatcher(gpu, code, [params, y], groups);
  let turns = 1;
  const perTurn = 2 * lanes * chains * UNROLL * invocations;
  const time = async (): Promise<number> => {
    const values = new DataView(new ArrayBuffer(16));
    values.setUint32(0, turns, true);
    values.setFloat32(4, 0.999, true);
    values.setFloat32(8, 0.001, true);
    gpu.queue.writeBuffer(params, 0, values.buffer);
    return await run(1);
  };
  await time();
  for (let ms = await time(); ms < sampleMs; ms = await time()) {
    turns = Math.ceil(1.1 * turns * Math.min(16, sampleMs / ms));
  }
  const samples: number[] = [];
  for (let i = 0; i < rounds; i++) samples.push(await time());
  params.destroy();
  y.destroy();
  return turns * perTurn / percentile(samples, 0) / 1e6;
}

async function copyRate(gpu: GPUDevice, sampleMs: number, rounds: number): Promise<number> {
  const bytes = Math.min(COPY_BYTES, gpu.limits.maxStorageBufferBindingSize);
  const buffer = (label: string) => gpu.createBuffer({ label, size: bytes, usage: 0x80 });
  const x = buffer("copy from"), y = buffer("copy to");
  const code = `
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u, @builtin(local_invocation_index) t: u32) {
  let i = (group.y * groups.x + group.x) * 64u + t;
  if (i < arrayLength(&x)) { y[i] = x[i]; }
}`;
  const run = await dispatcher(gpu, code, [x, y], bytes / 16 / 64);
  await run(1);
  let repeats = 1;
  for (let ms = await run(repeats); ms < sampleMs; ms = await run(repeats)) {
    repeats = Math.ceil(1.1 * repeats * Math.min(16, sampleMs / ms));
  }
  const samples: number[] = [];
  for (let i = 0; i < rounds; i++) samples.push(await run(repeats));
  x.destroy();
  y.destroy();
  return 2 * bytes * repeats / percentile(samples, 0) / 1e6;
}

/** Compiles; the result dispatches so often in one pass, waits, and resolves to the milliseconds that took. */
async function dispatcher(
  gpu: GPUDevice,
  code: string,
  buffers: readonly GPUBuffer[],
  groups: number,
): Promise<(times: number) => Promise<number>> {
  const pipeline = await gpu.createComputePipelineAsync({
    label: "roofline",
    layout: "auto",
    compute: { module: gpu.createShaderModule({ code }), entryPoint: "main" },
  });
  const group = gpu.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: buffers.map((buffer, binding) => ({ binding, resource: { buffer } })),
  });
  const rows = Math.ceil(groups / 65535);
  return async (times) => {
    const start = performance.now();
    const encoder = gpu.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    for (let i = 0; i < times; i++) pass.dispatchWorkgroups(Math.ceil(groups / rows), rows);
    pass.end();
    gpu.queue.submit([encoder.finish()]);
    await gpu.queue.onSubmittedWorkDone();
    return performance.now() - start;
  };
}
