/**
 * Looks for a WebGPU adapter in a process of its own: a driver that crashes takes only that process with it, and
 * drivers that were installed a moment ago are found, which a process that asked before would not see.
 *
 * Run as a program it prints one line of JSON, an `AdapterReport` or `null`.
 * @module
 */
import { fromFileUrl, quietDriverEnvironment, run } from "./system.ts";

/** What an adapter is and can do, and whether it computed a known answer. */
export interface AdapterReport {
  /** Vendor name or number. */
  readonly vendor: string;
  /** Architecture; empty in Deno. */
  readonly architecture: string;
  /** Device name or number. */
  readonly device: string;
  /** The driver's own words. */
  readonly description: string;
  /** True where the runtime says that it computes on the CPU. */
  readonly isFallbackAdapter: boolean;
  /** All features it offers, sorted. */
  readonly features: readonly string[];
  /** All limits it offers, by the names of WebGPU. */
  readonly limits: Readonly<Record<string, number>>;
  /** Whether a small kernel ran and gave the right numbers; otherwise what went wrong. */
  readonly computes: true | string;
}

/** The outcome of a search. `backend` is `native` for Vulkan, Metal and Direct3D 12, `gl` for OpenGL as a last resort. */
export type ProbeResult =
  | { readonly adapter: AdapterReport; readonly backend: "native" | "gl" }
  | { readonly adapter: null; readonly reason: string };

const NATIVE_BACKENDS = "vulkan,metal,dx12";
const TIMEOUT_MS = 60_000;

/** Searches in a subprocess, first with the native backends only, then with any; never throws for want of a GPU. */
export async function probeAdapter(): Promise<ProbeResult> {
  const chosen = Deno.env.get("DENO_WEBGPU_BACKEND");
  const native = await probeOnce(chosen ?? NATIVE_BACKENDS);
  if (native.adapter !== null) {
    return { adapter: native.adapter, backend: chosen === "gl" ? "gl" : "native" };
  }
  if (chosen !== undefined) return native;
  const any = await probeOnce("gl");
  return any.adapter === null ? native : { adapter: any.adapter, backend: "gl" };
}

async function probeOnce(
  backends: string,
): Promise<{ adapter: AdapterReport } | { adapter: null; reason: string }> {
  const script = fromFileUrl(import.meta.url);
  // Neither the project's configuration nor its lock file matters here, so none of their faults can spoil the search.
  const command = ["run", "--allow-all", "--no-config", "--no-lock", "--quiet", script];
  const { code, signal, stdout, stderr } = await run([Deno.execPath(), ...command], {
    env: { ...quietDriverEnvironment(), DENO_WEBGPU_BACKEND: backends },
    timeoutMs: TIMEOUT_MS,
  });
  const line = stdout.trim().split("\n").at(-1) ?? "";
  try {
    const adapter = JSON.parse(line) as AdapterReport | null;
    return adapter === null ? { adapter, reason: "the drivers offer no adapter" } : { adapter };
  } catch {
    const how = signal === null ? `ended with code ${code}` : `was stopped by ${signal}`;
    return { adapter: null, reason: `the search ${how}: ${stderr.trim().slice(-300)}` };
  }
}

/** Searches in this process. */
async function report(): Promise<AdapterReport | null> {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) return null;
  const { vendor, architecture, device, description } = adapter.info;
  const limits: Record<string, number> = {};
  for (const name in adapter.limits) {
    const value: unknown = Reflect.get(adapter.limits, name);
    if (typeof value === "number") limits[name] = value;
  }
  const isFallbackAdapter = Reflect.get(adapter.info, "isFallbackAdapter") === true;
  const features = [...adapter.features].sort();
  const computes = await knownAnswer(adapter).catch((error: unknown) => String(error));
  return {
    ...{ vendor, architecture, device, description, isFallbackAdapter, features, limits },
    computes,
  };
}

/** Runs `out[i] = 3 i + 7` and reads it back: finds drivers that offer an adapter and then cannot compute. */
async function knownAnswer(adapter: GPUAdapter): Promise<true | string> {
  const device = await adapter.requestDevice();
  const count = 4, bytes = 4 * count;
  const code = `
    @group(0) @binding(0) var<storage, read_write> out: array<u32>;
    @compute @workgroup_size(${count})
    fn main(@builtin(local_invocation_index) i: u32) { out[i] = 3u * i + 7u; }`;
  const module = device.createShaderModule({ code });
  const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
  const usage = GPUBufferUsage;
  const out = device.createBuffer({ size: bytes, usage: usage.STORAGE | usage.COPY_SRC });
  const read = device.createBuffer({ size: bytes, usage: usage.MAP_READ | usage.COPY_DST });
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(pipeline);
  pass.setBindGroup(
    0,
    device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: [{ binding: 0, resource: { buffer: out } }],
    }),
  );
  pass.dispatchWorkgroups(1);
  pass.end();
  encoder.copyBufferToBuffer(out, 0, read, 0, bytes);
  device.queue.submit([encoder.finish()]);
  await read.mapAsync(GPUMapMode.READ);
  const got = [...new Uint32Array(read.getMappedRange())].join(" ");
  device.destroy();
  return got === "7 10 13 16" ? true : `a test kernel gave ${got} instead of 7 10 13 16`;
}

if (import.meta.main) console.log(JSON.stringify(await report()));
