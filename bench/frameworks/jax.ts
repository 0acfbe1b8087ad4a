/**
 * jax-js: the whole workload, gradients and optimiser included, in one `jit`, as its README says.
 *
 * Results are held until the wait: what is disposed before it is submitted is never computed.
 * @module
 */
import { elements, type HostTensor, type HostTensors } from "../host_tensor.ts";
import { ComposedOps } from "../ops/composed.ts";
import type { ConvOptions } from "../ops/ops.ts";
import type { GradientWork, TrainingWork, Workload } from "../workload.ts";
import { type Framework, mostRunsFor, type Run, Unsupported } from "./framework.ts";

/** An array, or what stands for one while a function is traced. Passing it anywhere uses one reference up. */
export interface JaxArray {
  readonly shape: readonly number[];
  /** Itself, with one more reference. */
  readonly ref: JaxArray;
  add(x: JaxArray | number): JaxArray;
  sub(x: JaxArray | number): JaxArray;
  mul(x: JaxArray | number): JaxArray;
  div(x: JaxArray | number): JaxArray;
  sum(axis: number, options: { keepdims: boolean }): JaxArray;
  max(axis: number, options: { keepdims: boolean }): JaxArray;
  reshape(shape: readonly number[]): JaxArray;
  transpose(axes: readonly number[]): JaxArray;
  slice(...index: readonly (readonly number[])[]): JaxArray;
  data(): Promise<Float32Array>;
  gpuBuffer(): Promise<GPUBuffer>;
  dispose(): void;
}

type Tree = Readonly<Record<string, JaxArray>>;
type Jitted<A extends unknown[], R> = ((...args: A) => R) & { dispose?(): void };

/** The parts of `@jax-js/jax` that are used. */
export interface JaxApi {
  init(): Promise<string[]>;
  defaultDevice(device: string): void;
  jit<A extends unknown[], R>(f: (...args: A) => R): Jitted<A, R>;
  vjp(
    f: (wanted: Tree) => JaxArray,
    primals: readonly [Tree],
  ): [JaxArray, (dOut: JaxArray) => [Tree]];
  valueAndGrad(f: (wanted: Tree) => JaxArray): (wanted: Tree) => [JaxArray, Tree];
  blockUntilReady<T>(tree: T): Promise<T>;
  readonly numpy: {
    array(data: Float32Array, options: { shape: readonly number[] }): JaxArray;
    matmul(a: JaxArray, b: JaxArray): JaxArray;
    concatenate(parts: readonly JaxArray[], axis: number): JaxArray;
    broadcastTo(x: JaxArray, shape: readonly number[]): JaxArray;
    sqrt(x: JaxArray): JaxArray;
    exp(x: JaxArray): JaxArray;
    max(x: JaxArray): JaxArray;
    greaterEqual(a: JaxArray, b: number): JaxArray;
    where(condition: JaxArray, a: number, b: number): JaxArray;
    pad(x: JaxArray, width: readonly (readonly [number, number])[]): JaxArray;
    zerosLike(x: JaxArray): JaxArray;
  };
  readonly nn: {
    relu(x: JaxArray): JaxArray;
    gelu(x: JaxArray, options: { approximate: boolean }): JaxArray;
    softmax(x: JaxArray, axis: number): JaxArray;
    logSoftmax(x: JaxArray, axis: number): JaxArray;
  };
  readonly lax: {
    stopGradient(x: JaxArray): JaxArray;
    convGeneralDilated(
      x: JaxArray,
      filter: JaxArray,
      strides: readonly number[],
      padding: readonly (readonly [number, number])[],
    ): JaxArray;
    reduceWindow(
      x: JaxArray,
      reduce: (window: JaxArray) => JaxArray,
      window: readonly number[],
      strides: readonly number[],
    ): JaxArray;
  };
}

/** Operations on jax-js's arrays; every use takes a reference, so an array may be used any number of times. */
class JaxOps extends ComposedOps<JaxArray> {
  /** What was made, to be freed after the wait; only while no function is traced. */
  readonly made: JaxArray[] = [];

  constructor(readonly api: JaxApi, readonly keep: boolean) {
    super();
  }

