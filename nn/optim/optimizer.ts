/**
 * What all optimisers share: parameter groups, arenas, gradient clipping, state.
 *
 * An optimiser moves its parameters into one buffer and gives their gradients and moments the same places in buffers
 * of their own, so that a step is one launch for the whole model. What changes from step to step (rates, bias
 * corrections, who has a gradient) is a small table, written once a step; so a step can be captured and replayed.
 * @module
 */
import { type ArenaShape, blockTable } from "../../kernels/arena_layout.ts";
import { countSkips, unscaleGradients } from "../../kernels/grad_scaler.ts";
import { normOfPartials, normOfStrips, normStrips } from "../../kernels/global_norm.ts";
import { Arena, layoutFor, moveInto, releaseOwn } from "../../engine/arena.ts";
import type { Device } from "../../engine/device.ts";
import { run } from "../../engine/dispatch.ts";
import { CheckpointError, DTypeError, ScopeError, ShapeError } from "../../engine/errors.ts";
import { readTogether } from "../../engine/read_together.ts";
import { type Storage, Tensor } from "../../engine/tensor.ts";
import { joined, Parameter, writeParts } from "../parameter.ts";
import { checkEntry, matchState, type StateEntry } from "../state_dict.ts";

/** Parameters with their names, as `model.namedParameters()` gives them. */
export type NamedParameters = Iterable<readonly [name: string, parameter: Parameter]>;

/** Parameters that share settings. */
export interface ParameterGroup {
  /** The parameters; each may be in one group only. */
  readonly params: NamedParameters;
  /** Rate of this group where it differs; it follows the optimiser's rate in proportion when that changes. */
  readonly lr?: number;
  /** Factor on the rate, such as a layer-wise decay; default 1. */
  readonly lrScale?: number;
  /** Weight decay where it differs. */
  readonly weightDecay?: number;
}

/** Options of every optimiser. */
export interface OptimizerOptions {
  /** Learning rate. */
  lr: number;
  /** Weight decay of groups that name none. */
  weightDecay?: number;
  /** Scale gradients down to this norm over all parameters in every step; default: do not. */
  maxGradNorm?: number;
}

/** All that an optimiser remembers; with it a run goes on bit by bit. */
export interface OptimizerState {
  /** Class name. */
  readonly kind: string;
  /** Steps that each parameter has taken, by name. */
  readonly steps: Readonly<Record<string, number>>;
  /** Moments, `<parameter>.<moment>`. */
  readonly tensors: ReadonlyMap<string, StateEntry>;
}

/** What has a place in the arenas: a parameter, or one of the parts of a divided one. */
interface Member {
  /** The parameter's. */
  readonly name: string;
  readonly whole: Parameter;
  readonly parameter: Tensor;
  readonly lrScale: number;
  readonly weightDecay: number;
  readonly storage: Storage;
  readonly slot: Tensor;
  /** Steps that the host knows of; `#skips` tells which of them were none. */
  steps: number;
}

/** A parameter's settings in one step. */
export interface SpanSettings {
  /** The rate, scales included. */
  readonly rate: number;
  /** Weight decay. */
  readonly decay: number;
  /** How many steps it has taken, this one included. */
  readonly step: number;
}

/** Windows of the arenas that one launch of an optimiser's kernel covers. */
export interface StepTensors {
  /** Parameters. */
  readonly p: Tensor;
  /** Gradients. */
  readonly g: Tensor;
  /** Moments, in the order in which they were named. */
  readonly moments: readonly Tensor[];
  /** Span of each block. */
  readonly blocks: Tensor;
  /** Four numbers a span. */
  readonly spans: Tensor;
  /** Clip coefficient [1]; there only when gradients are clipped. */
  readonly clip?: Tensor;
  /** State of a `GradScaler`; there only when it may have the step skipped. */
  readonly scaler?: Tensor;
}

/** Where something that belongs to a parameter lies. */
export interface Place {
  /** The whole parameter's. */
  readonly shape: readonly number[];
  /** The tensors that hold it, more than one where it is divided. */
  readonly parts: readonly Tensor[];
}

/** @internal A copy of an optimiser's parameters. */
export interface ParameterCopy {
  /** The parts that kernels run over, parameters and copy, f32 [floats] each. */
  readonly windows: readonly { readonly weights: Tensor; readonly copy: Tensor }[];
  /** Each parameter's place in the copy. */
  readonly places: ReadonlyMap<string, Place>;
  /** Frees the copy. */
  dispose(): void;
}

