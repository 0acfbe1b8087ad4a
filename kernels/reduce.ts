/**
 * Sum and maximum over one axis of [outer, n, inner].
 *
 * Math    y[o, c] = scale * sum_k x[o, k, c]         (+ y[o, c] where it accumulates)
 *         y[o, c] = max_k x[o, k, c]
 *         The gradients need no kernel of their own: that of a sum repeats dOut along n, that of a maximum gives each of
 *         the entries equal to it an even share (both are strided maps, see strided_map.ts).
 * Shapes  x [outer, n, inner] -> y [outer, inner], or [outer, splits, inner] from a pass that another one follows. f32.
 * Work    serial     One invocation an output walks its entries.
 *         workgroup  64 or 256 invocations share an output (inner = 1), neighbours reading neighbours, and then add up
 *                    their parts in a tree. For GPUs and long rows, where one invocation a row would stride.
 *         With few outputs and a long n either would leave the machine idle and make long, inexact chains of additions.
 *         Then a first serial pass makes `splits` partial results an output, and those are reduced like any other view.
 *         n is cut into splits / lanes chunks, each read by `lanes` neighbouring splits in turn: side by side for one
 *         load instruction, and in one sweep through memory for the caches and the address translation of a CPU.
 * Memory  Each entry is read once for one operation: bound by memory. vec4 loads along columns, or along the row. Serial
 *         neighbours own neighbouring columns, so loads are coalesced where inner is large.
 * Order   The split and the tree depend on shape and adapter class alone, so results are equal from run to run.
 * @module
 */
import { type AxisLanes, axisLanes, type AxisView, viewInLanes } from "./axis_view.ts";
import { ceilDiv, defineProgram, foldWorkgroups, type Kernel, memoize } from "./kernel.ts";
import { FOLDED_GROUP, GROUP_ARGUMENTS, MAX_F32, workgroupReduce } from "./snippets.ts";
import type { Target } from "./target.ts";
import { wgsl } from "./wgsl.ts";

/** What is computed over the axis. */
export type ReduceFunction = "sum" | "max";

/** What happens to a sum after the last addition. */
export interface ReduceFinish {
  /** Factor, such as 1/n for a mean; default 1. */
  readonly scale?: number;
  /** 1 adds to what y holds, 0 overwrites it; left out: y is only written. */
  readonly accumulate?: 0 | 1;
}

/** One pass over [outer, n, inner]. */
export interface ReducePass {
  /** What it reads. */
  readonly view: AxisView;
  /** Who owns an output. */
  readonly variant: "serial" | "workgroup";
  /** Above 1 it writes [outer, splits, inner], else [outer, inner]. */
  readonly splits: number;
  /** Splits that share a chunk of n; divides `splits`. */
  readonly lanes: number;
}

const SIZE = 64;

interface Config {
  readonly f: ReduceFunction;
  /** What one load takes. */
  readonly wide: AxisLanes;
  readonly into: boolean;
}

const COMBINE = { sum: "a + b", max: "max(a, b)" };
const FIRST = { sum: "0.0", max: `-${MAX_F32}` };
const ACROSS = {
  sum: "(acc.x + acc.y) + (acc.z + acc.w)",
  max: "max(max(acc.x, acc.y), max(acc.z, acc.w))",
};

/** Lines that both programs share: types and how a finished value is stored. */
function prelude({ f, wide, into }: Config): string {
  return wgsl`
alias T = ${wide === "one" ? "f32" : "vec4<f32>"}; // what one load takes
alias R = ${wide === "across" ? "vec4<f32>" : "f32"}; // one result
fn combine(a: T, b: T) -> T { return ${COMBINE[f]}; }
fn across(acc: T) -> R { return ${wide === "along" ? ACROSS[f] : "acc"}; }
fn store(i: u32, value: R) {
  #if ${into}
  // select, not a product with accumulate: what is overwritten may be NaN
  y[i] = value * params.scale + select(R(0.0), y[i], params.accumulate == 1u);
  #else
  y[i] = value * params.scale;
  #endif
}`;
}

function declared({ wide, into }: Config) {
  return {
    params: {
      outputs: "u32",
      n: "u32",
      inner: "u32",
      splits: "u32",
      lanes: "u32",
      chunk: "u32",
      scale: "f32",
      ...(into ? { accumulate: "u32" } as const : {}),
    },
    bindings: {
      x: wide === "one" ? "read f32" : "read vec4<f32>",
      y: wide === "across"
        ? into ? "update vec4<f32>" : "write vec4<f32>"
        : into
        ? "update f32"
        : "write f32",
    },
  } as const;
}

const serial = memoize((config: Config) =>
  defineProgram({
    name: `reduce_${config.f}`,
    variant: `serial, ${config.wide}`,
    ...declared(config),
    workgroupSize: SIZE,
    code: wgsl`
const PART = 32u;
${prelude(config)}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let i = (${FOLDED_GROUP}) * WORKGROUP_SIZE + t;
  if (i >= params.outputs) { return; }
  let column = i % params.inner;
  let split = i / params.inner % params.splits;
  let o = i / params.inner / params.splits;
  let begin = split / params.lanes * params.chunk;
  let end = min(begin + params.chunk, params.n);
  var acc = T(${FIRST[config.f]});
  for (var k = begin + split % params.lanes; k < end;) {
    // sums of sums: the rounding error grows with n / PART + PART, not with n
    var part = T(${FIRST[config.f]});
    for (var j = 0u; j < PART && k < end; j++) {
      part = combine(part, x[(o * params.n + k) * params.inner + column]);
      k += params.lanes;
    }
    acc = combine(acc, part);
  }
  store(i, across(acc));
}`,
  })
);

