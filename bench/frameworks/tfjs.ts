/**
 * TensorFlow.js: op by op inside `tidy`, products with bias fused where it has them so. It has no compiler and no capture.
 * @module
 */
import { elements, type HostTensor, type HostTensors, permuted } from "../host_tensor.ts";
import { ComposedOps } from "../ops/composed.ts";
import type { Activation, ConvOptions, RoiOptions } from "../ops/ops.ts";
import type { GradientWork, TrainingWork, Workload } from "../workload.ts";
import { type Framework, mostRunsFor, type Run, Unsupported } from "./framework.ts";

/** A tensor of TensorFlow.js. */
export interface TfTensor {
  readonly shape: readonly number[];
  data(): Promise<Float32Array>;
  dispose(): void;
}

/** A tensor that is assigned to. */
export interface TfVariable extends TfTensor {
  assign(x: TfTensor): void;
}

type Tree = Readonly<Record<string, TfTensor>>;

/** The parts of `@tensorflow/tfjs-core` that are used. */
export interface TfApi {
  readonly version_core: string;
  setBackend(name: string): Promise<boolean>;
  ready(): Promise<void>;
  /** That of WebGPU batches commands; these three end and submit them. */
  backend(): {
    readonly commandEncoder?: GPUCommandEncoder | null;
    endComputePassEncoder?(): void;
    submitQueue?(): void;
    readonly queue?: GPUQueue;
  };
  tidy<T>(f: () => T): T;
  tensor(data: Float32Array, shape: readonly number[]): TfTensor;
  variable(x: TfTensor, trainable: boolean, name: string): TfVariable;
  valueAndGrads(
    f: (...x: TfTensor[]) => TfTensor,
  ): (x: TfTensor[], dOut?: TfTensor) => { value: TfTensor; grads: TfTensor[] };
  customGrad(
    f: (x: TfTensor) => { value: TfTensor; gradFunc: (dy: TfTensor) => TfTensor },
  ): (x: TfTensor) => TfTensor;
  variableGrads(
    f: () => TfTensor,
    variables: TfVariable[],
  ): { value: TfTensor; grads: Record<string, TfTensor> };
  readonly train: {
    adam(lr: number, beta1: number, beta2: number, eps: number): {
      applyGradients(grads: Record<string, TfTensor>): void;
      dispose(): void;
    };
  };
  readonly fused: {
    matMul(options: {
      a: TfTensor;
      b: TfTensor;
      transposeA?: boolean;
      transposeB?: boolean;
      bias?: TfTensor;
    }): TfTensor;
    conv2d(options: {
      x: TfTensor;
      filter: TfTensor;
      strides: number;
      pad: number;
      bias?: TfTensor;
      activation?: "relu" | "linear";
    }): TfTensor;
  };
  readonly image: {
    cropAndResize(
      x: TfTensor,
      boxes: TfTensor,
      imageOfBox: TfTensor,
      size: readonly [number, number],
    ): TfTensor;
    resizeNearestNeighbor(x: TfTensor, size: readonly [number, number]): TfTensor;
  };
  conv2d(x: TfTensor, filter: TfTensor, strides: number, pad: number): TfTensor;
  maxPool(x: TfTensor, size: number, strides: number, pad: number): TfTensor;
  avgPool(x: TfTensor, size: number, strides: number, pad: "valid"): TfTensor;
  tensor1d(data: Int32Array, dtype: "int32"): TfTensor;
  greaterEqual(x: TfTensor, y: number): TfTensor;
  cast(x: TfTensor, dtype: "float32"): TfTensor;
  exp(x: TfTensor): TfTensor;
  matMul(a: TfTensor, b: TfTensor, transposeA: boolean, transposeB: boolean): TfTensor;
  reshape(x: TfTensor, shape: readonly number[]): TfTensor;
  transpose(x: TfTensor, axes: readonly number[]): TfTensor;
  slice(x: TfTensor, begin: readonly number[], size: readonly number[]): TfTensor;
  concat(parts: readonly TfTensor[], axis: number): TfTensor;
  split(x: TfTensor, parts: number, axis: number): TfTensor[];
  broadcastTo(x: TfTensor, shape: readonly number[]): TfTensor;
  add(a: TfTensor, b: TfTensor | number): TfTensor;
  sub(a: TfTensor, b: TfTensor | number): TfTensor;
  mul(a: TfTensor, b: TfTensor | number): TfTensor;
  div(a: TfTensor, b: TfTensor | number): TfTensor;
  sqrt(x: TfTensor): TfTensor;
  relu(x: TfTensor): TfTensor;
  erf(x: TfTensor): TfTensor;
  sum(x: TfTensor, axis: number, keepDims: boolean): TfTensor;
  max(x: TfTensor, axis: number, keepDims: boolean): TfTensor;
  zerosLike(x: TfTensor): TfTensor;
  softmax(x: TfTensor, axis: number): TfTensor;
  logSoftmax(x: TfTensor, axis: number): TfTensor;
}

