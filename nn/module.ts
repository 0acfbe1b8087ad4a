/**
 * Modules: plain classes that own named parameters and other modules.
 *
 *     class Head extends Module {
 *       readonly norm = this.child("norm", new LayerNorm(192));
 *       readonly fc = this.child("fc", new Linear(192, 10));
 *       forward(x: Tensor): Tensor { return this.fc.forward(this.norm.forward(x)); }
 *     }
 *     const head = await new Head().to(device);
 *
 * The names given here, joined by dots, are the keys of the state dict. A parameter registered in two places is one
 * parameter: it is placed, learned and counted once, and has two keys.
 * @module
 */
import type { Device } from "../engine/device.ts";
import { CheckpointError, DTypeError } from "../engine/errors.ts";
import { readTogether } from "../engine/read_together.ts";
import { bytesFor } from "../engine/tensor.ts";
import { joined, type Parameter } from "./parameter.ts";
import {
  checkEntry,
  type LoadOptions,
  type LoadReport,
  matchState,
  type StateDict,
  type StateEntry,
  type StateSource,
} from "./state_dict.ts";

/** Host bytes that may wait for upload before the GPU is waited for: keeps the host's peak near one tensor. */
const UPLOAD_AT = 64 * 1024 * 1024;

/** Base of everything with parameters. A subclass registers its parts in its constructor and adds `forward`. */
export abstract class Module {
  readonly #children = new Map<string, Module>();
  readonly #parameters = new Map<string, Parameter>();
  readonly #buffers = new Map<string, Parameter>();
  #training = true;

  // ---- registration, for subclasses

  /** Registers a module under a name and returns it. */
  protected child<M extends Module>(name: string, module: M): M {
    this.#claim(name);
    this.#children.set(name, module);
    return module;
  }

  /** Registers modules as `name.0`, `name.1`, … and returns them. */
  protected childList<M extends Module>(name: string, modules: readonly M[]): readonly M[] {
    modules.forEach((module, i) => this.child(`${name}.${i}`, module));
    return modules;
  }

  /** Registers a parameter under a name and returns it. */
  protected parameter(name: string, parameter: Parameter): Parameter {
    this.#claim(name);
    this.#parameters.set(name, parameter);
    return parameter;
  }

  /** Registers values that belong to the state dict but are not learned, such as running statistics. */
  protected buffer(name: string, buffer: Parameter): Parameter {
    this.#claim(name);
    buffer.requiresGrad = false;
    this.#buffers.set(name, buffer);
    return buffer;
  }

  #claim(name: string): void {
    const taken = [this.#children, this.#parameters, this.#buffers].some((map) => map.has(name));
    if (taken || !/^[^.\s]+(\.[^.\s]+)*$/.test(name)) {
      const why = taken ? "is used already" : "is not a name";
      throw new Error(`${this.constructor.name}: "${name}" ${why}`);
    }
  }

  // ---- looking inside

  /** The modules registered here, by name. */
  get children(): ReadonlyMap<string, Module> {
    return this.#children;
  }

  /** Every module below this one with its full name; itself first, under "". */
  namedModules(prefix = ""): [name: string, module: Module][] {
    const below = [...this.#children].flatMap(([name, module]) =>
      module.namedModules(join(prefix, name))
    );
    return [[prefix, this], ...below];
  }

