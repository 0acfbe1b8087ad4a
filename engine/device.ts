/**
 * The device: where tensors live, who runs the record list, and what users hold.
 *
 *     const device = await requestDevice();
 *     const loss = await device.step(() => { …; loss.backward(); optimizer.step(); return loss.item(); });
 *
 * A step is a synchronous function: ops only record. When it returns, its intermediates are released, the list is
 * flushed (compiled, encoded, submitted), and the promise settles with what it returned.
 * @module
 */
import { fill, floatBits, halfBits } from "../kernels/fill.ts";
import { HALF_FEATURE } from "../kernels/half.ts";
import type { Choice } from "../kernels/choice.ts";
import type { Target } from "../kernels/target.ts";
import { adapterLabel, isLlvmpipe, isSoftwareAdapter } from "./adapter.ts";
import { AnomalyScan } from "./anomaly.ts";
import { type Allocation, type BufferRange, VirtualBuffer } from "./buffers.ts";
import {
  type CapturedFunction,
  capturedFunction,
  type CapturedInput,
  type CapturedList,
  type DryRecorder,
  type Recording,
} from "./capture.ts";
import { type Rates, ratesOf } from "./cost.ts";
import { run } from "./dispatch.ts";
import { choiceStore, readChoices, writeChoices } from "./choice_store.ts";
import { DTypeError, FeatureError, LimitError, ShapeError } from "./errors.ts";
import { type EstimatedTensor, Forecast, type MemoryEstimate } from "./estimate.ts";
import { Executor, type ExecutorStats, type Observers, placesOf } from "./executor.ts";
import { Failures } from "./failures.ts";
import { buffersIn, bytesOf, dtypeOf, fromNested, type NestedNumbers } from "./host_data.ts";
import { listing } from "./listing.ts";
import { machineMemory } from "./machine_memory.ts";
import { Pipelines } from "./pipelines.ts";
import { livesOf, planMemory } from "./planner.ts";
import { BufferPool, type MemoryStats } from "./pool.ts";
import { Profile, profiled, type ProfiledDispatch, Profiler, wallClock } from "./profile.ts";
import { type EngineRecord, rangesOf, releasesInPlace } from "./records.ts";
import { buildReplay } from "./replay.ts";
import { measureRoofline, type Roofline } from "./roofline.ts";
import { type Scope, Scopes } from "./scope.ts";
import { selfTest } from "./self_test.ts";
import {
  bytesFor,
  type DType,
  expectTensor,
  type HostArray,
  sameShape,
  sizeOf,
  Tensor,
} from "./tensor.ts";
import {
  byCost,
  type CountedChoice,
  measureChoices,
  type TuneOptions,
  type TuneReport,
} from "./tune.ts";
import { type Verification, verifyList, type VerifyOptions } from "./verify.ts";

const NO_BYTES = new Uint8Array(0);

/** The word that fills memory with a value: of halves, two in one. */
function fillBits(value: number, dtype: DType): number {
  if (dtype === "f16") return halfBits(value) * 0x10001;
  return dtype === "f32" ? floatBits(value) : value >>> 0;
}

/** Options that concern the device itself rather than the choice of an adapter. */
export interface DeviceSettings {
  /** Seed of dropout and noise; also readable and settable as `device.seed`. */
  seed?: number;
  /**
   * Most bytes of GPU memory to hold; a step that needs more fails before allocating. Default: the machine's memory for
   * an adapter that computes on the CPU, where it can be asked for; else no bound, as WebGPU does not tell.
   */
  memoryBudget?: number;
  /**
   * Bind at most so many bytes to a kernel, fewer than the device could: to see here how a model is divided on a device
   * with a lower limit. Default: the device's own limit.
   */
  maxBindingBytes?: number;
  /** Test mode: fill memory with NaN before it is first written, so that a kernel that leaves a hole is seen. */
  poison?: boolean;
  /** Default true: refuse a driver that computes known answers wrongly. False: use it all the same. */
  selfTest?: boolean;
}

