/** Training and inference in half: the scaler's every move, loss curves beside f32, capture, resume, `half()`. */
import {
  autocast,
  CheckpointError,
  type Device,
  DTypeError,
  noGrad,
  ScopeError,
  ShapeError,
  type Tensor,
} from "../../engine/mod.ts";
import { mul, sum } from "../../engine/ops/mod.ts";
import { VisionTransformer, VisionTransformerMoe } from "../../models/mod.ts";
import {
  AdamW,
  crossEntropy,
  estimate,
  GradScaler,
  type GradScalerOptions,
  type Module,
  type Optimizer,
  Parameter,
  SGD,
  train,
  type TrainBatch,
} from "../../nn/mod.ts";
import { testValues } from "../gradcheck.ts";
import { halfTest, roundToHalf } from "../half_harness.ts";
import {
  assert,
  assertClose,
  assertEquals,
  assertThrows,
  gpuTest,
  OWN_DEVICE,
} from "../harness.ts";

async function parameter(device: Device, values: readonly number[]): Promise<Parameter> {
  const p = new Parameter([values.length], () => Float32Array.from(values));
  p.place(device, { buffer: device.persistent(values.length, "p"), offset: 0 });
  device.write(p, Float32Array.from(values));
  await device.sync();
  return p;
}

/** One step of p towards a gradient that the loss gives it, times the scale. */
function stepTowards(
  p: Parameter,
  gradient: Tensor,
  scaler: GradScaler,
  optimizer: Optimizer,
): void {
  optimizer.zeroGrad();
  scaler.scale(sum(mul(p, gradient))).backward();
  scaler.step(optimizer);
  scaler.update();
}

for (const kind of ["AdamW", "SGD"] as const) {
  gpuTest(`GradScaler: ${kind} skips steps that are not finite, exactly`, async (device) => {
    const p = await parameter(device, [1, 2, 3]), q = await parameter(device, [1, 2, 3]);
    const make = (p: Parameter) =>
      kind === "AdamW"
        ? new AdamW([["p", p]], { lr: 0.1 })
        : new SGD([["p", p]], { lr: 0.1, momentum: 0.9 });
    const optimizer = make(p), plain = make(q);
    const scaler = new GradScaler(device, { initScale: 64, growthInterval: 3 });
    const good = [0.5, -1, 2];
    const seen: [number, number, number][] = [];
    const readbacks = device.stats.readbacks;
    for (const [k, bad] of [0, 0, NaN, 0, Infinity, -Infinity, 0, 0, 0, 0].entries()) {
      const gradient = Float32Array.from(good);
      if (bad !== 0) gradient[k % 3] = bad;
      await device.step(() => stepTowards(p, device.tensor(gradient), scaler, optimizer));
    }
    assertEquals(device.stats.readbacks, readbacks, "nothing is read back");
    const { scale, growthTracker, skipped } = await scaler.state();
    seen.push([scale, growthTracker, skipped]);
    // 64, 64 | /2 | 32 | /2 | /2 | 8, 8, 16 after the third | 16
    assertEquals(seen, [[16, 1, 3]]);
    for (let k = 0; k < 7; k++) {
      await device.step(() => {
        plain.zeroGrad();
        sum(mul(q, device.tensor(good))).backward();
        plain.step();
      });
    }
    // AdamW's bias corrections are made on the GPU where a step may be skipped, and in double precision where not.
    const atol = kind === "SGD" ? 0 : 1e-6;
    assertClose(await p.data(), await q.data(), { atol, name: "as if none had been skipped" });
    assertEquals((await optimizer.state()).steps, { p: 7 });
    const before = await p.data(), state = await optimizer.state();
    await device.step(() => stepTowards(p, device.full([3], NaN), scaler, optimizer));
    assertEquals(await p.data(), before);
    for (const [name, { data }] of (await optimizer.state()).tensors) {
      assertEquals(data, state.tensors.get(name)!.data, name);
    }
    optimizer.dispose();
    plain.dispose();
    scaler.dispose();
  });
}