class TfOps extends ComposedOps<TfTensor> {
  /** Whether the equations had RoIAlign in them. */
  sawRoiAlign = false;

  /**
   * @param fuses whether products with a bias may be fused: on WebAssembly the fused one computes wrong values
   * @param crops make RoIAlign of its own `cropAndResize`, which differs at the edges of a map
   */
  constructor(readonly tf: TfApi, readonly fuses: boolean, readonly crops: boolean) {
    super();
  }

  constant({ shape, data }: HostTensor): TfTensor {
    return this.tf.tensor(data, shape);
  }

  shape(x: TfTensor): readonly number[] {
    return x.shape;
  }

  reshape(x: TfTensor, shape: readonly number[]): TfTensor {
    return this.tf.reshape(x, shape);
  }

  permute(x: TfTensor, axes: readonly number[]): TfTensor {
    return this.tf.transpose(x, axes);
  }

  slice(x: TfTensor, axis: number, begin: number, end: number): TfTensor {
    const from = x.shape.map((_, i) => i === axis ? begin : 0);
    return this.tf.slice(x, from, x.shape.with(axis, end - begin));
  }

  concat(parts: readonly TfTensor[], axis: number): TfTensor {
    return this.tf.concat(parts, axis);
  }

  broadcastTo(x: TfTensor, shape: readonly number[]): TfTensor {
    return this.tf.broadcastTo(x, shape);
  }

  add(a: TfTensor, b: TfTensor): TfTensor {
    return this.tf.add(a, b);
  }

  sub(a: TfTensor, b: TfTensor): TfTensor {
    return this.tf.sub(a, b);
  }

  mul(a: TfTensor, b: TfTensor): TfTensor {
    return this.tf.mul(a, b);
  }

  div(a: TfTensor, b: TfTensor): TfTensor {
    return this.tf.div(a, b);
  }

  scale(x: TfTensor, factor: number): TfTensor {
    return this.tf.mul(x, factor);
  }

  shift(x: TfTensor, term: number): TfTensor {
    return this.tf.add(x, term);
  }

  sqrt(x: TfTensor): TfTensor {
    return this.tf.sqrt(x);
  }

  exp(x: TfTensor): TfTensor {
    return this.tf.exp(x);
  }

  atLeast(x: TfTensor, least: number): TfTensor {
    return this.tf.cast(this.tf.greaterEqual(x, least), "float32");
  }

  relu(x: TfTensor): TfTensor {
    return this.tf.relu(x);
  }