/** A WebGPU device with memory management, a record list and an executor. Make one with `requestDevice`. */
export class Device {
  /** Adapter name with its kind, such as `llvmpipe (LLVM 15.0.6, 256 bits) [software]`; put it beside every figure. */
  readonly label: string;
  /** True when it computes on the CPU. */
  readonly software: boolean;
  /** Most bytes of GPU memory that it will hold; Infinity where there is no bound. */
  readonly memoryBudget: number;
  /** Seed of dropout and noise. */
  seed: number;
  /** Number of the current step: `step()` adds one. Random masks depend on it; restore it to resume. */
  stepIndex = 0;
  #target: Target;
  /** Hears of calls that several variants could serve, while a step is recorded for `tune`. */
  #listener: ((choice: Choice) => void) | null = null;
  readonly #pool: BufferPool;
  readonly #pipelines: Pipelines;
  readonly #failures: Failures;
  readonly #executor: Executor;
  readonly #scopes: Scopes;
  #list: EngineRecord[] = [];
  #tail: Promise<void> = Promise.resolve();
  #flushPlanned = false;
  #stepBlock: Tensor | null = null;
  #stepBlockFor = "";
  #randomCalls = 0;
  #capturing = false;
  /** True while the list is one that is not run by `flush`. */
  #apart = false;
  #capturedInputs: readonly HostArray[] = [];
  #roofline: Promise<Roofline> | null = null;
  #measured: Roofline | null = null;
  readonly #poison: boolean;
  readonly #reads = new WeakSet<object>();
  readonly #collected: FinalizationRegistry<Allocation>;