gpuTest(
  "GradScaler: gradients are unscaled before they are clipped or looked at",
  async (device) => {
    const p = await parameter(device, [0, 0]);
    const optimizer = new SGD([["p", p]], { lr: 1 });
    const scaler = new GradScaler(device, { initScale: 1024 });
    const [norm, gradient] = await device.step(() => {
      optimizer.zeroGrad();
      scaler.scale(sum(mul(p, device.tensor([3, 4])))).backward();
      scaler.unscale(optimizer);
      const reads = [optimizer.clipGradNorm(1).data(), p.grad!.data()];
      scaler.step(optimizer);
      scaler.update();
      return reads;
    });
    assertEquals(await norm, Float32Array.of(5));
    assertEquals(await gradient, Float32Array.of(3, 4));
    assertClose(await p.data(), [-0.6, -0.8], { atol: 1e-6 });
    optimizer.dispose();
  },
);

gpuTest("GradScaler: a gradient left by an older step does not count", async (device) => {
  const p = await parameter(device, [1]), q = await parameter(device, [1]);
  const optimizer = new SGD([["p", p], ["q", q]], { lr: 0.5 });
  const scaler = new GradScaler(device, { initScale: 2 });
  await device.step(() => stepTowards(q, device.full([1], Infinity), scaler, optimizer));
  await device.step(() => stepTowards(p, device.full([1], 1), scaler, optimizer));
  assertEquals([...await p.data(), ...await q.data()], [0.5, 1]);
  assertEquals(await scaler.state(), { scale: 1, growthTracker: 1, skipped: 1 });
  optimizer.dispose();
});

gpuTest("GradScaler: the scale stays finite, and its state goes on bit by bit", async (device) => {
  const scaler = new GradScaler(device, { initScale: 2 ** 127, growthInterval: 1 });
  await device.step(() => scaler.update());
  assertEquals(await scaler.state(), { scale: 2 ** 127, growthTracker: 0, skipped: 0 });
  const state = { scale: 3, growthTracker: 1999, skipped: 70_000 };
  const other = new GradScaler(device);
  assertEquals((await other.state()).scale, 65536);
  other.loadState(state);
  assertEquals(await other.state(), state);
  await device.step(() => other.update());
  assertEquals(await other.state(), { scale: 6, growthTracker: 0, skipped: 70_000 });
  assertThrows(() => other.loadState({ ...state, scale: 0 }), CheckpointError, "scale is 0");
  assertThrows(() => other.loadState({ ...state, skipped: 0.5 }), CheckpointError, "skipped");
  const bad: GradScalerOptions[] = [
    { initScale: 1e39 },
    { growthFactor: 1 },
    { backoffFactor: 1 },
    { growthInterval: 0 },
  ];
  for (const options of bad) assertThrows(() => new GradScaler(device, options), ShapeError);
});

gpuTest("GradScaler: one step of one optimiser between updates", async (device) => {
  const p = await parameter(device, [1]), q = await parameter(device, [1]);
  const one = new SGD([["p", p]], { lr: 1 }), two = new SGD([["q", q]], { lr: 1 });
  const scaler = new GradScaler(device);
  await device.step(() => {
    scaler.scale(sum(mul(p, q))).backward();
    scaler.unscale(one);
    assertThrows(() => scaler.unscale(one), ScopeError, "already");
    assertThrows(() => scaler.step(two), ScopeError, "a scaler of its own");
    scaler.step(one);
    assertThrows(() => scaler.step(one), ScopeError, "once a step");
    scaler.update();
    scaler.step(two);
  });
});

const SIZES = {
  imgSize: 12,
  patchSize: 4,
  inChans: 1,
  embedDim: 24,
  depth: 2,
  numHeads: 3,
  numClasses: 4,
  dropPathRate: 0.1,
};
const MOE = {
  ...SIZES,
  moeLayers: [1],
  coreExperts: 4,
  univExperts: 6,
  numExperts: 5,
  addNoise: true,
};
type Classifier = Module & { forward(x: Tensor): Tensor };
const MODELS: Readonly<Record<string, () => Classifier>> = {
  ViT: () => new VisionTransformer(SIZES),
  "Soft MoE ViT": () => new VisionTransformerMoe({ ...MOE, ifDualpath: false }),
  "SpheroMoE ViT": () => new VisionTransformerMoe({ ...MOE, slotLayernorm: true }),
};

