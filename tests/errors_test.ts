/**
 * What errors say: every class with representative messages, compared with tests/errors/*.txt.
 *
 * A message names the thing, what it has, what it needs and the way out; a review sees here when one of the four is lost.
 * What differs between machines and runtimes (adapters, places in the code, the driver's own words) stands in <>.
 * @module
 */
import { BatchLoader } from "../data/batches.ts";
import { parseIdx } from "../data/idx.ts";
import { makeImageSet } from "../data/image_set.ts";
import { adapterHelp, type Platform } from "../engine/adapter.ts";
import { run } from "../engine/dispatch.ts";
import * as errors from "../engine/errors.ts";
import {
  autocast,
  type Device,
  layerNorm,
  linear,
  matmul,
  noGrad,
  requestDevice,
  reshape,
  softmax,
  type Tensor,
} from "../engine/mod.ts";
import { add, concat, crossEntropy, dropout, slice } from "../engine/ops/mod.ts";
import { decodeCheckpoint } from "../io/checkpoint.ts";
import { readSafetensors } from "../io/safetensors.ts";
import { addGradientsKernel } from "../kernels/add_into.ts";
import type { Kernel } from "../kernels/kernel.ts";
import { recycle } from "../models/recycle.ts";
import { VisionTransformer } from "../models/vit.ts";
import { Linear } from "../nn/linear.ts";
import { AdamW } from "../nn/optim/adamw.ts";
import { warmupCosine } from "../nn/optim/schedule.ts";
import { SGD } from "../nn/optim/sgd.ts";
import { SpheroMoe } from "../nn/sphero_moe.ts";
import { train } from "../nn/train.ts";
import { assertEquals, AssertionError, pretendTarget, test } from "./harness.ts";
import { assertSnapshot } from "./snapshot.ts";

/** What to do wrong, by what it is. */
type Mistakes = Readonly<Record<string, (device: Device) => unknown>>;

const floats = (device: Device, ...shape: number[]): Tensor => device.full(shape, 1);

/** A kernel of two inputs with a mistake. */
function planted(from: string, to: string): Kernel {
  const kernel = addGradientsKernel(3);
  const code = kernel.program.code.replace(from, to);
  return { ...kernel, program: { ...kernel.program, variant: "planted", code } };
}

async function runPlanted(device: Device, kernel: Kernel): Promise<unknown> {
  const a = device.tensor([1, 2, 3]), y = device.empty([3]);
  return await device.step(() => {
    run(kernel, { a, b: a, y });
    return y.data();
  });
}

/** Replaces a method for the time of a call. */
async function instead<T extends object, K extends keyof T>(
  object: T,
  key: K,
  value: T[K],
  fn: () => unknown,
): Promise<void> {
  Object.defineProperty(object, key, { value, configurable: true });
  try {
    await fn();
  } finally {
    Reflect.deleteProperty(object, key);
  }
}

/** An adapter that has everything, but gives no device. */
async function refusingAdapter(): Promise<GPUAdapter> {
  const { features, limits } = (await navigator.gpu.requestAdapter())!;
  const info = { vendor: "test", description: "a test adapter" };
  const requestDevice = () => Promise.reject(new Error("no more devices"));
  return { info, features, limits, requestDevice } as unknown as GPUAdapter;
}

/** Limits of which some are replaced. */
function withFewer(limits: GPUSupportedLimits, fewer: Record<string, number>): GPUSupportedLimits {
  return new Proxy(limits, {
    get: (all, key) => fewer[key as string] ?? Reflect.get(all, key, all),
  });
}

const SAFETENSORS = '{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}';

function safetensors(header: string, dataBytes: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8 + header.length + dataBytes);
  new DataView(bytes.buffer).setUint32(0, header.length, true);
  bytes.set(new TextEncoder().encode(header), 8);
  return bytes;
}

const VIT = { imgSize: 8, patchSize: 4, inChans: 1, embedDim: 8, depth: 1, numHeads: 2 };