  #kept(x: JaxArray): JaxArray {
    if (this.keep) this.made.push(x);
    return x;
  }

  constant({ shape, data }: HostTensor): JaxArray {
    return this.#kept(this.api.numpy.array(data.slice(), { shape }));
  }

  shape(x: JaxArray): readonly number[] {
    return x.shape;
  }

  reshape(x: JaxArray, shape: readonly number[]): JaxArray {
    return this.#kept(x.ref.reshape(shape));
  }

  permute(x: JaxArray, axes: readonly number[]): JaxArray {
    return this.#kept(x.ref.transpose(axes));
  }

  slice(x: JaxArray, axis: number, begin: number, end: number): JaxArray {
    const index = x.shape.map((_, i) => i === axis ? [begin, end] : []);
    return this.#kept(x.ref.slice(...index));
  }

  concat(parts: readonly JaxArray[], axis: number): JaxArray {
    return this.#kept(this.api.numpy.concatenate(parts.map((x) => x.ref), axis));
  }

  broadcastTo(x: JaxArray, shape: readonly number[]): JaxArray {
    return this.#kept(this.api.numpy.broadcastTo(x.ref, shape));
  }

  add(a: JaxArray, b: JaxArray): JaxArray {
    return this.#kept(a.ref.add(b.ref));
  }

  sub(a: JaxArray, b: JaxArray): JaxArray {
    return this.#kept(a.ref.sub(b.ref));
  }

  mul(a: JaxArray, b: JaxArray): JaxArray {
    return this.#kept(a.ref.mul(b.ref));
  }

  div(a: JaxArray, b: JaxArray): JaxArray {
    return this.#kept(a.ref.div(b.ref));
  }

  scale(x: JaxArray, factor: number): JaxArray {
    return this.#kept(x.ref.mul(factor));
  }

  shift(x: JaxArray, term: number): JaxArray {
    return this.#kept(x.ref.add(term));
  }

  sqrt(x: JaxArray): JaxArray {
    return this.#kept(this.api.numpy.sqrt(x.ref));
  }

  exp(x: JaxArray): JaxArray {
    return this.#kept(this.api.numpy.exp(x.ref));
  }

  atLeast(x: JaxArray, least: number): JaxArray {
    const { numpy: np } = this.api;
    return this.#kept(np.where(np.greaterEqual(x.ref, least), 1, 0));
  }

  relu(x: JaxArray): JaxArray {
    return this.#kept(this.api.nn.relu(x.ref));
  }

  gelu(x: JaxArray): JaxArray {
    return this.#kept(this.api.nn.gelu(x.ref, { approximate: false }));
  }

  sum(x: JaxArray, axis: number): JaxArray {
    return this.#kept(x.ref.sum(axis, { keepdims: true }));
  }

  max(x: JaxArray, axis: number): JaxArray {
    return this.#kept(x.ref.max(axis, { keepdims: true }));
  }

  stopGradient(x: JaxArray): JaxArray {
    return this.#kept(this.api.lax.stopGradient(x.ref));
  }

  softmax(x: JaxArray, axis: number): JaxArray {
    return this.#kept(this.api.nn.softmax(x.ref, axis));
  }

  logSoftmax(x: JaxArray, axis: number): JaxArray {
    return this.#kept(this.api.nn.logSoftmax(x.ref, axis));
  }

  matmul(
    a: JaxArray,
    b: JaxArray,
    { transposeA = false, transposeB = false }: { transposeA?: boolean; transposeB?: boolean } = {},
  ): JaxArray {
    const left = transposeA ? turned(a.ref) : a.ref, right = transposeB ? turned(b.ref) : b.ref;
    return this.#kept(this.api.numpy.matmul(left, right));
  }

  /** Its convolution has channels first; turning axes costs nothing, the kernel reads through it. */
  conv2d(
    x: JaxArray,
    filter: JaxArray,
    bias: JaxArray,
    { stride, padding, relu = false }: ConvOptions,
  ): JaxArray {
    const sides = [padding, padding] as const, { lax } = this.api;
    const image = x.ref.transpose([0, 3, 1, 2]);
    const y = lax.convGeneralDilated(image, filter.ref, [stride, stride], [sides, sides])
      .transpose([0, 2, 3, 1]).add(bias.ref);
    return this.#kept(relu ? this.api.nn.relu(y) : y);
  }

  maxPool(x: JaxArray): JaxArray {
    const { lax, numpy: np } = this.api;
    const padded = np.pad(x.ref.transpose([0, 3, 1, 2]), [[0, 0], [0, 0], [1, 1], [1, 1]]);
    const y = lax.reduceWindow(padded, (window) => np.max(window), [3, 3], [2, 2]);
    return this.#kept(y.transpose([0, 2, 3, 1]));
  }
}