const BATCH = 16;
/** Images whose class is the quarter that is brighter, with noise. */
function batch(step: number): [TrainBatch[0], TrainBatch[1]] {
  const noise = testValues(BATCH * 144, step + 1), labels = new Uint32Array(BATCH);
  const images = noise.map((v, i) => {
    const image = Math.floor(i / 144), row = Math.floor(i % 144 / 12), column = i % 12;
    labels[image] = (7 * image + step) % 4;
    return v + (2 * Number(row > 5) + Number(column > 5) === labels[image] ? 2 : 0);
  });
  return [[images, [BATCH, 1, 12, 12]], [labels, [BATCH]]];
}

interface Run {
  readonly model: Classifier;
  readonly optimizer: AdamW;
  readonly scaler: GradScaler | undefined;
}

async function newRun(device: Device, make: () => Classifier, half: boolean): Promise<Run> {
  device.seed = 3;
  const model = await make().to(device, { seed: 1 });
  return {
    model,
    // eps: a gradient that is 0 but for rounding, as that of a key's bias, moves nothing
    optimizer: new AdamW(model.namedParameters(), { lr: 2e-3, maxGradNorm: 1, eps: 1e-3 }),
    scaler: half ? new GradScaler(device, { initScale: 1024, growthInterval: 8 }) : undefined,
  };
}

