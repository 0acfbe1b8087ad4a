/** MCGaze as a whole: names, options, features that are reused, losses. What it computes is in the golden cases mc_*. */
import { type Device, noGrad, ShapeError } from "../../engine/mod.ts";
import { openWeights, weightsSource } from "../../io/mod.ts";
import {
  type FrameFeatures,
  GAZE_CLUES,
  type GazeClue,
  gazeFeatures,
  McGaze,
  MCGAZE_PRESETS,
  mcGazeGroups,
  mcGazeLoss,
  type McGazeOptions,
  predictGaze,
  ResNet,
} from "../../models/mod.ts";
import { BATCH_COUNTERS } from "../../nn/mod.ts";
import { parseManifest } from "../../referee/manifest.ts";
import { testValues } from "../gradcheck.ts";
import {
  assert,
  assertClose,
  assertEquals,
  assertRejects,
  assertThrows,
  gpuTest,
  loadFixture,
  test,
} from "../harness.ts";
import { dict, f32, int, storage, str, tensor, zipCheckpoint } from "../io/torch/pickle_writer.ts";

const TINY: McGazeOptions = {
  backbone: { blocks: [1, 1, 1, 1], bottleneck: false, width: 4, frozenStages: -1 },
  imageSize: 32,
  clipLength: 3,
  stages: 2,
  channels: 8,
  heads: 2,
  hidden: 8,
  dynamicChannels: 4,
  roiSize: 2,
  finestScale: 16,
  unusedHeads: false,
};

const imagesOf = (frames: number, seed = 1) => testValues(frames * 3 * 32 * 32, seed);

async function tiny(device: Device, options: McGazeOptions = {}): Promise<McGaze> {
  const model = await new McGaze({ ...TINY, ...options }).to(device, { seed: 3 });
  return model.eval();
}

/** The last stage's directions for clips of three frames. */
async function gazesOf(device: Device, model: McGaze, images: Float32Array) {
  const shape = [images.length / 3072, 3, 32, 32];
  const reads = await device.step(() =>
    noGrad(() => {
      const { gazes } = model.forward(device.tensor(images, shape)).at(-1)!;
      return Object.entries(gazes).map(([name, gaze]) => [name, gaze.data()] as const);
    })
  );
  return new Map(
    await Promise.all(reads.map(async ([name, read]) => [name, await read] as const)),
  );
}

test("the R-50 has the names and shapes of the authors' state dict", async () => {
  const text = new TextDecoder().decode(await loadFixture("golden/manifest.json"));
  const golden = parseManifest(text).cases.find(({ name }) => name === "mc_18_full")!;
  const want = new Map(golden.data.state_dict as [string, number[]][]);
  const got = new McGaze(MCGAZE_PRESETS.mcgaze_r50_gaze360).stateShapes();
  assertEquals([...got.keys()].sort(), [...want.keys()].sort());
  for (const [name, shape] of want) assertEquals(got.get(name), shape, name);
});

test("the stem and the first group are frozen, and buffers and unused layers are not learned", () => {
  const learned = (frozenStages: number) =>
    new ResNet({ frozenStages, width: 4 }).namedParameters()
      .filter(([, p]) => p.requiresGrad).map(([name]) => name.split(".")[0]);
  assertEquals([...new Set(learned(1))], ["layer2", "layer3", "layer4"]);
  assertEquals([...new Set(learned(0))], ["layer1", "layer2", "layer3", "layer4"]);
  assertEquals([...new Set(learned(-1))].slice(0, 3), ["conv1", "bn1", "layer1"]);
  const model = new McGaze(TINY), [backbone, rest] = mcGazeGroups(model.namedParameters());
  assertEquals(backbone.lrScale, 0.1);
  const names = (params: Iterable<readonly [string, unknown]>) => [...params].map(([n]) => n);
  assert(names(backbone.params).every((name) => name.startsWith("backbone.")));
  assertEquals(
    [...names(backbone.params), ...names(rest.params)].sort(),
    model.namedParameters().map(([name]) => name).sort(),
  );
  assert(model.learnedSize > 0 && new McGaze(MCGAZE_PRESETS.mcgaze_small).learnedSize < 2e6);
});