  /** Every parameter once, with its full name (the first, where it has several). */
  namedParameters(): [name: string, parameter: Parameter][] {
    return once(this.#named((module) => module.#parameters));
  }

  /** Every parameter once. */
  parameters(): Parameter[] {
    return this.namedParameters().map(([, parameter]) => parameter);
  }

  /** Every buffer once, with its full name. */
  namedBuffers(): [name: string, buffer: Parameter][] {
    return once(this.#named((module) => module.#buffers));
  }

  /** How many numbers are learned: the sizes of all parameters that want a gradient. */
  get learnedSize(): number {
    return this.parameters().reduce((sum, p) => sum + (p.requiresGrad ? p.size : 0), 0);
  }

  #named(of: (module: Module) => ReadonlyMap<string, Parameter>): [string, Parameter][] {
    return this.namedModules().flatMap(([prefix, module]) =>
      [...of(module)].map(([name, tensor]): [string, Parameter] => [join(prefix, name), tensor])
    );
  }

  /** All keys of the state dict, parameters and buffers of one module before those of its children. */
  #state(): Map<string, Parameter> {
    return new Map(this.#named((module) => new Map([...module.#parameters, ...module.#buffers])));
  }

  /** What a state dict must hold. */
  #wanted(): Map<string, { shape: readonly number[] }> {
    return new Map([...this.stateShapes()].map(([name, shape]) => [name, { shape }]));
  }

  // ---- placing