  /** @internal Use `requestDevice`. */
  constructor(
    /** The WebGPU device itself. */ readonly gpu: GPUDevice,
    adapter: GPUAdapter,
    options: DeviceSettings,
  ) {
    const { seed = 0, memoryBudget } = options;
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new ShapeError(`requestDevice(): seed is ${seed}, needs a whole number in [0, 2^53)`);
    }
    if (memoryBudget !== undefined && !(memoryBudget > 0)) {
      throw new ShapeError(`requestDevice(): memoryBudget is ${memoryBudget}, needs bytes above 0`);
    }
    const { maxStorageBufferBindingSize, maxBufferSize } = gpu.limits;
    const { maxBindingBytes = Infinity } = options;
    if (!(maxBindingBytes >= 4096)) {
      throw new ShapeError(
        `requestDevice(): maxBindingBytes is ${maxBindingBytes}, needs 4096 or more`,
      );
    }
    this.label = adapterLabel(adapter.info);
    this.software = isSoftwareAdapter(adapter.info);
    this.seed = seed;
    this.#poison = options.poison ?? false;
    const integrated = /intel|apple|qualcomm|arm|img-tec/i.test(adapter.info.vendor ?? "");
    this.#target = {
      adapterClass: this.software ? "software" : integrated ? "integrated" : "discrete",
      maxInvocations: gpu.limits.maxComputeInvocationsPerWorkgroup,
      maxWorkgroupBytes: gpu.limits.maxComputeWorkgroupStorageSize,
      maxBindingBytes: Math.min(maxStorageBufferBindingSize, maxBufferSize, maxBindingBytes),
      features: new Set(gpu.features as unknown as Iterable<string>),
      texels: isLlvmpipe(adapter.info),
    };
    this.memoryBudget = memoryBudget ?? (this.software ? machineMemory() : Infinity);
    this.#pipelines = new Pipelines(gpu);
    this.#pool = new BufferPool(gpu, (buffer) => this.#pipelines.forget(buffer));
    this.#failures = new Failures(gpu, this.#pipelines);
    this.#executor = new Executor(
      gpu,
      this.#pool,
      this.#pipelines,
      this.#failures,
      this.#poison,
      this.memoryBudget,
      () => this.#rates,
    );
    this.#scopes = new Scopes((buffer, by) => this.release(buffer, by));
    if (options.selfTest ?? true) {
      const verdict = selfTest(gpu, this.#pipelines, this.label).then((wrong) => {
        if (wrong !== null) this.#failures.refuse(this.label, wrong);
      });
      this.#failures.waitFor(verdict);
    }
    this.#collected = new FinalizationRegistry((allocation) => this.#pool.release(allocation));
  }

  /** What kernels may know about it. */
  get target(): Target {
    return this.#target;
  }

  // ---- making tensors

  /**
   * A tensor with these values.
   * @param data typed array (its type gives the dtype) or nested numbers (f32)
   * @param shape default: that of the nested numbers, or one dimension
   * @throws {ShapeError} the values do not fill the shape, or nested arrays differ in size
   * @throws {DTypeError} the values are no numbers, or integers that want a gradient
   */
  tensor(
    data: HostArray | NestedNumbers,
    shape?: readonly number[],
    options: { requiresGrad?: boolean; label?: string } = {},
  ): Tensor {
    const nested = ArrayBuffer.isView(data) ? null : fromNested(data, "tensor()");
    const host = nested ? Float32Array.from(nested.values) : data as HostArray;
    const dims = shape ?? nested?.shape ?? [host.length];
    if (host.length !== sizeOf(dims)) {
      throw new ShapeError(
        `tensor(): ${host.length} values do not fill shape [${dims.join(", ")}], which takes ${
          sizeOf(dims)
        }`,
      );
    }
    const dtype = dtypeOf(host, "tensor()");
    if (options.requiresGrad && dtype !== "f32" && dtype !== "f16") {
      throw new DTypeError(`tensor(): ${dtype} has no gradient, requiresGrad needs f32`);
    }
    const tensor = this.empty(dims, dtype, options.label ?? "tensor");
    tensor.requiresGrad = options.requiresGrad ?? false;
    this.write(tensor, host);
    return tensor;
  }

  /**
   * A tensor without defined values: an op must write all of it.
   * @throws {ShapeError} a size is not a whole number of 0 or more
   * @throws {DTypeError} there is no such dtype
   * @throws {LimitError} it takes more bytes than a buffer of this device can have
   * @throws {FeatureError} for f16 on a device without `shader-f16`
   */
  empty(shape: readonly number[], dtype: DType = "f32", label = "tensor"): Tensor {
    if (!Array.isArray(shape) || shape.some((d) => !Number.isSafeInteger(d) || d < 0)) {
      throw new ShapeError(
        `${label}: [${shape}] is no shape, needs whole numbers of 0 or more`,
      );
    }
    if (!["f32", "f16", "i32", "u32"].includes(dtype)) {
      throw new DTypeError(`${label}: there is no dtype ${dtype}, needs f32, f16, i32 or u32`);
    }
    if (dtype === "f16") this.#expectHalf(label);
    const bytes = bytesFor(sizeOf(shape), dtype);
    if (bytes > this.gpu.limits.maxBufferSize) {
      throw new LimitError(
        `${label}: [${
          shape.join(", ")
        }] takes ${bytes} bytes, this device allows ${this.gpu.limits.maxBufferSize} a buffer; ` +
          "use a smaller batch or split the tensor",
      );
    }
    const buffer = new VirtualBuffer(Math.max(4, bytes), label);
    const scope = this.#scopes.current;
    if (scope) scope.buffers.add(buffer);
    else this.#collected.register(buffer, buffer.allocation, buffer);
    return new Tensor(this, shape, dtype, { buffer, offset: 0 });
  }

  #expectHalf(label: string): void {
    if (this.target.features.has(HALF_FEATURE)) return;
    throw new FeatureError(
      `${label}: f16 needs the WebGPU feature "${HALF_FEATURE}", which ${this.label} lacks or, with ` +
        '{ limits: "default" }, was not asked for; compute in f32, without autocast() and half(), or on another adapter',
    );
  }

  /** A tensor filled with one value. */
  full(shape: readonly number[], value: number, dtype: DType = "f32"): Tensor {
    const y = this.empty(shape, dtype, "full");
    if (y.size > 0) this.#fill(y, value);
    return y;
  }

  /** @internal Overwrites a tensor that is not empty with zeros. */
  clear(tensor: Tensor): void {
    this.#fill(tensor, 0);
  }

  #fill(y: Tensor, value: number): void {
    const words = bytesFor(y.size, y.dtype) / 4;
    const whole = y.dtype === "f16" ? new Tensor(this, [words], "u32", y.storage) : y;
    run(fill(words, fillBits(value, y.dtype)), { y: whole });
  }

  /** A tensor filled with zeros. */
  zeros(shape: readonly number[], dtype: DType = "f32"): Tensor {
    return this.full(shape, 0, dtype);
  }

  /** @internal Memory of its own, zeroed, that belongs to no scope: parameters, gradients, optimiser state. */
  persistent(elements: number, label: string, dtype: DType = "f32"): VirtualBuffer {
    if (dtype === "f16") this.#expectHalf(label);
    const buffer = new VirtualBuffer(Math.max(16, bytesFor(elements, dtype)), label, true);
    this.#collected.register(buffer, buffer.allocation, buffer);
    return buffer;
  }

  /**
   * @internal Refuses memory that will be needed together and stays, before any of it is allocated.
   * @throws {OutOfMemoryError} naming the largest tensors when it does not fit the budget
   */
  expectRoom(what: string, tensors: readonly EstimatedTensor[]): void {
    this.#executor.expectRoom(what, (forecast) => forecast.add(tensors));
  }

  /** Overwrites a tensor's values in place, in order with the ops around it. */
  write(tensor: Tensor, data: HostArray): void {
    this.#expectOwn("write()", tensor);
    if (dtypeOf(data, "write()") !== tensor.dtype) {
      throw new DTypeError(`write(): a ${data.constructor.name} does not fit ${tensor.describe()}`);
    }
    if (data.length !== tensor.size) {
      throw new ShapeError(
        `write(): ${data.length} values for ${tensor.describe()} with ${tensor.size} elements`,
      );
    }
    if (tensor.size === 0) return;
    this.append({ kind: "upload", target: tensor.range, data: bytesOf(data).slice() });
  }

  /** Copies one tensor's values into another of the same shape and dtype, on the GPU. */
  copy(source: Tensor, target: Tensor): void {
    this.#expectOwn("copy()", source);
    this.#expectOwn("copy()", target);
    if (!sameShape(source.shape, target.shape) || source.dtype !== target.dtype) {
      throw new ShapeError(`copy(): ${source.describe()} does not fit ${target.describe()}`);
    }
    if (source.size > 0) this.append({ kind: "copy", source: source.range, target: target.range });
  }

  #expectOwn(name: string, tensor: Tensor): void {
    expectTensor(`${name}: tensor`, tensor);
    if (tensor.device === this) return;
    throw new ShapeError(
      `${name}: ${tensor.describe()} lives on another device; read it and make it here`,
    );
  }

  // ---- scopes and steps

  /**
   * Runs a synchronous function and releases every tensor made in it, except those it returns (also inside arrays and
   * plain objects). @throws {DTypeError} for an async function
   */
  tidy<T>(fn: () => T, name = "tidy"): T {
    const scope = this.#scopes.push(name);
    try {
      const result = fn();
      if (result instanceof Promise && !this.#reads.has(result)) {
        result.catch(() => {});
        throw new DTypeError(
          `${name}(): needs a synchronous function. Request reads inside and return them: they are awaited outside.`,
        );
      }
      this.#ownerless(this.#scopes.pop(scope, buffersIn(result)));
      return result;
    } finally {
      scope[Symbol.dispose]();
    }
  }

  /**
   * One step of training or inference: `tidy`, then everything recorded is run. The GPU may lag two
   * steps behind, or more short ones (in_flight.ts).
   * @returns what `fn` returned; reads in it (`loss.item()`) are awaited
   * @throws {WgradError} when this or an earlier step failed on the GPU
   */
  async step<T>(fn: () => T): Promise<Awaited<T>> {
    this.#beginStep();
    const result = this.tidy(fn, "step");
    await this.#failures.unlessLost(this.flush());
    await this.#executor.throttle();
    this.#failures.raise();
    return await result;
  }

  #beginStep(): void {
    this.stepIndex++;
    this.#randomCalls = 0;
  }

  /** Opens a scope that ends with the block: `using scope = device.scope();`. */
  scope(name = "scope"): Scope {
    const scope = this.#scopes.push(name);
    queueMicrotask(() => {
      if (!scope.open) return;
      try {
        this.#scopes.abandon();
      } catch (error) {
        this.#failures.report(error as Error);
      }
    });
    return scope;
  }

  /** Keeps a tensor beyond the scope it was made in, until it is disposed of or garbage-collected. Returns it. */
  keep(tensor: Tensor): Tensor {
    this.#expectOwn("keep()", tensor);
    const { buffer } = tensor.storage;
    if (this.#scopes.adopt(buffer)) this.#ownerless([buffer]);
    return tensor;
  }

  #ownerless(buffers: readonly VirtualBuffer[]): void {
    for (const b of buffers) this.#collected.register(b, b.allocation, b);
  }

  /** @internal Gives a buffer up; its memory is free after the last record that uses it. */
  release(buffer: VirtualBuffer, by: string): void {
    if (buffer.released) return;
    buffer.released = true;
    buffer.releasedBy = by;
    this.#collected.unregister(buffer);
    this.append({ kind: "release", buffer });
  }

  // ---- running

  /** @internal Appends a record; outside a scope it is run at the end of the current task. */
  append(record: EngineRecord): void {
    if (this.#failures.lost) {
      if (record.kind === "release") return;
      throw this.#failures.lost;
    }
    this.#list.push(record);
    if (!this.#flushPlanned) {
      this.#flushPlanned = true;
      queueMicrotask(() => {
        this.#flushPlanned = false;
        void this.flush();
      });
    }
  }

  /** @internal Requests a range and converts its bytes; resolves when the GPU has computed them. */
  read<T>(source: BufferRange, convert: (bytes: ArrayBuffer) => T): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    promise.catch(() => {}); // a read that nobody awaits must not end the program
    this.append({ kind: "read", source, resolve: (bytes) => resolve(convert(bytes)), reject });
    this.#reads.add(promise);
    return promise;
  }

  /** Runs everything recorded so far; resolves when it is submitted (not: finished). */
  flush(): Promise<void> {
    if (this.#list.length > 0 && !this.#apart) {
      const list = this.#list;
      this.#list = [];
      this.#tail = this.#tail.then(() => this.#executor.run(list));
    }
    return this.#tail;
  }

  /** Runs everything recorded so far and waits until the GPU is done. @throws {WgradError} if anything failed */
  async sync(): Promise<void> {
    await this.#failures.unlessLost(this.flush());
    await this.#executor.drain();
    this.#failures.raise();
  }

  /**
   * Runs a step and measures the GPU time of each of its kernels, beside the adapter's roofline. Where the device has no
   * timestamps, or rounded ones, the result says so.
   * @param options.roofline false: leave out what the first profile of a device takes a moment to measure
   */
  async profile(
    fn: () => unknown,
    options: { readonly roofline?: boolean } = {},
  ): Promise<Profile> {
    const roofline = options.roofline ?? true ? await this.roofline() : null;
    const list = await this.#recordStep(fn, "profile");
    await this.#failures.unlessGone(this.#executor.prepare(list));
    if (!this.gpu.features.has("timestamp-query")) return await this.#profileAlone(list, roofline);
    const profiler = new Profiler(this.gpu);
    await this.#runNow(list, { profiler });
    return await this.#failures.unlessLost(profiler.finish(this.label, roofline));
  }

  /** A profile by the wall clock: every dispatch is submitted alone and waited for. */
  async #profileAlone(list: EngineRecord[], roofline: Roofline | null): Promise<Profile> {
    const dispatches: ProfiledDispatch[] = [];
    const first = performance.now();
    const run = async (records: EngineRecord[]): Promise<void> => {
      await this.#runNow(records);
      await this.#executor.drain();
    };
    let between: EngineRecord[] = [];
    for (const record of releasesInPlace(list)) {
      if (record.kind !== "dispatch") {
        between.push(record);
        continue;
      }
      await run(between);
      between = [];
      const start = performance.now();
      await run([record]);
      dispatches.push(profiled(record, start - first, performance.now() - start));
    }
    await run(between);
    return new Profile(this.label, dispatches, wallClock(dispatches), roofline);
  }

  /** What this adapter can do at most, measured at the first call and remembered. */
  roofline(): Promise<Roofline> {
    this.#roofline ??= this.#measureRoofline().catch((error) => {
      this.#roofline = null;
      throw error;
    });
    return this.#roofline;
  }

  /** What kernels are predicted to take, for the length of submits. */
  get #rates(): Rates {
    return ratesOf(this.target.adapterClass, this.#measured);
  }

  async #measureRoofline(): Promise<Roofline> {
    await this.sync();
    const room = (this.memoryBudget - this.memory.liveBytes) / 2;
    const roofline = await this.#failures.unlessLost(
      measureRoofline(this.gpu, this.#pipelines, this.target, room),
    );
    this.#measured = roofline;
    return roofline;
  }

  /**
   * Measures which variants serve a step's matrix products and convolutions best on this adapter, and uses them from then
   * on: call it before `capture`. What was measured is remembered, so that the next run of a program knows it at once.
   *
   * Other variants add in another order: results may differ in their last bits from those without it.
   * @param fn the step, which is recorded but not run
   */
  async tune(fn: () => unknown, options: TuneOptions = {}): Promise<TuneReport> {
    const { seconds = 10, store = choiceStore(this.label) } = options;
    const start = performance.now();
    const kept = store && readChoices(store, this.label);
    const asked = await this.#choicesOf(fn);
    const known = new Map([...kept?.choices ?? [], ...this.target.choices ?? []]);
    const isKnown = ({ choice: { key, candidates } }: CountedChoice) =>
      candidates.some(({ name }) => name === known.get(key));
    await this.sync();
    const mayHold = (this.memoryBudget - this.memory.liveBytes) / 2;
    const unknown = asked.filter((call) => !isKnown(call));
    const measured = await this.#failures.unlessLost(
      measureChoices(this.gpu, unknown, { seconds, mayHold, target: this.target }),
    );
    for (const [key, { variant }] of measured) known.set(key, variant);
    this.#target = { ...this.target, choices: known };
    const unsaved = store && measured.size > 0 ? writeChoices(store, this.label, known) : null;
    return {
      adapter: this.label,
      calls: asked.filter(isKnown).map(({ choice: { key, standard }, count }) => ({
        call: key,
        count,
        variant: known.get(key)!,
        standard,
        speedup: measured.get(key)?.speedup ?? null,
      })),
      left: asked.filter((call) => !isKnown(call)).map(({ choice }) => choice.key),
      seconds: (performance.now() - start) / 1000,
      remembered: unsaved === null ? store?.name ?? null : null,
      notices: [kept?.notice, unsaved].filter((notice) => typeof notice === "string"),
    };
  }

  /** The calls of a step that several variants could serve, those with the most operations first. */
  async #choicesOf(fn: () => unknown): Promise<CountedChoice[]> {
    const found = new Map<string, CountedChoice>();
    await this.dryRun(({ step }) => {
      this.#listener = (choice) => {
        if (choice.candidates.length < 2) return;
        found.set(choice.key, { choice, count: (found.get(choice.key)?.count ?? 0) + 1 });
      };
      try {
        step(fn, "tune");
      } finally {
        this.#listener = null;
      }
    });
    return byCost([...found.values()]);
  }

  /** @internal Says that a call has several variants, which interests no one but `tune`. */
  asks(choice: () => Choice): void {
    this.#listener?.(choice());
  }

  /**
   * Runs a step and scans everything its kernels read and write for NaN and infinity.
   * @throws {NonFiniteError} naming the first op that made or met one, and where it was asked for
   */
  async detectAnomaly(fn: () => unknown): Promise<void> {
    const list = await this.#recordStep(fn, "detectAnomaly");
    const anomaly = new AnomalyScan(this.gpu, list);
    await this.#runNow(list, { anomaly });
    const error = await this.#failures.unlessLost(anomaly.finish());
    if (error) throw error;
  }

  /**
   * Runs a step and compares what each of its kernels writes with its plain loop on the host. Slow: about a second for
   * every 10^9 operations.
   * @returns how many dispatches agreed, and which kernels have no plain loop to compare with
   * @throws {MismatchError} naming the first kernel that differs, its place, the element, and what it should be
   */
  async verify(fn: () => unknown, { tolerance = 1e-4 }: VerifyOptions = {}): Promise<Verification> {
    const list = await this.#recordStep(fn, "verify");
    return await verifyList(list, (records) => this.#runNow(records), tolerance);
  }

  /**
   * Compiles the kernels of a step before it runs, one after another, and lets other tasks run in between. In browsers
   * compilation is asynchronous anyway; in Deno it blocks, so this is where a program can show progress.
   * @param fn the step, which is recorded but not run
   */
  async warmUp(
    fn: () => unknown,
    onProgress?: (done: number, total: number, kernel: string) => void,
  ): Promise<void> {
    const list = await this.dryRun(({ step }) => step(fn, "warmUp"));
    const places = placesOf(list);
    const missing = this.#pipelines.missing(places.keys());
    for (const [i, program] of missing.entries()) {
      await this.#failures.unlessGone(this.#pipelines.compile(program, places.get(program)));
      onProgress?.(i + 1, missing.length, `${program.name}[${program.variant}]`);
      await new Promise((resolve) => setTimeout(resolve));
    }
  }

  /** Records a step without running any of it and returns its listing: kernels, shapes, memory freed, peak. */
  async explain(fn: () => unknown): Promise<string> {
    return await this.dryRun(({ step }) => listing(step(fn, "explain")));
  }

  /**
   * Predicts the GPU memory of a step that is run again and again, what is live now included, without running or
   * allocating anything for it. For a model that is on no device yet see `estimate` of `nn/`.
   */
  async estimate(fn: () => unknown): Promise<MemoryEstimate> {
    return await this.dryRun(({ step }) =>
      new Forecast(this.#pool.state, this.#pipelines.texels.held).run(step(fn, "estimate")).estimate
    );
  }

  /**
   * @internal Records steps that are not run: no step number is used up, and no value that changes from step to step is
   * asked for. Gradients count as written afterwards, so call `zeroGrad` before the next real step.
   * @param work synchronous
   */
  async dryRun<T>(work: (recorder: DryRecorder) => T): Promise<T> {
    await this.#failures.unlessGone(this.flush());
    return work({
      step: (fn, name = "step") => this.#recordList(fn, name, true).list,
      capture: (fn, inputs) => this.#recordCapture(fn, inputs),
    });
  }

  /** Records a step that is run once. */
  async #recordStep(fn: () => unknown, name: string): Promise<EngineRecord[]> {
    await this.#failures.unlessGone(this.flush());
    this.#beginStep();
    const { list } = this.#recordList(fn, name, false);
    this.#executor.admit(list);
    return list;
  }

  /** Runs a function in a scope of its own and keeps what it appends from the device's list. */
  #recordList<R>(
    fn: () => R,
    name: string,
    capturing: boolean,
  ): { list: EngineRecord[]; result: R } {
    const before = this.#list;
    this.#list = [];
    this.#apart = true;
    this.#capturing = capturing;
    this.#stepBlockFor = "";
    this.#randomCalls = 0;
    try {
      const result = this.tidy(fn, name);
      return { list: this.#list, result };
    } finally {
      this.#list = before;
      this.#apart = this.#capturing = false;
      this.#stepBlockFor = ""; // what was recorded may never run
    }
  }

  async #runNow(list: EngineRecord[], observers: Observers = {}): Promise<void> {
    this.#tail = this.#tail.then(() => this.#executor.run(list, observers));
    await this.#failures.unlessGone(this.#tail);
    this.#failures.raise();
  }

  /**
   * Records a step once and runs it from then on as prepared GPU commands: no graph walk, no allocation, no hashing.
   * Call the result with host arrays and their shapes; another shape is recorded anew.
   * @param fn a synchronous step that takes tensors and returns tensors; reads are not allowed inside
   * @throws {ScopeError} from the call when a value is read inside `fn`
   */
  capture<R>(fn: (...inputs: Tensor[]) => R): CapturedFunction<R> {
    return capturedFunction<R>({
      record: (inputs) => this.#record(fn, inputs),
      replay: async (recording, inputs) => {
        this.stepIndex++;
        this.#stepBlockFor = "";
        this.#capturedInputs = inputs;
        void this.flush();
        this.#tail = this.#tail.then(() => {
          this.#capturedInputs = inputs;
          return this.#executor.replay(recording.replay);
        });
        await this.#failures.unlessGone(this.#tail);
        await this.#executor.throttle();
        this.#failures.raise();
      },
      free: ({ replay, result }) => {
        for (const buffer of buffersIn(result)) {
          if (!buffer.allocation.borrowed) continue;
          buffer.released = true;
          buffer.releasedBy = "dispose() of its captured function";
        }
        void this.flush(); // what was recorded so far may still copy from its results
        this.#tail = this.#tail.then(() => {
          for (const allocation of replay.allocations) this.#pool.release(allocation);
          for (const copy of replay.copies) this.#pipelines.texels.use([copy], -1);
          if (replay.uniform) {
            this.#pipelines.forget(replay.uniform);
            replay.uniform.destroy();
          }
        });
      },
    });
  }

  async #record<R>(
    fn: (...inputs: Tensor[]) => R,
    inputs: readonly CapturedInput[],
  ): Promise<Recording<R>> {
    await this.#failures.unlessGone(this.flush());
    const captured = this.#recordCapture(fn, inputs);
    this.#executor.expectRoom("This captured step", (forecast) => forecast.capture(captured));
    await this.#executor.prepare(captured.list);
    for (const buffer of buffersIn(captured.result)) this.#collected.unregister(buffer); // the recording owns their memory
    const replay = buildReplay(captured, {
      gpu: this.gpu,
      pool: this.#pool,
      pipelines: this.#pipelines,
      poison: this.#poison,
      rates: this.#rates,
    });
    return {
      shapes: captured.inputs.map((t) => t.shape),
      dtypes: captured.inputs.map((t) => t.dtype),
      inputs: captured.inputs,
      result: captured.result,
      replay,
    };
  }

  /** Records a function of inputs that are written before each run, and plans the memory of its list. */
  #recordCapture<R>(
    fn: (...inputs: Tensor[]) => R,
    inputs: readonly CapturedInput[],
  ): CapturedList<R> {
    const tensors = inputs.map(([data, shape], i) =>
      new Tensor(this, shape, dtypeOf(data, `input ${i}`), {
        buffer: new VirtualBuffer(Math.max(4, bytesOf(data).length), `captured input ${i}`),
        offset: 0,
      })
    );
    const { list, result } = this.#recordList(
      () => {
        tensors.forEach((tensor, i) => {
          const refresh = (): Uint8Array<ArrayBuffer> => bytesOf(this.#capturedInputs[i]);
          if (tensor.size === 0) return;
          this.append({ kind: "upload", target: tensor.range, data: NO_BYTES, refresh });
        });
        return fn(...tensors);
      },
      "capture",
      true,
    );
    const made = new Set(list.flatMap(rangesOf).map((range) => range.buffer));
    const inputBuffers = new Set(tensors.map((tensor) => tensor.storage.buffer));
    const results = new Set(
      [...buffersIn(result)].filter((b) => made.has(b) && b.allocation.gpu === null),
    );
    const { maxBufferSize } = this.gpu.limits;
    const plan = planMemory(livesOf(list, inputBuffers, results), maxBufferSize);
    return { list, inputs: tensors, result, results, plan };
  }

  /**
   * Writes values that change from step to step, such as a learning rate: `values` is asked now, and again each time a
   * captured step that contains this write runs.
   */
  writeEachStep(tensor: Tensor, values: () => HostArray): void {
    if (!this.#capturing) return this.write(tensor, values());
    const refresh = (): Uint8Array<ArrayBuffer> => bytesOf(values());
    this.append({ kind: "upload", target: tensor.range, data: NO_BYTES, refresh });
  }

  // ---- randomness

  /**
   * @internal The tensor u32 [4] that random kernels read (seed low, seed high, step, 0) and the number of this call
   * within the step. Together with the element's index they determine every random number.
   */
  nextRandom(): { block: Tensor; call: number } {
    this.#stepBlock ??= new Tensor(this, [4], "u32", {
      buffer: this.persistent(4, "step block"),
      offset: 0,
    });
    const key = `${this.seed}:${this.stepIndex}`;
    if (this.#stepBlockFor !== key) {
      this.#stepBlockFor = key;
      this.writeEachStep(this.#stepBlock, () => {
        const low = this.seed >>> 0, high = Math.floor(this.seed / 2 ** 32) >>> 0;
        return Uint32Array.of(low, high, this.stepIndex, 0);
      });
    }
    return { block: this.#stepBlock, call: this.#randomCalls++ };
  }

  // ---- figures and end

  /**
   * GPU memory now: what tensors hold (`live`), its peak, and what is reserved including the pool's free buffers. A
   * device that is destroyed or lost holds none.
   */
  get memory(): MemoryStats {
    const { stats } = this.#pool,
      reservedBytes = stats.reservedBytes + this.#pipelines.texels.bytes;
    if (!this.#failures.lost) return { ...stats, reservedBytes };
    const none = { liveBytes: 0, liveBuffers: 0, reservedBytes: 0, reservedBuffers: 0 };
    return { ...stats, ...none };
  }

  /** Counters since the start; `readbacks` counts the reads that user code asked for, the engine makes none itself. */
  get stats(): Readonly<ExecutorStats> & { readonly pipelines: number } {
    return { ...this.#executor.stats, pipelines: this.#pipelines.size };
  }

  /** Variants in use of each kernel; a checkpoint records them, since floats are bit-equal only for one set. */
  get kernelVariants(): Record<string, string> {
    return this.#pipelines.variants();
  }

  /** Starts a new peak from what is live now. */
  resetPeak(): void {
    this.#pool.resetPeak();
  }

  /** Gives the pool's free buffers back to the system. */
  trim(): void {
    this.#pool.trim();
    this.#pipelines.texels.trim();
  }

  /** Ends the device: its memory is freed, pending and later reads reject with `DeviceLostError`. */
  destroy(): void {
    this.#failures.lose("destroyed by destroy()");
    this.gpu.destroy();
  }

  /** Same as `destroy`, for `using device = await requestDevice();`. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}