test("McGaze refuses settings that make no model, by name", () => {
  const refused = (options: McGazeOptions, text: string) =>
    void assertThrows(() => new McGaze({ ...TINY, ...options }), ShapeError, text);
  refused({ clues: ["face", "eyes"] }, "the head among them");
  refused({ clues: ["head", "face"] }, "in this order");
  refused({ heads: 3 }, "not divisible by 3 heads");
  refused({ stages: 0 }, "stages is 0");
  refused({ backbone: { width: 0 } }, "width is 0");
  refused({ backbone: { stemKernel: 0 } }, "stemKernel is 0");
  refused({ backbone: { frozenStages: 5 } }, "5 are frozen");
});

gpuTest("a smaller stem gives maps of the same sizes", async (device) => {
  const network = await new ResNet({ ...TINY.backbone, stemKernel: 3 }).to(device);
  assertEquals(network.stateShapes().get("conv1.weight"), [4, 3, 3, 3]);
  const sizes = await device.step(() =>
    network.forward(device.full([2, 64, 32, 3], 0.5)).map(({ shape }) => shape)
  );
  assertEquals(sizes, [[2, 16, 8, 4], [2, 8, 4, 8], [2, 4, 2, 16], [2, 2, 1, 32]]);
});

gpuTest("calibrate() gives every batch norm the statistics of what reaches it", async (device) => {
  const network = await new ResNet({ ...TINY.backbone, zeroInitResidual: false }).to(device);
  const images = testValues(4 * 32 * 32 * 3, 2).map((v, i) => 0.5 * v + i % 3);
  const tensor = () => device.tensor(images, [4, 32, 32, 3]);
  await device.step(() => network.calibrate(tensor()));
  const state = await network.stateDict();
  // the stem by plain loops: 7 x 7, stride 2, padding 3
  const weight = state.get("conv1.weight")!.data, outputs: number[] = [];
  for (let at = 0; at < 4 * 16 * 16; at++) {
    const [image, y, x] = [at >> 8, (at >> 4) & 15, at & 15];
    let sum = 0;
    for (let k = 0; k < 49; k++) {
      const iy = 2 * y - 3 + Math.floor(k / 7), ix = 2 * x - 3 + k % 7;
      if (iy < 0 || iy > 31 || ix < 0 || ix > 31) continue;
      for (let c = 0; c < 3; c++) {
        sum += weight[(0 * 3 + c) * 49 + k] * images[((image * 32 + iy) * 32 + ix) * 3 + c];
      }
    }
    outputs.push(sum);
  }
  const mean = outputs.reduce((a, b) => a + b) / outputs.length;
  const variance = outputs.reduce((a, b) => a + (b - mean) ** 2, 0) / outputs.length;
  assertClose([state.get("bn1.running_mean")!.data[0]], [mean], { atol: 1e-5, rtol: 1e-4 });
  assertClose([state.get("bn1.running_var")!.data[0]], [variance], { atol: 1e-5, rtol: 1e-4 });
  for (const [name, { data }] of state) {
    if (name.endsWith("running_var")) assert(data.every((v) => v > 0 && v !== 1), name);
  }
  network.dispose();
});

gpuTest("directions are unit vectors, for each choice of clues", async (device) => {
  for (const clues of [["head"], ["face", "head"], GAZE_CLUES] as GazeClue[][]) {
    const model = await tiny(device, { clues });
    const gazes = await gazesOf(device, model, imagesOf(3));
    assertEquals([...gazes.keys()], ["final", ...clues]);
    for (const values of gazes.values()) {
      for (let i = 0; i < 9; i += 3) {
        assertClose([Math.hypot(values[i], values[i + 1], values[i + 2])], [1], { atol: 1e-5 });
      }
    }
    model.dispose();
  }
});

gpuTest("frames see each other with attention over time, clips never do", async (device) => {
  const one = imagesOf(6), other = one.slice();
  other.set(imagesOf(1, 9), 2 * 3072); // frame 2 of the first clip
  for (const temporal of [true, false]) {
    const model = await tiny(device, { temporal });
    const [a, b] = [await gazesOf(device, model, one), await gazesOf(device, model, other)];
    const frame = (gazes: typeof a, t: number) => gazes.get("final")!.slice(3 * t, 3 * t + 3);
    const differs = [0, 1, 2, 3, 4, 5].map((t) => String(frame(a, t)) !== String(frame(b, t)));
    assertEquals(differs, [temporal, temporal, true, false, false, false]);
    model.dispose();
  }
});

