/**
 * Experts whose tensors are larger than the device binds: computed, trained, saved and loaded range by range. The limit
 * is set low here, so that a small model meets it.
 *
 * Logits and gradients are compared to rounding, not bit by bit: which matmul variant runs, and so the order of its
 * additions, depends on how many experts a launch has; the gradient norm adds up other strips.
 */
import {
  crossEntropy,
  type Device,
  LimitError,
  mul,
  noGrad,
  requestDevice,
  ShapeError,
  slice,
  type Tensor,
} from "../../mod.ts";
import { groupedLinear } from "../../engine/ops/grouped_linear.ts";
import { readSafetensors, writeSafetensors } from "../../io/mod.ts";
import { namedArray, toFloat32 } from "../../io/mod.ts";
import { type MoeVitOptions, VisionTransformerMoe } from "../../models/mod.ts";
import { AdamW, estimate, type StateEntry } from "../../nn/mod.ts";
import { testValues } from "../gradcheck.ts";
import {
  assert,
  assertClose,
  assertEquals,
  assertRejects,
  assertThrows,
  gpuTest,
  limitsUnderTest,
} from "../harness.ts";

/** Bytes: three core experts of [64, 16], all universal ones. */
const LIMIT = 3 * 4096;
const MODEL: MoeVitOptions = {
  imgSize: 8,
  patchSize: 4,
  embedDim: 16,
  depth: 2,
  numHeads: 2,
  numClasses: 5,
  globalPool: "avg",
  moeLayers: [1],
  coreExperts: 7,
  univExperts: 9,
  slotLayernorm: true,
};
const FC1 = "blocks.1.mlp.core_experts.vit_fc1.weight";
const IMAGES = [3, 3, 8, 8];

/** The device that binds little, shared by the tests as the harness shares the other one. */
let shared: Promise<Device> | undefined;

/** A test with a device that binds little, and one that binds what it can. */
function twoDeviceTest(name: string, fn: (low: Device, high: Device) => Promise<void>): void {
  gpuTest(name, async (high) => {
    const limits = limitsUnderTest();
    const low = await (shared ??= requestDevice({ limits, maxBindingBytes: LIMIT, poison: true }));
    try {
      await fn(low, high);
    } finally {
      await low.sync();
    }
  });
}

async function makeModel(device: Device): Promise<VisionTransformerMoe> {
  return await new VisionTransformerMoe(MODEL).to(device, { seed: 5 });
}

function partsOf(model: VisionTransformerMoe, name: string): readonly Tensor[] {
  return model.namedParameters().find(([key]) => key === name)![1].parts;
}

/** Three steps with clipping; the losses. */
async function trainThree(device: Device, model: VisionTransformerMoe, optimizer: AdamW) {
  const losses: number[] = [];
  for (let i = 0; i < 3; i++) {
    losses.push(
      await device.step(() => {
        optimizer.zeroGrad();
        const images = device.tensor(testValues(3 * 3 * 64, i), IMAGES);
        const labels = device.tensor(Uint32Array.of(i, 1, 4));
        const loss = crossEntropy(model.forward(images), labels);
        loss.backward();
        optimizer.step();
        return loss.item();
      }),
    );
  }
  return losses;
}

function assertStatesClose(
  got: ReadonlyMap<string, StateEntry>,
  want: ReadonlyMap<string, StateEntry>,
  tolerance: { rtol: number; atol: number },
): void {
  assertEquals([...got.keys()], [...want.keys()]);
  for (const [name, { shape, data }] of want) {
    assertEquals([...got.get(name)!.shape], [...shape], name);
    assertClose(got.get(name)!.data, data, { ...tolerance, name });
  }
}