/** A linear layer that is trained on given batches. */
async function training(
  device: Device,
  values: readonly number[],
  options: Partial<Parameters<typeof train>[0]> = {},
): Promise<unknown> {
  const model = await new Linear(2, 1).to(device);
  async function* batches() {
    for (const value of values) yield [[Float32Array.of(value, 1), [1, 2]]] as const;
  }
  return await train({
    device,
    model,
    optimizer: new SGD(model.namedParameters(), { lr: 0.1 }),
    steps: 3,
    batches: batches(),
    loss: (x) => reshape(model.forward(x), []),
    reportEvery: 1,
    ...options,
  });
}

const MISTAKES: Readonly<Record<string, Mistakes>> = {
  AdapterUnavailableError: {
    "no adapter": () =>
      instead(navigator.gpu, "requestAdapter", () => Promise.resolve(null), () => requestDevice()),
    "an adapter that makes no device": async () =>
      await requestDevice({ adapter: await refusingAdapter() }),
  },
  DeviceLostError: {
    "destroy()": async (device) => {
      device.destroy();
      await device.sync();
    },
  },
  OutOfMemoryError: {
    "a step over the budget": async () => {
      using device = await requestDevice({ memoryBudget: 2 ** 20 });
      pretendTarget(device, { texels: false }); // textures would count
      const x = floats(device, 4, 64);
      await device.step(() => linear(x, floats(device, 4096, 64)).data());
    },
    "the allocator fails": async (device) => {
      const x = floats(device, 300, 100);
      await device.sync();
      // The verdict on a submit, as a GPU without memory gives it; lavapipe and SwiftShader never do.
      const verdict = new GPUOutOfMemoryError("not enough memory left");
      await instead(
        device.gpu,
        "popErrorScope",
        () => Promise.resolve(verdict),
        () => device.step(() => softmax(x).data()),
      );
    },
  },
  LimitError: {
    "a buffer over the limit": (device) => device.empty([2 ** 14, 2 ** 14], "f32", "linear"),
    "a binding over the limit": (device) => softmax(device.empty([2 ** 13, 2 ** 13])),
    "an adapter below the specification": async () => {
      const adapter = await refusingAdapter();
      const limits = { maxBufferSize: 2 ** 20 };
      await requestDevice({ adapter: { ...adapter, limits: withFewer(adapter.limits, limits) } });
    },
    "a kernel over the limit": async (device) => {
      const kernel = addGradientsKernel(3);
      await runPlanted(device, { ...kernel, program: { ...kernel.program, workgroupSize: 1024 } });
    },
  },
  FeatureError: {
    "a tensor of halves": (device) => device.zeros([2], "f16"),
    "a cast to half": (device) => floats(device, 2).to("f16"),
    "a layer within autocast": (device) =>
      autocast(() => linear(floats(device, 4, 3), floats(device, 2, 3))),
    "a model in half": async (device) => {
      const layer = await new Linear(3, 2).to(device);
      layer.half();
    },
  },
  GpuError: {
    "a shader that does not compile": (device) =>
      runPlanted(device, planted("a[i] + b[i]", "a[i] + nothing")),
    "a dispatch that the GPU refuses": (device) =>
      runPlanted(device, { ...addGradientsKernel(3), workgroups: [65536, 1, 1] }),
    "a call of one's own that the GPU refuses": async (device) => {
      device.gpu.createBuffer({ size: 4, usage: 0x1 | 0x80 }); // MAP_READ | STORAGE
      for (let i = 0; i < 50; i++) {
        await device.zeros([1]).data(); // it is told while the GPU works
        await device.sync();
      }
    },
  },
  CheckpointError: {
    "a truncated file": () => readSafetensors(safetensors(SAFETENSORS, 20)),
    "no safetensors file": () => readSafetensors(new TextEncoder().encode("<html></html>\n")),
    "weights of another file format": async () => {
      const { tensors, metadata } = await readSafetensors(safetensors(SAFETENSORS, 24));
      decodeCheckpoint({ tensors, metadata }, "weights.safetensors");
    },
    "weights of another shape": () =>
      new Linear(3, 2).loadStateDict(
        new Map([["weight", { shape: [2, 4], data: new Float32Array(8) }]]),
      ),
    "the state of another optimiser": async (device) => {
      const layer = await new Linear(3, 2).to(device);
      const state = await new SGD(layer.namedParameters(), { lr: 1 }).state();
      new AdamW(layer.namedParameters()).loadState(state);
    },
    "dense weights without a tensor": () => recycle(new Map(), { ...VIT, moeLayers: [0] }),
  },
  DataError: {
    "no IDX file": () => parseIdx(new TextEncoder().encode("<html>"), "train-images-idx3-ubyte"),
    "a truncated IDX file": () => parseIdx(Uint8Array.of(0, 0, 8, 1, 0, 0, 0, 5, 1, 2), "labels"),
    "labels out of range": () =>
      makeImageSet({
        images: new Uint8Array(4),
        labels: Uint8Array.of(3),
        height: 2,
        width: 2,
        channels: 1,
        classes: 3,
      }),
  },
  NonFiniteError: {
    "an op that makes an infinity": (device) =>
      device.detectAnomaly(() => void add(device.full([2, 3], 3e38), 3e38)),
    "a NaN in a weight": (device) => {
      const weight = device.tensor([[1, NaN]], undefined, { label: "blocks.0.mlp.fc1.weight" });
      return device.detectAnomaly(() => void linear(floats(device, 1, 2), weight));
    },
    "a loss that is NaN": (device) => training(device, [1, NaN, 1]),
  },
  MismatchError: {
    "a wrong kernel": (device) => {
      const a = device.tensor([1, 2, 3]), y = device.empty([3]);
      const kernel = planted("a[i] + b[i]", "a[i] - b[i]");
      return device.verify(() => void run(kernel, { a, b: a, y }));
    },
  },
  ScopeError: {
    "a tensor whose scope has ended": (device) => {
      let inner: Tensor | undefined;
      device.tidy(() => void (inner = floats(device, 2, 3)), "evaluate");
      return softmax(inner!);
    },
    "a scope that an await left open": async (device) => {
      device.scope("batch");
      await new Promise((resolve) => setTimeout(resolve));
      await device.sync();
    },
    "a read in a captured function": (device) =>
      device.capture((x: Tensor) => (void x.data(), x))([Float32Array.of(1), [1]]),
    "a captured function whose tensor is gone": async (device) => {
      let w: Tensor | undefined;
      const captured = device.capture((x: Tensor) => {
        w ??= device.keep(floats(device, 1));
        return matmul(reshape(x, [1, 1]), reshape(w, [1, 1]));
      });
      w = device.tensor([1], undefined, { label: "w" });
      await captured([Float32Array.of(1), [1]]);
      device.release(w.storage.buffer, "dispose()");
      await captured([Float32Array.of(1), [1]]);
    },
    "a model without a device": () => new Linear(3, 2).weight.data(),
    "backward() without a tape": (device) => noGrad(() => softmax(floats(device, 2))).backward(),
  },
  InterruptedError: {
    "a training that is stopped": (device) =>
      training(device, [1, 1, 1], { signal: AbortSignal.abort() }),
    "a training with checkpoints that is stopped": (device) =>
      training(device, [1, 1, 1], {
        signal: AbortSignal.abort(),
        checkpoint: { every: 10, save: () => Promise.resolve() },
      }),
  },
  ShapeError: {
    "values that do not fill a shape": (device) => device.tensor([1, 2, 3], [2, 2]),
    "nested arrays of several sizes": (device) => device.tensor([[1, 2], [3]] as number[][]),
    "factors that do not fit": (device) => matmul(floats(device, 2, 3), floats(device, 2, 3)),
    "a bias that does not fit": (device) =>
      linear(floats(device, 4, 3), floats(device, 2, 3), floats(device, 3)),
    "a weight of a norm": (device) => layerNorm(floats(device, 4, 3), floats(device, 4)),
    "shapes that do not broadcast": (device) => add(floats(device, 4, 3), floats(device, 4, 2)),
    "a slice beyond the end": (device) => slice(floats(device, 4, 3), 1, 2, 5),
    "arrays that do not fit side by side": (device) =>
      concat([floats(device, 4, 3), floats(device, 3, 4)], 1),
    "a reshape to another size": (device) => reshape(floats(device, 4, 3), [5, -1]),
    "no probability": (device) => dropout(floats(device, 3), 1.5),
    "a loss that is no scalar": (device) => {
      const x = device.tensor([1, 2], [2], { requiresGrad: true });
      softmax(x).backward();
    },
    "a kernel with a tensor of another size": (device) =>
      run(addGradientsKernel(3), {
        a: floats(device, 3),
        b: floats(device, 4),
        y: device.empty([3]),
      }),
    "an input of a captured function": (device) =>
      device.capture((x: Tensor) => softmax(x))([new Float32Array(5), [2, 3]]),
    "a tensor of another device": async (device) => {
      using other = await requestDevice();
      matmul(floats(device, 2, 2), floats(other, 2, 2));
    },
    "images that are no multiple of a patch": () => new VisionTransformer({ ...VIT, imgSize: 9 }),
    "heads that do not divide the channels": () =>
      new SpheroMoe(8, { coreExperts: 2, univExperts: 2, heads: 3 }),
    "an optimiser without parameters": () => new AdamW([]),
    "more warm-up than steps": () => warmupCosine({ lr: 1, steps: 10, warmupSteps: 20 }),
    "batches that end early": (device) => training(device, [1, 1]),
    "a batch larger than the data": () =>
      new BatchLoader(
        makeImageSet({
          images: new Uint8Array(8),
          labels: new Uint8Array(2),
          height: 2,
          width: 2,
          channels: 1,
          classes: 2,
        }),
        { batchSize: 5, dropLast: true },
      ),
  },
  DTypeError: {
    "a list of texts": (device) => device.tensor(["1"] as unknown as number[]),
    "an array of doubles": (device) => device.tensor(new Float64Array(2) as never),
    "floats where class numbers are due": (device) =>
      crossEntropy(floats(device, 4, 3), floats(device, 4)),
    "whole numbers where floats are due": (device) =>
      matmul(device.tensor(Uint32Array.of(1, 2), [1, 2]), floats(device, 2, 2)),
    "other values than the tensor's": (device) =>
      device.write(floats(device, 2), Uint32Array.of(1, 2)),
    "an asynchronous step": (device) => device.step(() => Promise.resolve()),
  },
};