const shared = memoize(({ size, ...config }: Config & { size: number }) =>
  defineProgram({
    name: `reduce_${config.f}`,
    variant: `workgroup ${size}, ${config.wide}`,
    ...declared(config),
    workgroupSize: size,
    workgroupBytes: 4 * size,
    code: wgsl`
${prelude(config)}
${workgroupReduce("tree", size, COMBINE[config.f])}
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(${GROUP_ARGUMENTS}) {
  let o = ${FOLDED_GROUP};
  if (o >= params.outputs) { return; } // the whole workgroup leaves
  var acc = T(${FIRST[config.f]});
  for (var k = t; k < params.n; k += WORKGROUP_SIZE) { acc = combine(acc, x[o * params.n + k]); }
  let value = tree(across(acc), t);
  if (t == 0u) { store(o, value); }
}`,
  })
);

/**
 * Invocations that fill an adapter, loads below which a second dispatch costs more than it saves, and how many
 * neighbouring invocations should read side by side.
 */
const FULL = {
  software: { invocations: 512, tiny: 16384, neighbours: 8 },
  integrated: { invocations: 8192, tiny: 2048, neighbours: 64 },
  discrete: { invocations: 32768, tiny: 2048, neighbours: 64 },
};

/** The most loads of one invocation; a longer n is split even where the outputs alone would fill the machine. */
const LONGEST_CHAIN = 1024;

/** As many loads one after the other are never worth another dispatch. */
const SHORT_CHAIN = 128;

/** The longest row that one workgroup reads in about the time another dispatch would take. */
const LONGEST_SHARED_ROW = 32768;

/** The passes that reduce a view on an adapter; more than one where outputs are few and n is long. */
export function planReduce(view: AxisView, target: Target): ReducePass[] {
  const { invocations, tiny, neighbours } = FULL[target.adapterClass];
  const { outer, n, inner } = viewInLanes(view, axisLanes(view));
  const owners = outer * inner;

  const long = target.adapterClass !== "software" && view.inner === 1 && view.n >= 32;
  if (long && (view.n <= LONGEST_SHARED_ROW || owners * SIZE >= invocations)) {
    return [{ view, variant: "workgroup", splits: 1, lanes: 1 }];
  }
  const short = n <= LONGEST_CHAIN;
  if ((short && (owners >= invocations || owners * n <= tiny)) || n <= SHORT_CHAIN) {
    return [{ view, variant: "serial", splits: 1, lanes: 1 }];
  }
  const wanted = Math.max(ceilDiv(invocations, owners), ceilDiv(n, LONGEST_CHAIN));
  // 8 loads a split at least, or the next pass would do the work; for columns, if possible, so few splits that the next
  // pass is the last; a multiple of 4, so that it can use vec4 loads
  const most = n <= SHORT_CHAIN ** 2 && view.inner > 1 ? SHORT_CHAIN : n / 8;
  const few = 4 * Math.max(1, Math.floor(Math.min(wanted, most) / 4));
  const lanes = inner >= neighbours ? 1 : Math.min(neighbours, few);
  const splits = few - few % lanes;
  const rest = { outer: view.outer, n: splits, inner: view.inner };
  return [{ view, variant: "serial", splits, lanes }, ...planReduce(rest, target)];
}

/** One pass. Bindings: x [outer, n, inner], y [outer, splits, inner] (with splits 1: [outer, inner]). */
export function reduce(f: ReduceFunction, pass: ReducePass, finish: ReduceFinish = {}): Kernel {
  const { view, variant, splits, lanes } = pass;
  const wide = axisLanes(view);
  const { outer, n, inner } = viewInLanes(view, wide);
  const outputs = outer * splits * inner;
  const grouped = variant === "workgroup";
  const config = { f, wide, into: finish.accumulate !== undefined };
  const x = view.outer * view.n * view.inner, y = view.outer * splits * view.inner;
  return {
    program: grouped ? shared({ ...config, size: n >= 1024 ? 256 : 64 }) : serial(config),
    params: {
      outputs,
      n,
      inner,
      splits,
      lanes,
      chunk: ceilDiv(n, splits / lanes),
      scale: finish.scale ?? 1,
      accumulate: finish.accumulate ?? 0,
    },
    sizes: { x, y },
    workgroups: foldWorkgroups(grouped ? outputs : ceilDiv(outputs, SIZE)),
    flops: x,
    bytes: 4 * (x + y * (1 + (finish.accumulate ?? 0))),
    reference: ({ x, y }) => reduceReference(f, x, view, { splits, lanes, ...finish, y }),
  };
}

/** The plain loop of a pass; `y` is what an accumulating sum adds to. */
export function reduceReference(
  f: ReduceFunction,
  x: ArrayLike<number>,
  view: AxisView,
  { splits = 1, lanes = 1, scale = 1, accumulate = 0, y: before }:
    & Partial<Pick<ReducePass, "splits" | "lanes">>
    & ReduceFinish
    & { y?: ArrayLike<number> } = {},
): { y: Float64Array } {
  const { outer, n, inner } = view, unit = axisLanes(view) === "along" ? 4 : 1;
  const chunk = ceilDiv(n / unit, splits / lanes);
  const y = new Float64Array(outer * splits * inner).fill(f === "sum" ? 0 : -Infinity);
  for (let i = 0; i < outer * n * inner; i++) {
    const o = Math.floor(i / (n * inner)), column = i % inner;
    const k = Math.floor(Math.floor(i / inner) % n / unit); // counted in what one load takes
    const split = Math.floor(k / chunk) * lanes + k % chunk % lanes;
    const at = (o * splits + split) * inner + column;
    y[at] = f === "sum" ? y[at] + x[i] : Math.max(y[at], x[i]);
  }
  return { y: y.map((value, i) => scale * value + (accumulate ? before![i] : 0)) };
}
