/**
 * `deno task pretrain [--images N] [--epochs N] [--seed N] [--data DIR] [--out FILE] [--resume] [--no-install]`
 *
 * Trains the small dense ViT on Fashion-MNIST and writes its weights as safetensors, with the recipe, the seed and the
 * accuracy beside them as JSON. The committed weights (`weights/`) were made with the defaults.
 * @module
 */
import { loadFashionMnist } from "../data/datasets.ts";
import { balancedSample, type DatasetParts, subset } from "../data/mod.ts";
import { DataError, requestDevice } from "../engine/mod.ts";
import { namedArray } from "../io/mod.ts";
import { saveSafetensorsFile, writeFileAtomic } from "../io/files.ts";
import { VisionTransformer } from "../models/mod.ts";
import { Rng } from "../nn/mod.ts";
import { evaluateClassifier, trainClassifier } from "./demo/classifier.ts";
import { DENSE, PLAIN, TRAINING } from "./demo/recipe.ts";
import { withInterrupt } from "./interrupt.ts";
import { readOptions, runMain, wholeNumber } from "./main.ts";
import { installPackages } from "./setup.ts";
import { currentDistribution, isRoot, packageManagerOf, PROJECT_ROOT } from "./system.ts";

/** Where the weights go unless `--out` says otherwise. */
const WEIGHTS = `${PROJECT_ROOT}/weights/fashion_mnist_vit.safetensors`;

async function pretrain(signal: AbortSignal): Promise<void> {
  const options = readOptions(Deno.args, {
    images: { type: "string", default: "60000" },
    epochs: { type: "string", default: "4" },
    seed: { type: "string", default: "0" },
    data: { type: "string" },
    out: { type: "string", default: WEIGHTS },
    resume: { type: "boolean", default: false },
    "no-install": { type: "boolean", default: false },
  });
  const images = wholeNumber("images", options.images, 10, 60_000);
  const epochs = wholeNumber("epochs", options.epochs, 1, 1000);
  const seed = wholeNumber("seed", options.seed, 0, 2 ** 32 - 1);
  const { train, test } = await clothes(options.data, !options["no-install"]);
  const data = subset(train, balancedSample(train, images, new Rng(seed, "pretrain/sample")));

  using device = await requestDevice({ seed });
  console.log(`pretrain: ${device.label}, ${images} images, ${epochs} epochs, seed ${seed}`);
  const model = await new VisionTransformer(DENSE).to(device, { seed });
  const held = subset(test, balancedSample(test, 1000, new Rng(0, "pretrain/held")));
  const run = await trainClassifier({
    device,
    model,
    data,
    transform: PLAIN,
    epochs,
    seed,
    label: "pretrain",
    signal,
    evaluate: async () => (await evaluateClassifier(device, model, held)).accuracy,
    checkpoint: { path: `${options.out}.run`, every: 200 },
    resume: options.resume,
    config: { kind: "pretrain", model: { ...DENSE }, images, epochs },
  });
  model.eval();
  const { accuracy } = await evaluateClassifier(device, model, test);
  console.log(`pretrain: ${(100 * accuracy).toFixed(2)} % of ${test.count} held-out images`);

  const state = await model.stateDict();
  const tensors = new Map(
    [...state].map(([name, { data, shape }]) => [name, namedArray(data, shape)]),
  );
  await saveSafetensorsFile(options.out, tensors, [["format", "pt"]]);
  const record = {
    command: `deno task pretrain ${Deno.args.filter((arg) => arg !== "--resume").join(" ")}`.trim(),
    data: "Fashion-MNIST (Debian package dataset-fashion-mnist)",
    accuracy,
    heldOut: test.count,
    images,
    epochs,
    seed,
    model: DENSE,
    training: { ...TRAINING, optimizer: "AdamW", schedule: "linear warm-up, cosine to zero" },
    augmentation: "none",
    adapter: device.label,
    runtime: `Deno ${Deno.version.deno}`,
    date: new Date().toISOString().slice(0, 10),
    seconds: Math.round(run.seconds),
  };
  const text = new TextEncoder().encode(JSON.stringify(record, null, 2) + "\n");
  const recordPath = options.out.replace(/\.safetensors$/, "") + ".json";
  await writeFileAtomic(recordPath, [text], { errorClass: DataError });
  for (const end of ["", ".prev"]) await Deno.remove(`${options.out}.run${end}`).catch(() => {});
  console.log(`pretrain: wrote ${options.out} and ${recordPath}`);
}

/** Fashion-MNIST from the named folder, from Debian's package, or, as root on Debian, by installing that. */
async function clothes(folder: string | undefined, install: boolean): Promise<DatasetParts> {
  try {
    return await loadFashionMnist(folder);
  } catch (error) {
    const distribution = currentDistribution();
    const debian = distribution && packageManagerOf(distribution) === "apt";
    if (folder !== undefined || !install || !debian || !isRoot()) throw error;
    await installPackages(["dataset-fashion-mnist"]);
    return await loadFashionMnist();
  }
}

await runMain("pretrain", () => withInterrupt(pretrain));
