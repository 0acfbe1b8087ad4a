/**
 * Recycles a dense checkpoint into a mixture of experts: deno run -A examples/recycle.ts [dense] [out]
 *
 * The dense model is the one in weights/: a small ViT that was trained on Fashion-MNIST.
 */
import {
  formatRecycleReport,
  noGrad,
  recycleFrom,
  requestDevice,
  VisionTransformerMoe,
} from "@wgrad/wgrad";
import { namedArray, openWeights, weightsSource } from "@wgrad/wgrad/io";
import { openFileSource, saveSafetensorsFile } from "@wgrad/wgrad/io/files";

const [path = "weights/fashion_mnist_vit.safetensors", out = "out/moe.safetensors"] = Deno.args;

const options = {
  imgSize: 28,
  patchSize: 4,
  inChans: 1,
  numClasses: 10,
  embedDim: 64,
  depth: 6,
  numHeads: 4,
  globalPool: "avg",
  classToken: false,
  moeLayers: [3, 4, 5], // the last three blocks get experts: 8 as large as the MLP, 16 of a quarter
  coreExperts: 8,
  univExperts: 16,
  slotLayernorm: true,
} as const;

await using file = await openFileSource(path);
const dense = weightsSource(await openWeights(file)); // .pth or safetensors, read tensor by tensor
const { weights, report } = recycleFrom(dense, options, { method: "uniform", seed: 1 });
console.log(formatRecycleReport(report).split("\n").slice(0, 12).join("\n"));

using device = await requestDevice({ seed: 1 });
const model = await new VisionTransformerMoe(options).to(device, { state: weights });
model.eval();
const logits = await device.step(() =>
  noGrad(() => model.forward(device.full([1, 1, 28, 28], 0.5)).data())
);
console.log(`${model.learnedSize} numbers; ${logits.length} classes`);

const arrays = [...await model.stateDict()].map(([name, { data, shape }]) =>
  [name, namedArray(data, shape)] as const
);
await saveSafetensorsFile(out, arrays); // timm's names: PyTorch opens it
console.log(`saved: ${out}`);