/** The last two axes exchanged: a view, which the product reads through. */
function turned(x: JaxArray): JaxArray {
  const axes = x.shape.map((_, i) => i);
  return x.transpose([...axes.slice(0, -2), axes.length - 1, axes.length - 2]);
}

/** jax-js on its WebGPU or its WebAssembly device. */
export class Jax implements Framework {
  readonly label: string;
  readonly cpu: boolean;
  readonly #api: JaxApi;

  constructor(api: JaxApi, version: string, readonly device: "webgpu" | "wasm") {
    this.#api = api;
    this.label = `@jax-js/jax ${version} (${device})`;
    this.cpu = device === "wasm";
  }

  /** Starts its devices. @throws where it has no such device here */
  async start(): Promise<void> {
    const devices = await this.#api.init();
    if (!devices.includes(this.device)) throw new Error(`jax-js has no ${this.device} device here`);
    if (this.device === "wasm") await this.#makeWorkers();
  }

  /** Its threads start with the first product that is large enough for them. */
  async #makeWorkers(): Promise<void> {
    this.#api.defaultDevice(this.device);
    const x = this.#api.numpy.array(new Float32Array(512 * 512), { shape: [512, 512] });
    await this.#api.numpy.matmul(x.ref, x).data();
  }

  prepare(workload: Workload): readonly (() => Promise<Run>)[] {
    if (this.device === "wasm" && workload.long) {
      throw new Unsupported("convolutions of its WebAssembly backend would take an hour");
    }
    return [() => Promise.resolve(this.#prepare(workload))];
  }

  #prepare(workload: Workload): Run {
    this.#api.defaultDevice(this.device);
    const work = workload.work();
    if (work.kind === "training") return this.#training(work);
    const ops = new JaxOps(this.#api, workload.eager ?? false);
    const arrays = this.#arrays({
      ...work.inputs,
      ...work.weights,
      ...(work.kind === "gradient" && { dOut: work.dOut }),
    });
    const compute = (x: Tree): Tree =>
      work.kind === "forward" ? work.compute(ops, x) : this.#gradients(ops, work, x);
    const jitted = workload.eager ? null : this.#api.jit(compute);
    const call = jitted ? () => jitted(shared(arrays)) : () => compute(arrays);
    let held: Tree[] = [];
    const drop = () => {
      for (const x of ops.made.splice(0)) x.dispose();
      if (!workload.eager) held.forEach(free);
      held = [];
    };
    return {
      get mostRuns() {
        return mostRunsFor(elementsOf(held[0] ?? {}));
      },
      run: async (times) => {
        drop();
        this.#api.defaultDevice(this.device);
        for (let i = 0; i < times; i++) held.push(call());
        await this.#wait(held);
      },
      results: () => read(held[held.length - 1]),
      dispose: () => {
        drop();
        free(arrays);
        jitted?.dispose?.();
      },
    };
  }

  /** y and the gradients that the work asks for. */
  #gradients(ops: JaxOps, { compute, wrt }: GradientWork, x: Tree): Tree {
    const wanted = Object.fromEntries(wrt.map((name) => [name, x[name].ref]));
    const [y, pull] = this.#api.vjp((w) => compute(ops, { ...x, ...w }).y, [wanted]);
    const [gradients] = pull(x.dOut.ref);
    return { y, ...Object.fromEntries(wrt.map((name) => [`d ${name}`, gradients[name]])) };
  }

  /** Steps that each take the state of the one before. */
  #training(work: TrainingWork): Run {
    const { numpy: np } = this.#api;
    const ops = new JaxOps(this.#api, false);
    const step = this.#api.jit((p: Tree, m: Tree, v: Tree, count: JaxArray, inputs: Tree) =>
      this.#trainingStep(ops, work, { p, m, v, count, inputs })
    );
    const inputs = this.#arrays(work.inputs);
    const p = this.#arrays(work.weights);
    const zeros = () => mapped(p, (x) => np.zerosLike(x.ref));
    let state = { p, m: zeros(), v: zeros(), count: np.array(Float32Array.of(0), { shape: [] }) };
    let losses: JaxArray[] = [];
    const drop = () => losses.splice(0).forEach((loss) => loss.dispose());
    return {
      mostRuns: 64,
      run: async (times) => {
        drop();
        this.#api.defaultDevice(this.device);
        for (let i = 0; i < times; i++) {
          const { loss, ...next } = step(state.p, state.m, state.v, state.count, shared(inputs));
          losses.push(loss);
          state = next;
        }
        await this.#wait([{ loss: losses[losses.length - 1], count: state.count }, state.p]);
      },
      results: async () => ({ loss: await losses[losses.length - 1].ref.data() }),
      dispose: () => {
        drop();
        [state.p, state.m, state.v, inputs].forEach(free);
        state.count.dispose();
        step.dispose?.();
        losses = [];
      },
    };
  }

  #trainingStep(
    ops: JaxOps,
    { compute, optimizer }: TrainingWork,
    { p, m, v, count, inputs }: { p: Tree; m: Tree; v: Tree; count: JaxArray; inputs: Tree },
  ) {
    const { lr, weightDecay, beta1, beta2, eps } = optimizer;
    const { numpy: np } = this.#api;
    const [loss, g] = this.#api.valueAndGrad((w) => compute(ops, { ...w, ...inputs }).loss)(
      shared(p),
    );
    const next = count.ref.add(1);
    /** 1 - beta^step. */
    const correction = (beta: number) => np.exp(next.ref.mul(Math.log(beta))).mul(-1).add(1);
    const c1 = correction(beta1), c2 = correction(beta2);
    const m2 = mapped(m, (m, name) => m.ref.mul(beta1).add(g[name].ref.mul(1 - beta1)));
    const v2 = mapped(v, (v, name) => {
      return v.ref.mul(beta2).add(g[name].ref.mul(g[name].ref).mul(1 - beta2));
    });
    const p2 = mapped(p, (p, name) => {
      const root = np.sqrt(v2[name].ref.div(c2.ref)).add(eps);
      const update = m2[name].ref.div(c1.ref).div(root).mul(lr);
      return p.ref.mul(1 - lr * weightDecay).sub(update);
    });
    return { loss, p: p2, m: m2, v: v2, count: next };
  }

  #arrays(tensors: HostTensors): Tree {
    return Object.fromEntries(
      Object.entries(tensors).map(([name, { shape, data }]) => {
        return [name, this.#api.numpy.array(data.slice(), { shape })];
      }),
    );
  }

  /** Submits what is pending, which asking for buffers does without reading them back, then waits once. */
  async #wait(trees: readonly Tree[]): Promise<void> {
    const arrays = trees.flatMap((tree) => Object.values(tree));
    if (this.device === "webgpu") await Promise.all(arrays.map((x) => x.ref.gpuBuffer()));
    const last = this.device === "webgpu" ? arrays.slice(-1) : arrays;
    await this.#api.blockUntilReady(last);
  }
}

/** Every array with one more reference. */
function shared(tree: Tree): Tree {
  return mapped(tree, (x) => x.ref);
}

function mapped(tree: Tree, f: (x: JaxArray, name: string) => JaxArray): Tree {
  return Object.fromEntries(Object.entries(tree).map(([name, x]) => [name, f(x, name)]));
}

function free(tree: Tree): void {
  for (const x of Object.values(tree)) x.dispose();
}

function elementsOf(tree: Tree): number {
  return Object.values(tree).reduce((sum, { shape }) => sum + elements(shape), 0);
}

async function read(tree: Tree): Promise<Record<string, Float32Array>> {
  const values = await Promise.all(Object.values(tree).map((x) => x.ref.data()));
  return Object.fromEntries(Object.keys(tree).map((name, i) => [name, values[i]]));
}