  gelu(x: TfTensor): TfTensor {
    const { tf } = this;
    return tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1));
  }

  sum(x: TfTensor, axis: number): TfTensor {
    return this.tf.sum(x, axis, true);
  }

  max(x: TfTensor, axis: number): TfTensor {
    return this.tf.max(x, axis, true);
  }

  stopGradient(x: TfTensor): TfTensor {
    const { tf } = this;
    return tf.customGrad((x) => ({ value: tf.add(x, 0), gradFunc: (dy) => tf.zerosLike(dy) }))(x);
  }

  softmax(x: TfTensor, axis: number): TfTensor {
    const last = x.shape.length - 1;
    if (axis === last) return this.tf.softmax(x, axis);
    // It has softmax over the last axis only.
    const axes = x.shape.map((_, i) => i).with(axis, last).with(last, axis);
    return this.permute(this.tf.softmax(this.permute(x, axes), last), axes);
  }

  logSoftmax(x: TfTensor, axis: number): TfTensor {
    return this.tf.logSoftmax(x, axis);
  }

  matmul(
    a: TfTensor,
    b: TfTensor,
    { transposeA = false, transposeB = false }: { transposeA?: boolean; transposeB?: boolean } = {},
  ): TfTensor {
    return this.tf.matMul(a, b, transposeA, transposeB);
  }

  /** Split in three axes: its WebGPU backend computes no gradient of a slice in five. */
  override attention(qkv: TfTensor, heads: number): TfTensor {
    const [batch, tokens, width] = qkv.shape, dim = width / 3 / heads;
    const [q, k, v] = this.tf.split(qkv, 3, 2).map((x) => {
      const apart = this.permute(this.reshape(x, [batch, tokens, heads, dim]), [0, 2, 1, 3]);
      return this.reshape(apart, [batch * heads, tokens, dim]);
    });
    const scores = this.matmul(this.scale(q, 1 / Math.sqrt(dim)), k, { transposeB: true });
    const mixed = this.matmul(this.softmax(scores, 2), v);
    const joined = this.permute(this.reshape(mixed, [batch, heads, tokens, dim]), [0, 2, 1, 3]);
    return this.reshape(joined, [batch, tokens, heads * dim]);
  }

  override linear(
    x: TfTensor,
    weight: TfTensor,
    bias: TfTensor,
    activation: Activation = "none",
  ): TfTensor {
    if (!this.fuses) return super.linear(x, weight, bias, activation);
    const [out, inputs] = weight.shape, rows = x.shape.slice(0, -1);
    const a = this.tf.reshape(x, [rows.reduce((p, q) => p * q, 1), inputs]);
    const y = this.tf.fused.matMul({ a, b: weight, transposeB: true, bias });
    return this.tf.reshape(activation === "gelu" ? this.gelu(y) : y, [...rows, out]);
  }

  /** Filters lie as [KH, KW, C, O]: `tensors` turns them. */
  conv2d(x: TfTensor, filter: TfTensor, bias: TfTensor, options: ConvOptions): TfTensor {
    const { tf } = this, { stride: strides, padding: pad, relu = false } = options;
    if (this.fuses) {
      const activation = relu ? "relu" : "linear";
      return tf.fused.conv2d({ x, filter, strides, pad, bias, activation });
    }
    const y = tf.add(tf.conv2d(x, filter, strides, pad), bias);
    return relu ? tf.relu(y) : y;
  }

  maxPool(x: TfTensor): TfTensor {
    return this.tf.maxPool(x, 3, 2, 1);
  }

  override stretch(x: TfTensor, factor: number): TfTensor {
    const [, height, width] = x.shape;
    return this.tf.image.resizeNearestNeighbor(x, [factor * height, factor * width]);
  }

  /** Its crop reads a grid of samples, which are averaged; samples beyond the outermost pixels are 0. */
  override roiAlign(maps: readonly TfTensor[], boxes: TfTensor, options: RoiOptions): TfTensor {
    this.sawRoiAlign = true;
    if (!this.crops) return super.roiAlign(maps, boxes, options);
    const { tf } = this, { strides, bins, samples, finestScale } = options;
    const [n, r] = boxes.shape, grid = bins * samples;
    const imageOfBox = tf.tensor1d(Int32Array.from({ length: n * r }, (_, i) => i / r), "int32");
    const inLevel = this.roiLevels(boxes, maps.length, finestScale);
    const parts = maps.map((map, l) => {
      const [, height, width, channels] = map.shape;
      /** First and last sample along an axis, as shares of the way from the first pixel to the last. */
      const ends = (axis: 0 | 1, size: number) => {
        const begin = this.slice(boxes, 2, axis, axis + 1);
        const length = this.sub(this.slice(boxes, 2, axis + 2, axis + 3), begin);
        return [0.5, grid - 0.5].map((sample) => {
          const pixel = this.add(begin, this.scale(length, sample / grid));
          return this.scale(this.shift(this.scale(pixel, 1 / strides[l]), -0.5), 1 / (size - 1));
        });
      };
      const [left, right] = ends(0, width), [top, bottom] = ends(1, height);
      const shares = this.reshape(this.concat([top, left, bottom, right], 2), [n * r, 4]);
      const sampled = tf.image.cropAndResize(map, shares, imageOfBox, [grid, grid]);
      const y = this.reshape(tf.avgPool(sampled, samples, samples, "valid"), [
        n,
        r,
        bins * bins * channels,
      ]);
      return inLevel === null ? y : this.mul(y, inLevel[l]);
    });
    const [y, channels] = [parts.reduce((a, b) => this.add(a, b)), maps[0].shape[3]];
    return this.reshape(y, [n, r, bins, bins, channels]);
  }
}

/** TensorFlow.js on its WebGPU or its WebAssembly backend. */
export class TensorFlow implements Framework {
  readonly label: string;
  readonly cpu: boolean;
  readonly #tf: TfApi;
  readonly #ops: TfOps;
  readonly #croppingOps: TfOps;

  constructor(tf: TfApi, readonly backend: "webgpu" | "wasm") {
    this.#tf = tf;
    this.#ops = new TfOps(tf, backend === "webgpu", false);
    this.#croppingOps = new TfOps(tf, backend === "webgpu", true);
    this.label = `tfjs ${tf.version_core} (${backend})`;
    this.cpu = backend === "wasm";
  }