/** Base of the optimisers. Parameters that do not want a gradient when it is made are left out. */
export abstract class Optimizer {
  /** Rate of the next step; a schedule sets it. */
  lr: number;
  /** Norm over all gradients above which they are scaled down; Infinity: never. */
  maxGradNorm: number;
  /** Where the parameters live. */
  readonly device: Device;
  readonly #members: Member[];
  readonly #moments: readonly string[];
  readonly #arenas: { parameters: Arena; gradients: Arena; moments: Arena[] };
  readonly #blocks: Tensor[];
  readonly #spans: Tensor;
  readonly #active: Tensor;
  readonly #coefficient: Tensor;
  /** Steps that a `GradScaler` had each member skip, once there is one. */
  #skips: Tensor | null = null;
  #clipped = false;

  /**
   * Packs the parameters and makes room for gradients and moments.
   * @throws {OutOfMemoryError} when there is none in the device's budget; nothing is changed then
   * @param moments names of what is kept of each parameter, such as `exp_avg`
   */
  protected constructor(
    params: NamedParameters | readonly ParameterGroup[],
    options: OptimizerOptions,
    moments: readonly string[],
  ) {
    const { lr, weightDecay = 0, maxGradNorm = Infinity } = options;
    const what = this.constructor.name;
    for (const [name, value] of Object.entries({ lr, weightDecay, maxGradNorm })) {
      if (!(value >= 0)) throw new ShapeError(`${what}: ${name} must be at least 0, got ${value}`);
    }
    this.lr = lr;
    this.maxGradNorm = maxGradNorm;
    this.#moments = moments;
    const given = groupsOf(what, params).flatMap((group) => {
      if (group.lr !== undefined && lr === 0) {
        throw new ShapeError(`${what}: a group has lr ${group.lr}, but the optimiser's lr is 0`);
      }
      const lrScale = (group.lrScale ?? 1) * (group.lr === undefined ? 1 : group.lr / lr);
      return group.params.filter(([, parameter]) => parameter.requiresGrad)
        .map(([name, whole]) => ({
          name,
          whole,
          lrScale,
          weightDecay: group.weightDecay ?? weightDecay,
        }));
    });
    checkDistinct(what, given);
    const chosen = given.flatMap((settings) =>
      settings.whole.parts.map((parameter) => ({ ...settings, parameter }))
    );
    const tensors = chosen.map(({ parameter }) => parameter);
    const device = this.device = tensors[0].device;
    const away = chosen.find(({ parameter }) => parameter.device !== device);
    if (away) {
      throw new ShapeError(
        `${what}: "${away.name}" lives on another device than the first parameter`,
      );
    }
    const half = chosen.find(({ parameter }) => parameter.dtype !== "f32");
    if (half) {
      throw new DTypeError(
        `${what}: "${half.name}" is ${half.parameter.dtype}, needs f32: small updates would be lost. Train with ` +
          "autocast() and f32 parameters, and call half() afterwards",
      );
    }
    const layout = layoutFor(device, tensors);
    const bytes = 4 * layout.buffers.reduce((sum, floats) => sum + floats, 0);
    device.expectRoom(
      what,
      ["gradients", ...moments].map((label) => ({ label, shape: [bytes / 4], bytes })),
    );
    const arena = (label: string, called: (name: string) => string): Arena =>
      new Arena(device, layout, label, chosen.map(({ name }) => called(name)));
    this.#arenas = {
      parameters: arena("parameters", (name) => name),
      gradients: arena("gradients", (name) => `gradient of ${name}`),
      moments: moments.map((moment) => arena(moment, (name) => `${moment} of ${name}`)),
    };
    moveInto(this.#arenas.parameters, tensors);
    this.#members = chosen.map((settings, i) => {
      const { parameter } = settings;
      const slot = this.#arenas.gradients.tensor(i, parameter.shape);
      if (parameter.grad !== null) {
        device.copy(parameter.grad, slot);
        parameter.grad = slot;
      }
      if (parameter.gradSlot !== null) releaseOwn(parameter.gradSlot);
      parameter.gradSlot = slot;
      return { ...settings, storage: parameter.storage, slot, steps: 0 };
    });
    this.#blocks = layout.windows.map((window) => {
      const table = blockTable(layout, window);
      return filled(device, "block table", table);
    });
    this.#spans = filled(device, "span table", new Float32Array(4 * tensors.length));
    this.#active = filled(device, "active spans", new Float32Array(tensors.length));
    this.#coefficient = filled(device, "clip coefficient", Float32Array.of(1));
    // As a list of its own: the parameters' old memory is free before the first step needs more.
    void device.flush();
  }

  /** The four numbers of a span that the kernel reads, for a parameter that has a gradient; the last one must be 1. */
  protected abstract spanValues(settings: SpanSettings): readonly [number, number, number, 1];

  /**
   * The same for a step that may be skipped: then the host does not know how many steps there were before, and
   * `correct` finishes the numbers on the GPU. Default: `spanValues`.
   */
  protected unfinishedSpanValues(settings: SpanSettings): readonly [number, number, number, 1] {
    return this.spanValues(settings);
  }

  /**
   * Appends what finishes a table of `unfinishedSpanValues`. Default: nothing.
   * @param spans f32 [4 spans]
   * @param skips u32 [spans]: how many of a parameter's steps were skipped
   */
  protected correct(_spans: Tensor, _skips: Tensor): void {}

  /** Appends the kernel for one window. */
  protected abstract launch(shape: ArenaShape, tensors: StepTensors): void;

  /** Forgets all gradients; the next backward writes over them. */
  zeroGrad(): void {
    for (const { parameter } of this.#members) parameter.grad = null;
  }

  /**
   * Scales all gradients of the coming step so that their norm is at most `maxNorm`. Nothing is read back: the
   * coefficient min(1, maxNorm / (norm + 1e-6)) stays on the GPU, where the step's kernel applies it.
   * @returns the norm before, a scalar that belongs to the current scope
   * @throws {ShapeError} when `maxNorm` is negative or not a number
   * @throws {ScopeError} when a parameter was moved or freed since the optimiser was made
   */
  clipGradNorm(maxNorm: number): Tensor {
    if (!(maxNorm >= 0)) {
      throw new ShapeError(
        `${this.constructor.name}.clipGradNorm(): maxNorm is ${maxNorm}, needs 0 or more`,
      );
    }
    const gradients = this.#gatherGradients("clipGradNorm");
    this.device.write(this.#active, Float32Array.from(gradients, Number));
    const { windows } = this.#arenas.gradients;
    const strips = windows.map((window) => normStrips(window.size));
    const total = strips.reduce((a, b) => a + b, 0);
    // With several windows each launch writes a part; the rest must be defined then.
    const partials = windows.length > 1
      ? this.device.zeros([total])
      : this.device.empty([total], "f32", "norm partials");
    let first = 0;
    windows.forEach((g, w) => {
      const shape = this.#shape(g, false);
      const tensors = { g, blocks: this.#blocks[w], active_spans: this.#active, partials };
      run(normOfStrips(shape, first, total), tensors);
      first += strips[w];
    });
    const norm = this.device.empty([], "f32", "gradient norm");
    const most = Math.min(maxNorm, 3e38); // Infinity is no WGSL value
    run(normOfPartials(total, most), { partials, norm, coefficient: this.#coefficient });
    this.#clipped = true;
    return norm;
  }

  /**
   * One update of all parameters that have a gradient; the others stay as they are and keep their step count.
   * @param scaler given by `GradScaler.step`, whose state may have the kernels change nothing
   * @throws {ScopeError} when a parameter was moved or freed since the optimiser was made
   */
  step(scaler?: Tensor): void {
    const gradients = this.#gatherGradients("step");
    if (!this.#clipped && this.maxGradNorm < Infinity) this.clipGradNorm(this.maxGradNorm);
    const clip = this.#clipped;
    this.#clipped = false;
    this.device.writeEachStep(this.#spans, () => this.#nextSpans(gradients, scaler !== undefined));
    if (scaler !== undefined) {
      const count = this.#members.length;
      // Its memory begins as zeros: a write would belong to a captured step and be repeated with it.
      const skips = this.#skips ??= new Tensor(this.device, [count], "u32", {
        buffer: this.device.persistent(count, "skipped steps"),
        offset: 0,
      });
      run(countSkips(count), { state: scaler, active_spans: this.#active, skips });
      this.correct(this.#spans, skips);
    }
    const { parameters, gradients: grads, moments } = this.#arenas;
    parameters.windows.forEach((p, w) => {
      this.launch({ ...this.#shape(p, clip), skip: scaler !== undefined }, {
        p,
        g: grads.windows[w],
        moments: moments.map((arena) => arena.windows[w]),
        blocks: this.#blocks[w],
        spans: this.#spans,
        ...(clip && { clip: this.#coefficient }),
        ...(scaler && { scaler }),
      });
    });
  }

  /** @internal Divides the gradients of the coming step by the scale in a `GradScaler`'s state; see there. */
  unscale(state: Tensor): void {
    const gradients = this.#gatherGradients("unscale");
    this.device.write(this.#active, Float32Array.from(gradients, Number));
    this.#arenas.gradients.windows.forEach((g, w) => {
      const tensors = { g, blocks: this.#blocks[w], active_spans: this.#active, state };
      run(unscaleGradients(this.#shape(g, false)), tensors);
    });
  }

  /** Counts a step of those that have a gradient and fills the span table; asked again at each replay. */
  #nextSpans(gradients: readonly boolean[], skippable: boolean): Float32Array {
    const table = new Float32Array(4 * this.#members.length);
    this.#members.forEach((member, i) => {
      if (!gradients[i]) return;
      member.steps++;
      const rate = this.lr * member.lrScale;
      const settings = { rate, decay: member.weightDecay, step: member.steps };
      const values = skippable ? this.unfinishedSpanValues(settings) : this.spanValues(settings);
      table.set(values, 4 * i);
    });
    return table;
  }

  /** Who has a gradient; one that was put elsewhere by hand is copied to its place. */
  #gatherGradients(method: string): boolean[] {
    return this.#members.map(({ name, whole, parameter, storage, slot }) => {
      if (!whole.parts.includes(parameter) || parameter.storage !== storage) {
        throw new ScopeError(
          `${this.constructor.name}.${method}(): parameter "${name}" was moved since this optimiser ` +
            "was made, by another one or by to(); make a new optimiser and load its state",
        );
      }
      if (parameter.grad === null) return false;
      if (parameter.grad !== slot) {
        this.device.copy(parameter.grad, slot);
        parameter.grad = slot;
      }
      return true;
    });
  }

  #shape(window: Tensor, clip: boolean): ArenaShape {
    return { floats: window.size, spans: this.#members.length, clip };
  }

  // ---- state

  /** What the optimiser remembers, moments read back in one go. */
  async state(): Promise<OptimizerState> {
    const skips = this.#skips?.data();
    const tensors = await readPlaces(this.#places());
    const skipped = await skips ?? [];
    const steps = Object.fromEntries(
      this.#members.map(({ name, steps }, i) => [name, steps - (skipped[i] ?? 0)]),
    );
    return { kind: this.constructor.name, steps, tensors };
  }

  /**
   * Goes on where the optimiser of `state` stood.
   * @throws {CheckpointError} when it is another optimiser's, or of other parameters; nothing is changed then
   */
  loadState(state: OptimizerState): void {
    const what = `${this.constructor.name}.loadState()`;
    if (state.kind !== this.constructor.name) {
      throw new CheckpointError(
        `${what}: this is the state of ${state.kind}; make the optimiser that saved it, or start this one anew`,
      );
    }
    const places = this.#places();
    for (const [name, entry] of state.tensors) checkEntry(what, name, entry);
    matchState(what, places, new Map([...state.tensors].map(([n, { shape }]) => [n, shape])));
    for (const { name } of this.#members) {
      const count = state.steps[name];
      if (!Number.isSafeInteger(count) || count < 0) {
        throw new CheckpointError(`${what}: "${name}" has no whole number of steps, but ${count}`);
      }
    }
    for (const member of this.#members) member.steps = state.steps[member.name];
    if (this.#skips) this.device.write(this.#skips, new Uint32Array(this.#skips.size));
    for (const [name, { parts }] of places) writeParts(parts, state.tensors.get(name)!.data);
  }

  /** The moments by name: the shape of the whole parameter, and the tensors that hold it. */
  #places(): Map<string, Place> {
    const each = this.#arenas.moments.map((arena) => this.#placesIn(arena));
    const names = new Set(this.#members.map(({ name }) => name));
    return new Map(
      [...names].flatMap((name) =>
        this.#moments.map((moment, k) => [`${name}.${moment}`, each[k].get(name)!] as const)
      ),
    );
  }

  /** Each parameter's place in an arena of the layout. */
  #placesIn(arena: Arena): Map<string, Place> {
    const places = new Map<string, { shape: readonly number[]; parts: Tensor[] }>();
    this.#members.forEach(({ name, whole: { shape }, parameter }, i) => {
      const place = places.get(name) ?? { shape, parts: [] };
      place.parts.push(arena.tensor(i, parameter.shape));
      places.set(name, place);
    });
    return places;
  }

  /** @internal A copy of the parameters with their layout; for averages of weights. */
  parameterCopy(label: string): ParameterCopy {
    const { parameters } = this.#arenas;
    const names = this.#members.map(({ name }) => `${label} of ${name}`);
    const arena = new Arena(this.device, parameters.layout, label, names);
    const windows = arena.windows.map((copy, w) => ({ weights: parameters.windows[w], copy }));
    for (const { weights, copy } of windows) this.device.copy(weights, copy);
    return { windows, places: this.#placesIn(arena), dispose: () => arena.dispose() };
  }

  /** Frees gradients and moments; the parameters stay. */
  dispose(): void {
    const { gradients, moments } = this.#arenas;
    for (const arena of [gradients, ...moments]) arena.dispose();
    for (const tensor of [...this.#blocks, this.#spans, this.#active, this.#coefficient]) {
      tensor.dispose();
    }
    this.#skips?.dispose();
    for (const { parameter, slot } of this.#members) {
      if (parameter.gradSlot === slot) parameter.grad = parameter.gradSlot = null;
    }
  }
}

/** @internal The values in some places, read back in one go. */
export async function readPlaces(
  places: ReadonlyMap<string, Place>,
): Promise<Map<string, StateEntry>> {
  const values = await readTogether([...places.values()].flatMap(({ parts }) => parts));
  return new Map(
    [...places].map(([name, { shape, parts }]) => [
      name,
      { shape, data: joined(values.splice(0, parts.length)) },
    ]),
  );
}

/** The groups of what an optimiser was given; pairs of name and parameter are one group. */
function groupsOf(
  what: string,
  params: NamedParameters | readonly ParameterGroup[],
): (Omit<ParameterGroup, "params"> & { params: Pair[] })[] {
  const members = listOf(what, params);
  const groups = members.filter(isGroup);
  return (groups.length > 0 ? groups : [{ params: members as NamedParameters }])
    .map((group) => ({ ...group, params: listOf(what, group.params).map((it) => pair(what, it)) }));
}

type Pair = readonly [name: string, parameter: Parameter];

function listOf(what: string, members: Iterable<unknown>): unknown[] {
  if (typeof members?.[Symbol.iterator] === "function") return [...members];
  throw new ShapeError(`${what}: pass model.namedParameters() or a list of groups, not ${members}`);
}

function isGroup(member: unknown): member is ParameterGroup {
  return typeof member === "object" && member !== null && "params" in member;
}

function pair(what: string, member: unknown): Pair {
  const [name, parameter] = Array.isArray(member) ? member : [];
  if (typeof name === "string" && parameter instanceof Parameter) return [name, parameter];
  throw new ShapeError(
    `${what}: parameters are pairs [name, parameter], such as model.namedParameters() gives, not ${
      member instanceof Parameter ? "a parameter without its name" : String(member)
    }`,
  );
}

function checkDistinct(
  what: string,
  chosen: readonly { name: string; whole: Parameter }[],
): void {
  if (chosen.length === 0) {
    throw new ShapeError(
      `${what}: there is no parameter that wants a gradient; pass namedParameters() of a model that is not frozen`,
    );
  }
  const names = new Set<string>(), parameters = new Set<Parameter>();
  for (const { name, whole } of chosen) {
    if (names.has(name) || parameters.has(whole)) {
      throw new ShapeError(`${what}: parameter "${name}" is given twice`);
    }
    names.add(name);
    parameters.add(whole);
  }
}

/** A small tensor that lives as long as its optimiser. */
function filled(
  device: Device,
  label: string,
  data: Float32Array | Uint32Array,
): Tensor {
  const dtype = data instanceof Uint32Array ? "u32" : "f32";
  const buffer = device.persistent(data.length, label);
  const tensor = new Tensor(device, [data.length], dtype, { buffer, offset: 0 });
  device.write(tensor, data);
  return tensor;
}
