/** Exported models say in ONNX Runtime what they say here. */
import { concat, type Device, entmax15, noGrad, type Tensor } from "../../engine/mod.ts";
import { roiLevels } from "../../kernels/roi_align.ts";
import {
  imageSize,
  McGaze,
  RESNET_STRIDES,
  visionModel,
  type VisionTransformerMoe,
} from "../../models/mod.ts";
import { SpheroMoe } from "../../nn/mod.ts";
import { OnnxGraph } from "../../onnx/graph.ts";
import { entmax15 as entmaxNodes } from "../../onnx/moe.ts";
import { exportOnnx } from "../../onnx/mod.ts";
import { Scope } from "../../onnx/scope.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertClose, assertEquals, gpuTest, type GpuTestOptions } from "../harness.ts";
import { GAZES, placed, VITS } from "./models.ts";
import { type ModelJob, runInOnnxRuntime } from "./ort.ts";

/** The first test may have to fetch ONNX Runtime; the process that runs it ends within its test. */
const PATIENT: GpuTestOptions = { timeout: 300 };

/** The first and the last version of ONNX's operators that there is an export for. */
const OPSETS = [17, 21];

type Values = Readonly<Record<string, { shape: readonly number[]; data: Float32Array }>>;

/** Computes here, and reads. */
async function values(device: Device, compute: () => Record<string, Tensor>): Promise<Values> {
  const reads = await device.step(() =>
    noGrad(() => Object.entries(compute()).map(([name, x]) => [name, x.shape, x.data()] as const))
  );
  const entries = reads.map(async ([name, shape, data]) =>
    [name, { shape, data: await data as Float32Array }] as const
  );
  return Object.fromEntries(await Promise.all(entries));
}

/** Each model both ways: the same names, sizes and values. */
async function compare(
  cases: readonly { name: string; job: ModelJob; want: Values }[],
): Promise<void> {
  const got = await runInOnnxRuntime(cases.map(({ job }) => job));
  cases.forEach(({ name, want }, i) => {
    assertEquals(Object.keys(got[i]).sort(), Object.keys(want).sort(), name);
    for (const [output, { shape, data }] of Object.entries(want)) {
      assertEquals(got[i][output].dims, [...shape], `${name}: ${output}`);
      // Boxes are in pixels of images of 40: 1e-3 is less of them than 1e-4 is of the rest.
      const atol = output === "boxes" ? 1e-3 : 1e-4;
      assertClose(got[i][output].data, data, { atol, name: `${name}: ${output}` });
    }
  });
}

gpuTest("ViTs and their experts give the same logits in ONNX Runtime", async (device) => {
  const cases = [];
  for (const [name, options] of Object.entries(VITS)) {
    const model = await placed(visionModel(options), device);
    const dims = [3, model.config.inChans, ...imageSize(model.config)];
    const data = testValues(dims.reduce((a, b) => a * b), 7);
    const images = device.tensor(data, dims);
    const want = await values(device, () => ({ logits: model.forward(images) }));
    for (const opset of OPSETS) {
      const bytes = await exportOnnx(model, { opset }).bytes();
      cases.push({ name: `${name}, opset ${opset}`, job: { bytes, dims, data }, want });
    }
    if (name === "SpheroMoE") await expectSparse(device, model as VisionTransformerMoe, images);
    model.dispose();
  }
  await compare(cases);
}, PATIENT);

/** That the models above test more than a softmax would: some routing weights are 0, some are not. */
async function expectSparse(
  device: Device,
  model: VisionTransformerMoe,
  images: Tensor,
): Promise<void> {
  const { combine } = await values(device, () => {
    let combine: Tensor | undefined;
    model.forward(images, {
      onSite: (site, x, block) => {
        const { mlp } = model.blocks[block];
        if (site === "norm2" && mlp instanceof SpheroMoe) combine = mlp.combineWeights(x);
      },
    });
    return { combine: combine! };
  });
  const zeros = combine.data.filter((x) => x === 0).length / combine.data.length;
  assert(zeros > 0.2 && zeros < 0.8, `${zeros} of the routing weights are 0`);
}

gpuTest("entmax-1.5 is exact in ONNX Runtime: ties, one value, 300 values", async (device) => {
  const cases = [];
  for (const [n, spread] of [[1, 1], [5, 1], [37, 0], [300, 0.1], [300, 5]]) {
    const dims = [4, n], data = testValues(4 * n, n).map((x) => spread * x);
    data.copyWithin(0, Math.ceil(n / 2), n); // the first row has every value twice
    const graph = new OnnxGraph("entmax", 17), x = graph.input("images", ["rows", n]);
    const root = new Scope(graph, { shapes: new Map(), read: () => Promise.reject() });
    graph.output("y", entmaxNodes(root, x, n), ["rows", n]);
    const want = await values(device, () => ({ y: entmax15(device.tensor(data, dims), 1) }));
    const bytes = await graph.file().bytes();
    cases.push({ name: `${n} values, spread ${spread}`, job: { bytes, dims, data }, want });
  }
  await compare(cases);
}, PATIENT);

gpuTest("MCGaze gives the same gaze and boxes in ONNX Runtime", async (device) => {
  const cases = [];
  for (const [name, options] of Object.entries(GAZES)) {
    const model = await placed(new McGaze(options), device);
    const { imageSize: side, clipLength, clues } = model.config;
    const dims = [2 * clipLength, 3, side, side];
    const data = testValues(dims.reduce((a, b) => a * b), 7);
    const images = device.tensor(data, dims);
    const { rois, ...want } = await values(device, () => {
      const stages = model.forward(images);
      const { gazes: { final, ...others }, boxes, scores } = stages.at(-1)!;
      const ofClues = clues.map((clue) => [`gaze_${clue}`, others[clue]!]);
      const rois = concat(stages.map(({ rois }) => rois), 0);
      return { rois, gaze: final, ...Object.fromEntries(ofClues), boxes, scores };
    });
    const levels = RESNET_STRIDES.map((stride) => ({ height: 1, width: 1, stride }));
    const read = new Set(roiLevels(rois.data, { levels, finestScale: 4 }));
    if (clues.length === 3) assert(read.size >= 3, `boxes are of levels ${[...read]} only`);
    for (const opset of OPSETS) {
      const bytes = await exportOnnx(model, { opset }).bytes();
      cases.push({ name: `${name}, opset ${opset}`, job: { bytes, dims, data }, want });
    }
    model.dispose();
  }
  await compare(cases);
}, PATIENT);