  /**
   * Gives all parameters and buffers memory on a device: loaded values where there are some, else their first values,
   * drawn from `seed` and the parameter's name. Those already there stay; those on another device are moved.
   * @param options `state`: where the values are read instead, tensor by tensor: the host holds one at a time
   * @returns this module
   * @throws {CheckpointError} when names or shapes of `state` differ: lists all of them, nothing is placed then
   * @throws {OutOfMemoryError} when they do not fit the device's budget; nothing is placed then
   */
  async to(
    device: Device,
    options: { seed?: number | bigint; state?: StateSource } = {},
  ): Promise<this> {
    const what = `${this.constructor.name}.to()`;
    const { state } = options;
    if (state !== undefined) matchState(what, this.#wanted(), state.shapes);
    const missing = [...this.namedParameters(), ...this.namedBuffers()]
      .filter(([, parameter]) => !parameter.placed || parameter.device !== device);
    device.expectRoom(
      what,
      missing.map(([label, { shape, size, dtype }]) => ({
        label,
        shape,
        bytes: bytesFor(size, dtype),
      })),
    );
    let waiting = 0;
    for (const [name, parameter] of missing) {
      const values = state !== undefined
        ? await state.read(name)
        : parameter.placed
        ? parameter.toState(await parameter.data())
        : parameter.takeInitial(options.seed ?? 0, name);
      checkEntry(what, name, { shape: parameter.stateShape, data: values });
      parameter.allocate(device, name);
      parameter.load(values);
      waiting += 4 * parameter.size;
      if (waiting < UPLOAD_AT) continue;
      await device.sync();
      waiting = 0;
    }
    await device.sync();
    return this;
  }

  /**
   * Stores all parameters in half, for inference: half the memory, and outputs in half from inputs in half. They learn no
   * more; to train in half, keep them as they are and use `autocast`. Buffers (statistics) stay f32. Returns this.
   * @throws {ScopeError} before `to(device)`
   * @throws {FeatureError} on a device without `shader-f16`; nothing is changed then
   */
  half(): this {
    for (const [name, parameter] of this.namedParameters()) {
      parameter.convert("f16", name);
      parameter.requiresGrad = false;
      for (const part of parameter.parts) part.grad = part.gradSlot = null;
    }
    return this;
  }

  /** Frees the memory of all parameters and buffers. What an optimiser packed together with them goes too. */
  dispose(): void {
    for (const parameter of this.#state().values()) {
      for (const part of parameter.parts) {
        part.gradSlot?.dispose();
        part.grad = part.gradSlot = null;
        if (part.placed) part.dispose();
      }
    }
  }

  // ---- training

  /** True in training mode, where dropout drops; the default. */
  get training(): boolean {
    return this.#training;
  }

  /** Switches this module and all below to training mode (or out of it). Returns this. */
  train(training = true): this {
    for (const [, module] of this.namedModules()) module.#training = training;
    return this;
  }

  /** Switches to evaluation mode. Returns this. */
  eval(): this {
    return this.train(false);
  }

  /** Forgets all gradients; the next backward writes over them. */
  zeroGrad(): void {
    for (const part of this.parameters().flatMap(({ parts }) => parts)) part.grad = null;
  }

  /** Stops all parameters from being learned, or lets them learn again. Build the optimiser afterwards. Returns this. */
  freeze(frozen = true): this {
    for (const parameter of this.parameters()) {
      parameter.requiresGrad = !frozen;
      if (frozen) parameter.parts.forEach((part) => part.grad = null);
    }
    return this;
  }

  // ---- saving and loading

  /** The keys of the state dict and the shapes of their values, without reading any. */
  stateShapes(): Map<string, readonly number[]> {
    return new Map([...this.#state()].map(([name, { stateShape }]) => [name, stateShape]));
  }

  /**
   * All values by name. The GPU is waited for once.
   * @throws {ScopeError} before `to(device)`
   */
  async stateDict(): Promise<Map<string, StateEntry>> {
    const state = this.#state();
    const distinct = [...new Set(state.values())];
    const values = await readTogether(distinct.flatMap(({ parts }) => parts));
    const of = new Map(
      distinct.map((parameter) => {
        const own = joined(values.splice(0, parameter.parts.length));
        return [parameter, { shape: parameter.stateShape, data: parameter.toState(own) }];
      }),
    );
    return new Map([...state].map(([name, tensor]) => [name, of.get(tensor)!]));
  }

  /** The same values to be read tensor by tensor, as a model that is larger than the host's memory is saved. */
  stateSource(): StateSource {
    const state = this.#state();
    return {
      shapes: this.stateShapes(),
      read: async (name) => {
        const parameter = state.get(name);
        if (parameter !== undefined) return parameter.toState(await parameter.data());
        throw new CheckpointError(`${this.constructor.name}.stateSource(): there is no ${name}`);
      },
    };
  }

  /**
   * Takes values by name, before or after `to(device)`.
   * @returns what was loaded and what was not
   * @throws {CheckpointError} when strict and names or shapes differ: lists all of them, nothing is changed
   * @throws {DTypeError} when it is no map, or its data are not f32
   */
  loadStateDict(values: StateDict, options: LoadOptions = {}): LoadReport {
    const what = `${this.constructor.name}.loadStateDict()`;
    if (typeof values?.entries !== "function") {
      throw new DTypeError(`${what}: needs a Map from names to { shape, data }`);
    }
    const state = this.#state();
    for (const [name, entry] of values) checkEntry(what, name, entry);
    const shapes = new Map([...values].map(([name, entry]) => [name, entry.shape]));
    const report = matchState(what, this.#wanted(), shapes, options);
    for (const name of report.loaded) state.get(name)!.load(values.get(name)!.data);
    return report;
  }

  /**
   * The same from a source that is read tensor by tensor: on a placed model the host holds one tensor at a time.
   * @throws {CheckpointError} as `loadStateDict`
   */
  async loadStateFrom(source: StateSource, options: LoadOptions = {}): Promise<LoadReport> {
    const what = `${this.constructor.name}.loadStateFrom()`;
    const state = this.#state();
    const report = matchState(what, this.#wanted(), source.shapes, options);
    let waiting = 0;
    for (const name of report.loaded) {
      const parameter = state.get(name)!;
      const data = await source.read(name);
      checkEntry(what, name, { shape: parameter.stateShape, data });
      parameter.load(data);
      waiting += 4 * parameter.size;
      if (waiting < UPLOAD_AT || !parameter.placed) continue;
      await parameter.device.sync();
      waiting = 0;
    }
    return report;
  }
}

function join(prefix: string, name: string): string {
  return prefix === "" ? name : `${prefix}.${name}`;
}

/** The first entry of each parameter. */
function once(named: readonly [string, Parameter][]): [string, Parameter][] {
  const seen = new Set<Parameter>();
  return named.filter(([, tensor]) => !seen.has(tensor) && seen.add(tensor));
}