twoDeviceTest("a divided model starts with the same values and keys", async (low, high) => {
  const [divided, whole] = [await makeModel(low), await makeModel(high)];
  assertEquals(partsOf(divided, FC1).map(({ shape }) => shape[0]), [3, 3, 1]);
  assertEquals(partsOf(whole, FC1).length, 1);
  assertStatesClose(await divided.stateDict(), await whole.stateDict(), { rtol: 0, atol: 0 });
  assertEquals(divided.learnedSize, whole.learnedSize);
});

twoDeviceTest("a divided model trains as a whole one does", async (low, high) => {
  const runs = await Promise.all([low, high].map(async (device) => {
    const model = await makeModel(device);
    const optimizer = new AdamW(model.namedParameters(), { lr: 1e-2, maxGradNorm: 0.5 });
    const losses = await trainThree(device, model, optimizer);
    return { losses, model, optimizer };
  }));
  const [divided, whole] = runs;
  assertClose(divided.losses, whole.losses, { rtol: 2e-5, atol: 0, name: "losses" });
  assert(whole.losses[2] !== whole.losses[0], "nothing is learned");
  // Adam turns rounding noise of tiny gradients into steps of up to the learning rate: so few steps, and this bound.
  const tolerance = { rtol: 1e-3, atol: 2e-4 };
  assertStatesClose(await divided.model.stateDict(), await whole.model.stateDict(), tolerance);
  const [got, want] = await Promise.all(runs.map(({ optimizer }) => optimizer.state()));
  assertEquals(got.steps, want.steps);
  assertStatesClose(got.tensors, want.tensors, { rtol: 1e-3, atol: 1e-5 });
});

twoDeviceTest("gradients of divided experts are those of whole ones", async (low, high) => {
  const gradients = await Promise.all([low, high].map(async (device) => {
    const model = await makeModel(device);
    const reads = await device.step(() => {
      const images = device.tensor(testValues(3 * 3 * 64, 1), IMAGES);
      crossEntropy(model.forward(images), device.tensor(Uint32Array.of(0, 1, 4))).backward();
      return model.namedParameters().map(([name, { parts }]) => ({
        name,
        parts: parts.map((part) => part.grad!.data()),
      }));
    });
    return new Map(
      await Promise.all(reads.map(async ({ name, parts }) =>
        [
          name,
          (await Promise.all(parts)).flatMap((values) => [...values]),
        ] as const
      )),
    );
  }));
  const [divided, whole] = gradients;
  for (const [name, want] of whole) {
    const largest = Math.max(...want.map(Math.abs));
    assertClose(divided.get(name)!, want, { rtol: 1e-4, atol: 1e-5 * largest, name });
  }
});

twoDeviceTest("models and optimisers move between divided and whole", async (low, high) => {
  const model = await makeModel(low);
  const optimizer = new AdamW(model.namedParameters(), { lr: 1e-2 });
  await trainThree(low, model, optimizer);
  // Through a file, as if written on one machine and read on another.
  const state = await model.stateDict();
  const arrays = [...state].map(([name, { shape, data }]) =>
    [name, namedArray(data, shape)] as const
  );
  const { tensors } = await readSafetensors(writeSafetensors(new Map(arrays)));
  const source = {
    shapes: new Map([...tensors].map(([name, { shape }]) => [name, shape])),
    read: (name: string) => Promise.resolve(toFloat32(tensors.get(name)!)),
  };
  const loaded = await new VisionTransformerMoe(MODEL).to(high, { state: source });
  assertStatesClose(await loaded.stateDict(), state, { rtol: 0, atol: 0 });
  const other = new AdamW(loaded.namedParameters(), { lr: 1e-2 });
  other.loadState(await optimizer.state());
  // And back: the next step is that of the first run.
  const again = await new VisionTransformerMoe(MODEL).to(low);
  const report = await again.loadStateFrom(loaded.stateSource());
  assertEquals(report.loaded.length, state.size);
  const back = new AdamW(again.namedParameters(), { lr: 1e-2 });
  back.loadState(await other.state());
  const [want, got] = [
    await trainThree(low, model, optimizer),
    await trainThree(low, again, back),
  ];
  assertEquals(got, want);
  assertStatesClose(await again.stateDict(), await model.stateDict(), { rtol: 0, atol: 0 });
  // A placed model that is moved is divided as its new device needs it.
  await model.to(high);
  assertEquals(partsOf(model, FC1).length, 1);
  await model.to(low);
  assertEquals(partsOf(model, FC1).length, 3);
  assertStatesClose(await model.stateDict(), await again.stateDict(), { rtol: 0, atol: 0 });
});