  /** Starts the backend. @throws where there is none */
  async start(): Promise<void> {
    if (!await this.#tf.setBackend(this.backend)) throw new Error(`no ${this.backend} backend`);
    await this.#tf.ready();
  }

  prepare(workload: Workload): readonly (() => Promise<Run>)[] {
    this.#croppingOps.sawRoiAlign = false;
    return [this.#croppingOps, this.#ops].map((ops, i) => async () => {
      if (i > 0 && !this.#croppingOps.sawRoiAlign) throw new Unsupported("there is no other way");
      await this.#tf.setBackend(this.backend);
      const work = workload.work();
      return work.kind === "training" ? this.#training(work) : this.#prepare(workload, ops);
    });
  }

  #prepare(workload: Workload, ops: TfOps): Run {
    const tf = this.#tf, work = workload.work();
    const tensors = this.#tensors({
      ...work.inputs,
      ...work.weights,
      ...(work.kind === "gradient" && { dOut: work.dOut }),
    });
    const call = (): Tree =>
      tf.tidy(() =>
        work.kind === "gradient"
          ? this.#gradients(work, tensors)
          : { ...work.compute(ops, tensors) }
      );
    let held: Tree[] = [];
    const drop = () => held.splice(0).forEach(free);
    return {
      get mostRuns() {
        return mostRunsFor(elementsOf(held[0] ?? {}));
      },
      run: async (times) => {
        drop();
        await tf.setBackend(this.backend);
        for (let i = 0; i < times; i++) held.push(call());
        await this.#wait();
      },
      results: () => read(held[held.length - 1]),
      dispose: () => {
        drop();
        free(tensors);
        held = [];
      },
    };
  }

  #gradients({ compute, wrt }: GradientWork, x: Tree): Tree {
    const { value: y, grads } = this.#tf.valueAndGrads((...wanted) => {
      const replaced = Object.fromEntries(wrt.map((name, i) => [name, wanted[i]]));
      return compute(this.#ops, { ...x, ...replaced }).y;
    })(wrt.map((name) => x[name]), x.dOut);
    return { y, ...Object.fromEntries(wrt.map((name, i) => [`d ${name}`, grads[i]])) };
  }

  /** Its own Adam, with the decay that makes it AdamW before it. */
  #training({ inputs, weights, compute, optimizer }: TrainingWork): Run {
    const tf = this.#tf;
    const { lr, weightDecay, beta1, beta2, eps } = optimizer;
    const data = this.#tensors(inputs);
    const id = `bench${nextId++}`;
    const variables = Object.entries(this.#tensors(weights)).map(([name, x]) =>
      [name, tf.variable(x, true, `${id}/${name}`)] as const
    );
    const adam = tf.train.adam(lr, beta1, beta2, eps);
    const parameters = Object.fromEntries(variables);
    const step = () =>
      tf.tidy(() => {
        const { value, grads } = tf.variableGrads(
          () => compute(this.#ops, { ...data, ...parameters }).loss,
          variables.map(([, x]) => x),
        );
        for (const [, x] of variables) x.assign(tf.mul(x, 1 - lr * weightDecay));
        adam.applyGradients(grads);
        return value;
      });
    const losses: TfTensor[] = [];
    const drop = () => losses.splice(0).forEach((loss) => loss.dispose());
    return {
      mostRuns: 64,
      run: async (times) => {
        drop();
        await tf.setBackend(this.backend);
        for (let i = 0; i < times; i++) losses.push(step());
        await this.#wait();
      },
      results: async () => ({ loss: await losses[losses.length - 1].data() }),
      dispose: () => {
        drop();
        adam.dispose();
        free(data);
        for (const [, x] of variables) x.dispose();
      },
    };
  }

  #tensors(tensors: HostTensors): Tree {
    return Object.fromEntries(
      Object.entries(tensors).map(([name, x]) => {
        const { shape, data } = x.role === "filter" ? permuted(x, [2, 3, 1, 0]) : x;
        return [name, this.#tf.tensor(data, shape)];
      }),
    );
  }

  /** Submits what is batched and waits; the WebAssembly backend has computed everything already. */
  async #wait(): Promise<void> {
    const backend = this.#tf.backend();
    if (this.backend !== "webgpu") return;
    if (backend.commandEncoder) {
      backend.endComputePassEncoder!();
      backend.submitQueue!();
    }
    await backend.queue!.onSubmittedWorkDone();
  }
}

let nextId = 1;

function free(tree: Tree): void {
  for (const x of Object.values(tree)) x.dispose();
}

function elementsOf(tree: Tree): number {
  return Object.values(tree).reduce((sum, { shape }) => sum + elements(shape), 0);
}

async function read(tree: Tree): Promise<Record<string, Float32Array>> {
  const values = await Promise.all(Object.values(tree).map((x) => x.data()));
  return Object.fromEntries(Object.keys(tree).map((name, i) => [name, values[i]]));
}
