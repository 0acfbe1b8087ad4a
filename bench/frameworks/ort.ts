/**
 * ONNX Runtime: a session per workload, on the GPU (Web, Node) or on the processor. On the GPU inputs and outputs stay there,
 * as its documentation advises (https://onnxruntime.ai/docs/tutorials/web/performance-diagnosis.html, "IO binding").
 *
 * Its graph capture (`enableGraphCapture`), which saves time on the processor, is left out: tried with 1.30.0, replays end in
 * "can not be converted to a GPUBuffer" in Deno and compute a wrong product in Chrome.
 * @module
 */
import { elements, permuted } from "../host_tensor.ts";
import { CHANNELS_FIRST, CHANNELS_LAST, OnnxOps, type OnnxValue } from "../onnx/ops.ts";
import { OnnxGraph } from "../../onnx/graph.ts";
import type { ForwardWork, Workload } from "../workload.ts";
import { type Framework, mostRunsFor, type Run, Unsupported } from "./framework.ts";

/** Of ONNX 1.16: it has Gelu. */
const OPSET = 20;

/** A tensor of onnxruntime-common. */
export interface OrtTensor {
  readonly dims: readonly number[];
  readonly location: string;
  getData(): Promise<Float32Array>;
  dispose(): void;
}

/** A session of onnxruntime-common. */
export interface OrtSession {
  run(
    feeds: Record<string, OrtTensor>,
    fetches?: Record<string, OrtTensor>,
  ): Promise<Record<string, OrtTensor>>;
  release(): Promise<void>;
}

/** The parts of onnxruntime-web and onnxruntime-node that are used. */
export interface OrtApi {
  readonly env: {
    readonly versions: Readonly<Record<string, string>>;
    readonly wasm: { wasmPaths?: unknown; numThreads?: number };
    readonly webgpu: { readonly device: GPUDevice | Promise<GPUDevice> };
    logLevel?: string;
  };
  readonly InferenceSession: {
    create(model: Uint8Array, options: Readonly<Record<string, unknown>>): Promise<OrtSession>;
  };
  readonly Tensor: {
    new (type: "float32", data: Float32Array, dims: readonly number[]): OrtTensor;
    fromGpuBuffer(
      buffer: GPUBuffer,
      options: { dataType: "float32"; dims: readonly number[] },
    ): OrtTensor;
  };
}

/** Which provider, and how it is told apart in the table. */
export interface OrtSettings {
  /** `onnxruntime-web 1.30.0 (webgpu)`. */
  readonly label: string;
  /** ONNX Runtime's name of the provider. */
  readonly provider: "webgpu" | "wasm" | "cpu";
  /** Whether inputs and outputs may stay in GPU buffers of a shared WebGPU device: onnxruntime-web only. */
  readonly gpuBuffers: boolean;
}

/** An ONNX Runtime with one provider. */
export class Ort implements Framework {
  readonly label: string;
  readonly cpu: boolean;

  constructor(readonly api: OrtApi, readonly settings: OrtSettings) {
    this.label = settings.label;
    this.cpu = settings.provider !== "webgpu";
  }

  prepare(workload: Workload): readonly (() => Promise<Run>)[] {
    const work = workload.work();
    if (work.kind !== "forward") throw new Unsupported("ONNX Runtime's inference has no gradients");
    if (workload.eager) throw new Unsupported("ONNX Runtime runs whole graphs only");
    // With its own attention first; where that computes wrongly, with attention out of single operations.
    const fused = build(work, true, this.cpu);
    const ways = fused.sawAttention ? [fused, build(work, false, this.cpu)] : [fused];
    return ways.map((way) => () => this.#prepare(work, way));
  }

  async #prepare(work: ForwardWork, { graph, outputs, turned }: Built): Promise<Run> {
    const { api, settings } = this;
    const names = outputs.map(([name]) => name);
    const session = await api.InferenceSession.create(await graph.file().bytes(), {
      executionProviders: [settings.provider],
      graphOptimizationLevel: "all",
      ...(settings.gpuBuffers && { preferredOutputLocation: "gpu-buffer" }),
    });
    const device = settings.gpuBuffers ? await api.env.webgpu.device : null;
    const buffers: GPUBuffer[] = [];
    const feeds = Object.fromEntries(
      Object.entries(work.inputs).map(([name, input]) => {
        const { shape, data } = turned.has(name) ? permuted(input, CHANNELS_FIRST) : input;
        if (device === null) return [name, new api.Tensor("float32", data, shape)];
        const size = Math.ceil(data.byteLength / 16) * 16;
        const buffer = device.createBuffer({ size, usage: 0x80 | 0x08 | 0x04 }); // STORAGE, COPY_DST, COPY_SRC
        device.queue.writeBuffer(buffer, 0, data);
        buffers.push(buffer);
        return [name, api.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims: shape })];
      }),
    );
    let held: Record<string, OrtTensor>[] = [];
    const drop = () => {
      for (const outputs of held) for (const tensor of Object.values(outputs)) tensor.dispose();
      held = [];
    };
    return {
      mostRuns: mostRunsFor(outputs.reduce((sum, [, { shape }]) => sum + elements(shape), 0)),
      run: async (times) => {
        drop();
        for (let i = 0; i < times; i++) held.push(await session.run(feeds));
        await device?.queue.onSubmittedWorkDone();
      },
      results: async () => {
        const last = held[held.length - 1];
        const values = await Promise.all(names.map((name) => last[name].getData()));
        return Object.fromEntries(
          outputs.map(([name, value], i) => [name, inOrder(value, values[i])]),
        );
      },
      dispose: async () => {
        drop();
        await session.release();
        for (const buffer of buffers) buffer.destroy();
      },
    };
  }
}

interface Built {
  readonly graph: OnnxGraph;
  readonly outputs: readonly (readonly [name: string, value: OnnxValue])[];
  /** Inputs that are fed with their channels first. */
  readonly turned: ReadonlySet<string>;
  readonly sawAttention: boolean;
}

/**
 * Writes the equations as a graph.
 * @param channelsFirst maps enter and leave as [B, C, H, W], as the kernels of the processor want them; those of WebGPU
 *   want their channels last, and its graphs lose the transpositions that stand at their edges
 */
function build(
  { inputs, weights, compute }: ForwardWork,
  fusedAttention: boolean,
  channelsFirst: boolean,
): Built {
  const graph = new OnnxGraph("workload", OPSET);
  const ops = new OnnxOps(graph, fusedAttention);
  const x: Record<string, OnnxValue> = {}, turned = new Set<string>();
  for (const [name, { shape, role }] of Object.entries(inputs)) {
    if (channelsFirst && role === "maps") turned.add(name);
    x[name] = { name, shape, channelsFirst: turned.has(name) };
    graph.input(name, storedShape(x[name]));
  }
  for (const [name, host] of Object.entries(weights)) x[name] = ops.weight(name, host);
  const outputs = Object.entries(compute(ops, x)).map(([name, value]) => {
    return [name, channelsFirst ? value : ops.plain(value)] as const;
  });
  for (const [name, value] of outputs) graph.output(name, value.name, storedShape(value));
  return { graph, outputs, turned, sawAttention: ops.sawAttention };
}

function storedShape({ shape, channelsFirst }: OnnxValue): readonly number[] {
  return channelsFirst ? CHANNELS_FIRST.map((axis) => shape[axis]) : shape;
}

/** An output's values in the order of its shape. */
function inOrder(value: OnnxValue, data: Float32Array): Float32Array {
  if (!value.channelsFirst) return data;
  return permuted({ shape: storedShape(value), data: data.slice() }, CHANNELS_LAST).data;
}