/** Takes out of a message what depends on machine and runtime. */
function settled(message: string, device: Device): string {
  return message
    .replaceAll(device.label, "<adapter>")
    .replaceAll(adapterHelp(), "<what to do on this system>")
    .replace(/(The driver says: )[^]*/, "$1<its own words>")
    .replace(/\bat [^;,]*:\d+:\d+\)?( < at [^;,]*:\d+:\d+\)?)*/g, "<place>");
}

async function messageOf(
  name: string,
  mistake: (device: Device) => unknown,
  device: Device,
): Promise<string> {
  try {
    await mistake(device);
  } catch (error) {
    if (!(error instanceof Error) || error.name !== name) throw error;
    return settled(error.message, device);
  }
  throw new AssertionError(`no ${name}`);
}

test("every class of errors is here", () => {
  const abstract = ["WgradError"];
  const classes = Object.keys(errors).filter((name) => !abstract.includes(name)).sort();
  assertEquals(Object.keys(MISTAKES).sort(), classes);
});

for (const [name, mistakes] of Object.entries(MISTAKES)) {
  test(`what ${name} says`, async () => {
    const texts: string[] = [];
    for (const [what, mistake] of Object.entries(mistakes)) {
      using device = await requestDevice({ limits: "default" });
      pretendTarget(device, { adapterClass: "software", texels: false });
      const message = await messageOf(name, mistake, device);
      texts.push(`${what}\n${message.replace(/^/gm, "    ")}`);
    }
    await assertSnapshot(texts.join("\n\n"), `errors/${name}.txt`);
  });
}

test("what to do where there is no adapter, system by system", async () => {
  const platforms: Platform[] = ["linux", "darwin", "windows", "browser", "other"];
  const texts = platforms.map((platform) => `${platform}\n${adapterHelp(platform)}`);
  await assertSnapshot(texts.join("\n\n"), "errors/no_adapter.txt");
});