/** Trains from a step to another; returns the losses. */
async function trainFor(
  device: Device,
  { model, optimizer, scaler }: Run,
  [startStep, steps]: readonly [number, number],
  capture: boolean,
): Promise<number[]> {
  async function* batches(): AsyncGenerator<TrainBatch> {
    for (let step = startStep; step < steps; step++) yield batch(step);
  }
  return await train({
    device,
    model,
    optimizer,
    scaler,
    startStep,
    steps,
    capture,
    batches: batches(),
    loss: (images, labels) =>
      crossEntropy(autocast(() => model.forward(images), { enabled: !!scaler }), labels),
  });
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

for (const [name, make] of Object.entries(MODELS)) {
  halfTest(`a ${name} learns in half as in f32`, async (device) => {
    const single = await newRun(device, make, false), half = await newRun(device, make, true);
    const want = await trainFor(device, single, [0, 30], true);
    const got = await trainFor(device, half, [0, 30], true);
    // It learns at all, from ln 4. A half rounds by 2^-11 at each store; the largest difference seen is 0.0102. Where only
    // the first weights are rounded to half and all else is f32, it is 0.0034.
    assert(mean(want.slice(-5)) < 0.7 * want[0], `${want}`);
    assertClose(got, want, { atol: 0.02, name: "losses in half" });
    assert(got.some((loss, i) => loss !== want[i]), "halves leave no trace");
    const { scale, skipped } = await half.scaler!.state();
    assertEquals([scale, skipped], [2 ** 13, 0]);
    for (const [key, p] of half.model.namedParameters()) {
      assertEquals([p.dtype, p.gradSlot?.dtype], ["f32", "f32"], key);
    }
    for (const { optimizer } of [single, half]) optimizer.dispose();
  }, { timeout: 60 });
}

halfTest(
  "a scale that is too large is found while training, and the run goes on",
  async (device) => {
    const scaler = new GradScaler(device, { initScale: 2 ** 40 });
    const run = { ...await newRun(device, MODELS.ViT, true), scaler };
    const losses = await trainFor(device, run, [0, 30], true);
    const { scale, skipped } = await scaler.state();
    assert(skipped >= 15 && scale === 2 ** (40 - skipped), `${skipped} skipped, scale ${scale}`);
    assert(losses.every(Number.isFinite) && losses.at(-1)! < losses[0], `${losses}`);
    run.optimizer.dispose();
  },
);

/** Everything a run is. */
async function valuesOf(
  { model, optimizer, scaler }: Run,
): Promise<Map<string, ArrayLike<number>>> {
  const { tensors } = await optimizer.state();
  const all = [...await model.stateDict(), ...tensors];
  return new Map<string, ArrayLike<number>>([
    ...all.map(([name, { data }]) => [name, data] as const),
    ["scaler", Object.values(await scaler!.state())],
  ]);
}

halfTest(
  "captured steps in half are the eager ones, and a run resumes, bit for bit",
  async (device) => {
    const make = MODELS["SpheroMoE ViT"];
    const eager = await newRun(device, make, true), captured = await newRun(device, make, true);
    // 2^24: some steps at the beginning are skipped
    for (const run of [eager, captured]) {
      run.scaler!.loadState({ scale: 2 ** 24, growthTracker: 3, skipped: 0 });
    }
    const want = await trainFor(device, eager, [0, 8], false);
    const first = await trainFor(device, captured, [0, 5], true);
    const resumed = await newRun(device, make, true);
    resumed.model.loadStateDict(await captured.model.stateDict());
    resumed.optimizer.loadState(await captured.optimizer.state());
    resumed.scaler!.loadState(await captured.scaler!.state());
    const rest = await trainFor(device, resumed, [5, 8], true);
    assertEquals([...first, ...rest], want);
    const wanted = await valuesOf(eager);
    for (const [name, values] of await valuesOf(resumed)) {
      assertEquals(
        values,
        wanted.get(name),
        name,
      );
    }
    assert((await eager.scaler!.state()).skipped > 0, "nothing was skipped");
    for (const { optimizer } of [eager, captured, resumed]) optimizer.dispose();
  },
  { timeout: 60 },
);

for (const [name, make] of Object.entries(MODELS)) {
  halfTest(`half() of a ${name} answers as f32 does, with half the memory`, async (device) => {
    const model = await make().to(device, { seed: 1 });
    model.eval();
    device.seed = 3;
    const [[images, shape]] = batch(0);
    const answer = (x: Tensor) => noGrad(() => model.forward(x)).to("f32").data();
    const { stepIndex } = device;
    const want = await device.step(() => answer(device.tensor(images, shape)));
    const state = await model.stateDict(), before = device.memory.liveBytes;
    assertEquals(model.half(), model);
    await device.sync();
    const bytes = model.parameters().reduce((sum, { size }) => sum + 4 * size, 0);
    const freed = before - device.memory.liveBytes;
    assert(freed > 0.45 * bytes && freed <= bytes / 2, `${freed} of ${bytes} bytes freed`);
    device.stepIndex = stepIndex; // the same noise
    const got = await device.step(() => answer(device.tensor(images, shape).to("f16")));
    // Logits of about 1, through two blocks of a dozen stores each.
    assertClose(got, want, { atol: 0.01, name: "logits" });
    for (const [key, { data }] of await model.stateDict()) {
      assertEquals(data, roundToHalf(state.get(key)!.data), key);
    }
    const x = device.zeros(shape);
    assertThrows(() => model.forward(x), DTypeError, 'cast one with to("f32"), or');
    assertThrows(() => new AdamW(model.namedParameters()), ShapeError, "no parameter that wants");
    model.parameters()[0].requiresGrad = true;
    assertThrows(() => new AdamW(model.namedParameters()), DTypeError, "Train with autocast()");
    model.loadStateDict(state);
    assertEquals(
      (await model.stateDict()).get("head.bias")!.data,
      roundToHalf(state.get("head.bias")!.data),
    );
    model.dispose();
  }, OWN_DEVICE);
}

halfTest("estimate() foresees the peak of training in half, which is lower", async (device) => {
  const make = () => new VisionTransformer({ ...SIZES, imgSize: 24, depth: 1 });
  const images = new Float32Array(16 * 24 ** 2), labels = new Uint32Array(16);
  const one: TrainBatch = [[images, [16, 1, 24, 24]], [labels, [16]]];
  const loss = (model: Classifier, half: boolean) => (x: Tensor, y: Tensor) =>
    crossEntropy(autocast(() => model.forward(x), { enabled: half }), y);
  const foreseen: number[] = [];
  for (const half of [false, true]) {
    const model = make(), optimizer = (model: Module) => new AdamW(model.namedParameters());
    const { peakBytes } = await estimate(model, one, {
      device,
      training: { loss: loss(model, half), optimizer },
    });
    foreseen.push(peakBytes);
  }
  const model = await make().to(device), optimizer = new AdamW(model.namedParameters());
  const scaler = new GradScaler(device);
  async function* batches(): AsyncGenerator<TrainBatch> {
    yield one;
  }
  const run = { device, model, optimizer, scaler, steps: 1, loss: loss(model, true) };
  await train({ ...run, batches: batches() });
  const peak = device.memory.peakBytes;
  assert(Math.abs(foreseen[1] - peak) < 0.02 * peak, `${foreseen[1]} foreseen, ${peak} taken`);
  // parameters, their gradients and moments stay f32: the rest is little more than half
  assert(foreseen[1] < 0.7 * foreseen[0], `${foreseen}`);
  optimizer.dispose();
}, { device: {} });
