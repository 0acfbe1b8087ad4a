/**
 * `deno task pretrain [--images N] [--epochs N] [--seed N] [--data DIR] [--out FILE] [--resume] [--no-install]`
 *
 * Trains the small dense ViT on Fashion-MNIST and writes its weights as safetensors, with the recipe, the seed and the
 * accuracy beside them as JSON. The committed weights (`weights/`) were made with the defaults.
 * @module
 */
import { loadFashionMnist } from "../data/datasets.ts";
import { balancedSample, type DatasetParts, subset } from "../data/mod.ts";
import { requestDevice } from "../engine/mod.ts";
import { checkWritable, writeFileAtomic } from "../io/files.ts";
import { VisionTransformer } from "../models/mod.ts";
import { Rng } from "../nn/mod.ts";
import { trainClassifier } from "./training/classifier.ts";
import { evaluateClassifier } from "./training/evaluation.ts";
import { DENSE, EVALUATION, recipeFor, TRAINING } from "./demo/recipe.ts";
import { removeRun } from "./run_checkpoint.ts";
import { stopIfAsked, withInterrupt } from "./interrupt.ts";
import { readArguments, runMain, wholeNumber } from "./main.ts";
import { installPackages, setUp } from "./setup.ts";
import { currentDistribution, isRoot, packageManagerOf, PROJECT_ROOT } from "./system.ts";
import { saveWeights } from "./weights.ts";

const DEFAULTS = { images: "60000", epochs: "4", seed: "0" };

const USAGE = `deno task pretrain [options]: trains the dense ViT that the demo starts from
  --images N     training images, 10 to 60000; default ${DEFAULTS.images}
  --epochs N     passes over them; default ${DEFAULTS.epochs}
  --seed N       default ${DEFAULTS.seed}
  --out FILE     where the weights go; default weights/fashion_mnist_vit.safetensors
  --data DIR     a folder of Fashion-MNIST's four IDX files; default Debian's package
  --resume       go on where Ctrl-C or a full disk stopped a run with the same options
  --no-install   print what to install instead of installing it`;

/** Where the weights go unless `--out` says otherwise. */
const WEIGHTS = `${PROJECT_ROOT}weights/fashion_mnist_vit.safetensors`;

interface Settings {
  readonly images: number;
  readonly epochs: number;
  readonly seed: number;
  readonly out: string;
  readonly data: string | undefined;
  readonly resume: boolean;
  readonly install: boolean;
}

function readSettings(): Settings {
  const { values } = readArguments(USAGE, Deno.args, {
    options: {
      images: { type: "string", default: DEFAULTS.images },
      epochs: { type: "string", default: DEFAULTS.epochs },
      seed: { type: "string", default: DEFAULTS.seed },
      out: { type: "string", default: WEIGHTS },
      data: { type: "string" },
      resume: { type: "boolean", default: false },
      "no-install": { type: "boolean", default: false },
    },
  });
  const { out, data, resume } = values;
  return {
    images: wholeNumber("images", values.images, 10, 60_000),
    epochs: wholeNumber("epochs", values.epochs, 1, 1000),
    seed: wholeNumber("seed", values.seed, 0, 2 ** 32 - 1),
    out,
    data,
    resume,
    install: !values["no-install"],
  };
}

async function pretrain(settings: Settings, signal: AbortSignal): Promise<void> {
  const { images, epochs, seed, out, resume } = settings;
  await checkWritable(out); // now, not after minutes of training
  const { train, test } = await clothes(settings);
  const data = subset(train, balancedSample(train, images, new Rng(seed, "pretrain/sample")));
  const held = subset(test, balancedSample(test, 1000, new Rng(0, "pretrain/held")));

  using device = await requestDevice({ seed });
  console.log(`pretrain: ${device.label}, ${images} images, ${epochs} epochs, seed ${seed}`);
  const model = await new VisionTransformer(DENSE).to(device, { seed });
  const run = await trainClassifier({
    device,
    model,
    data,
    recipe: recipeFor(epochs, 0),
    seed,
    label: "pretrain",
    signal,
    evaluate: async () => (await evaluateClassifier(device, model, held, EVALUATION)).accuracy,
    checkpoint: { path: `${out}.run`, every: 200 },
    resume,
    config: { kind: "pretrain", model: { ...DENSE }, images, epochs },
  });
  model.eval();
  stopIfAsked(signal);
  const { accuracy } = await evaluateClassifier(device, model, test, EVALUATION);
  console.log(`pretrain: ${(100 * accuracy).toFixed(2)} % of ${test.count} held-out images`);

  await saveWeights(out, model);
  const record = {
    command: `deno task pretrain ${Deno.args.filter((arg) => arg !== "--resume").join(" ")}`.trim(),
    data: settings.data ?? "Fashion-MNIST (Debian package dataset-fashion-mnist)",
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
  const recordPath = out.replace(/\.safetensors$/, "") + ".json";
  await writeFileAtomic(recordPath, JSON.stringify(record, null, 2) + "\n");
  await removeRun(`${out}.run`);
  console.log(`pretrain: wrote ${out} and ${recordPath}`);
}

/** Fashion-MNIST from the named folder, from Debian's package, or, as root on Debian, by installing that. */
async function clothes({ data, install }: Settings): Promise<DatasetParts> {
  try {
    return await loadFashionMnist(data);
  } catch (error) {
    const distribution = currentDistribution();
    const debian = distribution && packageManagerOf(distribution) === "apt";
    if (data !== undefined || !install || !debian || !isRoot()) throw error;
    await installPackages(["dataset-fashion-mnist"]);
    return await loadFashionMnist();
  }
}

await runMain("pretrain", async () => {
  const settings = readSettings();
  await setUp({ install: settings.install });
  await withInterrupt((signal) => pretrain(settings, signal));
});