twoDeviceTest("estimate() knows the memory of a divided model", async (low) => {
  const model = new VisionTransformerMoe(MODEL).eval();
  const batch = [[new Float32Array(3 * 3 * 64), IMAGES]] as const;
  const predicted = await estimate(model, batch, { device: low, capture: false });
  assert(!model.parameters()[0].placed, "the estimate leaves no trace");
  low.resetPeak();
  const before = low.memory.liveBytes;
  await model.to(low);
  assertEquals(partsOf(model, FC1).length, 3);
  await low.step(() => noGrad(() => model.forward(low.tensor(...batch[0])).data()));
  const placed = await estimate(model, batch, { capture: false });
  assertEquals(placed.peakBytes, predicted.peakBytes);
  assertEquals(low.memory.peakBytes - before, predicted.peakBytes);
  const { liveBytes } = low.memory;
  model.dispose();
  await low.sync();
  assert(low.memory.liveBytes < liveBytes, "dispose() frees the parts");
});

twoDeviceTest("freezing reaches the parts, and other ops are told of them", async (low) => {
  const model = await makeModel(low);
  const [, whole] = model.namedParameters().find(([name]) => name === FC1)!;
  await assertRejects(
    () => low.step(() => mul(whole, 2)),
    LimitError,
    "this device binds at most 12288; use a smaller batch or split the tensor",
  );
  assertThrows(
    () => low.copy(whole, whole),
    LimitError,
    `Parameter "${FC1}" [7, 64, 16] lies in 3 tensors`,
  );
  assertEquals(await low.step(() => whole), whole);
  model.freeze();
  assertEquals(partsOf(model, FC1).map(({ requiresGrad }) => requiresGrad), [false, false, false]);
  assertThrows(() => new AdamW(model.namedParameters()), ShapeError, "not frozen");
});

twoDeviceTest("an expert that is larger than the device binds is refused", async (low) => {
  const model = new VisionTransformerMoe({ ...MODEL, embedDim: 32 });
  await assertRejects(
    () => model.to(low),
    LimitError,
    `"${FC1}" [7, 128, 32]: one of its 7 takes 16384 bytes, this device binds at most ${LIMIT}`,
  );
});

gpuTest("groupedLinear() takes weights in ranges of experts", async (device) => {
  const x = device.tensor(testValues(5 * 2 * 3), [5, 2, 3]);
  const weight = device.tensor(testValues(5 * 4 * 3, 2), [5, 4, 3]);
  const bias = device.tensor(testValues(20, 3), [5, 4]);
  const [whole, ranges] = await device.step(() => {
    const parts = [slice(weight, 0, 0, 2), slice(weight, 0, 2, 3), slice(weight, 0, 3, 5)];
    return [
      groupedLinear(x, weight, bias, { activation: "gelu" }).data(),
      groupedLinear(x, parts, bias, { activation: "gelu" }).data(),
    ];
  }).then((reads) => Promise.all(reads));
  assertClose(ranges, whole, { rtol: 1e-6, atol: 1e-7 });
  assertThrows(
    () => groupedLinear(x, [slice(weight, 0, 0, 2)], bias),
    ShapeError,
    "groupedLinear: x",
  );
  assertThrows(
    () => groupedLinear(x, [slice(weight, 0, 0, 2), slice(weight, 0, 3, 5)], bias),
    ShapeError,
    "the 2 tensors of weights hold 4 experts",
  );
});