gpuTest("features by frame give what the whole model gives, for sliding clips", async (device) => {
  const model = await tiny(device);
  const images = imagesOf(5), shape = [3, 32, 32] as const;
  const some = await gazeFeatures(model, images.slice(0, 2 * 3072), [2, ...shape]);
  const more = await gazeFeatures(model, images.slice(2 * 3072), [3, ...shape]);
  const frames = [...some, ...more];
  for (const first of [0, 2]) {
    const clip = images.slice(first * 3072, (first + 3) * 3072);
    const want = await gazesOf(device, model, clip);
    const got = await predictGaze(model, frames.slice(first, first + 3));
    assertEquals(got.stages.length, 2);
    assertEquals(got.gazes, got.stages[1].gazes);
    for (const [name, values] of want) {
      assertClose(got.gazes[name as GazeClue]!, values, { atol: 1e-6 });
    }
    for (const clue of GAZE_CLUES) {
      assertEquals([got.boxes[clue]!.length, got.scores[clue]!.length], [12, 3]);
      assert(got.scores[clue]!.every((score) => score > 0 && score < 1));
    }
  }
  const small: FrameFeatures = { ...frames[0], image: [16, 32] };
  await assertRejects(() => predictGaze(model, [frames[1], small]), ShapeError, "16 x 32 pixels");
  await assertRejects(() => predictGaze(model, []), ShapeError, "there is no frame");
  await assertRejects(() => predictGaze(model, frames, 3), ShapeError, "no clips of 3");
  frames.forEach((frame) => frame.dispose());
  model.dispose();
});

gpuTest(
  "the loss does not depend on boxes that are not known, and reaches every weight",
  async (device) => {
    const model = (await tiny(device)).train();
    const n = 6, shape = [n, 3, 32, 32];
    const lossWith = async (filler: number) => {
      const boxes = Float32Array.from({ length: n * 12 }, (_, i) => {
        const known = i % 12 >= 8 || i < 36;
        return !known ? filler : i % 4 < 2 ? 8 : 24;
      });
      return await device.step(() => {
        const loss = mcGazeLoss(model, device.tensor(imagesOf(n), shape), {
          boxes: device.tensor(boxes, [n, 3, 4]),
          faceKnown: device.tensor(Float32Array.of(1, 1, 1, 0, 0, 0)),
          gaze: device.tensor(testValues(3 * n, 5), [n, 3]),
        });
        model.zeroGrad();
        loss.backward();
        return loss.item();
      });
    };
    const loss = await lossWith(0);
    assert(Number.isFinite(loss) && loss > 0);
    assertEquals(await lossWith(NaN), loss);
    // a new network's residual branches end in gamma 0, so what is before them has a gradient of 0, but it has one;
    // levels that no box is read from are convolved for nothing
    const without = model.namedParameters().filter(([, p]) => p.grad === null).map(([name]) =>
      name
    );
    assertEquals(without, []);
    model.dispose();
  },
);

gpuTest("a checkpoint of mmengine loads by name", async (device) => {
  const model = await tiny(device);
  const state = [...model.stateShapes()];
  const values = new Map(
    state.map(([name, shape], k) => [name, testValues(shape.reduce((a, b) => a * b, 1), k)]),
  );
  const storages: Record<string, Uint8Array> = { counter: new Uint8Array(8) };
  const entries = state.map(([name, shape], k) => {
    const data = values.get(name)!;
    storages[String(k)] = f32(...data);
    return [name, tensor(storage("FloatStorage", String(k), data.length), shape)] as const;
  });
  const counter = tensor(storage("LongStorage", "counter", 1), []);
  const file = await zipCheckpoint(
    dict(
      ["meta", dict(["epoch", int(3)], ["mmcv_version", str("1.7.0")])],
      ["state_dict", dict(...entries, ["backbone.bn1.num_batches_tracked", counter])],
    ),
    storages,
  );
  const source = weightsSource(await openWeights(file));
  const report = await model.loadStateFrom(source, { ignore: BATCH_COUNTERS });
  assertEquals(report.loaded.length, state.length);
  for (const [name, { data }] of await model.stateDict()) {
    assertEquals(data, values.get(name), name);
  }
  model.dispose();
});
