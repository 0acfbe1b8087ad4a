/**
 * `deno task wgrad eval FILE --data SET [--model NAME] [--part test|train] [--json]`
 *
 * Measures a trained model: accuracy, the share among the five likeliest classes, cross-entropy, and each class.
 * @module
 */
import type { ImageSource } from "../../data/mod.ts";
import { CheckpointError, requestDevice } from "../../engine/mod.ts";
import { imageSize, type MoeVitOptions } from "../../models/mod.ts";
import { Rng } from "../../nn/mod.ts";
import { readArguments, UsageError, wholeNumber } from "../main.ts";
import { Progress } from "../progress.ts";
import { evaluateClassifier } from "../training/evaluation.ts";
import { DATA_USAGE, limited, openData } from "../training/data.ts";
import { withChannels } from "../training/channels.ts";
import { loadModel, readCard } from "../training/model_file.ts";
import { type Recipe, RECIPES } from "../training/recipe.ts";
import { evaluationTransform } from "../training/transforms.ts";
import { MODEL_USAGE, modelOption } from "./model_option.ts";

const USAGE = `deno task wgrad eval FILE --data SET: measures a trained model
  --data SET     ${DATA_USAGE}
  --part PART    test or train; default test
  --limit N      so many images; default all
  --seed N       as in training, for folders with one part; default 0
  --model NAME   ${MODEL_USAGE}. Files of \`wgrad train\` need none
  --recipe R     how images are made ready for other files: ${
  Object.keys(RECIPES).join(" or ")
}; default jetpack
  --json         print JSON`;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, positionals } = readArguments(USAGE, args, {
    allowPositionals: true,
    options: {
      data: { type: "string" },
      part: { type: "string", default: "test" },
      limit: { type: "string" },
      seed: { type: "string", default: "0" },
      model: { type: "string" },
      recipe: { type: "string", default: "jetpack" },
      json: { type: "boolean", default: false },
    },
  });
  const { data, part, json } = values;
  if (positionals.length !== 1 || data === undefined) {
    throw new UsageError("needs one file and --data; --help lists the options");
  }
  if (part !== "test" && part !== "train") {
    throw new UsageError(`--part takes test or train, not "${part}"`);
  }
  const seed = wholeNumber("seed", values.seed, 0, 2 ** 32 - 1);
  const [file] = positionals;
  const { options, recipe } = await describedModel(file, values.model, values.recipe);
  const { model } = await loadModel(file, options);
  let images: ImageSource = (await openData(data, seed))[part];
  if (images.classes !== model.config.numClasses) {
    throw new CheckpointError(
      `${file}: the model knows ${model.config.numClasses} classes, ${data} has ${images.classes}`,
    );
  }
  if (values.limit !== undefined) {
    const count = wholeNumber("limit", values.limit, 1, images.count);
    images = limited(images, count, new Rng(seed, "eval/limit"));
  }
  images = withChannels(images, model.config.inChans);
  using device = await requestDevice({ seed });
  (await model.to(device)).eval();
  const bar = new Progress("eval", images.count);
  const transform = evaluationTransform(recipe, ...imageSize(model.config));
  const result = await evaluateClassifier(
    device,
    model,
    images,
    transform,
    (done) => bar.update(done),
  );
  bar.finish();
  const { accuracy, top5, loss, confusion } = result;
  if (json) {
    const { count } = images;
    console.log(JSON.stringify({ file, data, part, count, accuracy, top5, loss, confusion }));
    return;
  }
  const percent = (value: number): string => `${(100 * value).toFixed(2)} %`;
  console.log(
    `${percent(accuracy)} of ${images.count} images; ${percent(top5)} among the five likeliest; ` +
      `cross-entropy ${loss.toFixed(4)}; ${device.label}`,
  );
  for (const [label, row] of confusion.entries()) {
    const total = row.reduce((a, b) => a + b, 0);
    const name = images.names?.[label] ?? String(label);
    if (total > 0) console.log(`  ${name.padEnd(24)} ${percent(row[label] / total)} of ${total}`);
  }
}

/**
 * Settings of a file's model and how images are made ready for it: as the file says, or as the options do.
 * @throws {UsageError} neither does
 */
export async function describedModel(
  file: string,
  name: string | undefined,
  recipeName: string,
): Promise<{ options: MoeVitOptions; recipe: Recipe; names: readonly string[] | null }> {
  const card = await readCard(file);
  if (name === undefined && card === null) {
    throw new UsageError(`${file} does not say which model it is; name it with --model`);
  }
  if (!Object.hasOwn(RECIPES, recipeName)) {
    throw new UsageError(
      `there is no recipe "${recipeName}"; there are ${Object.keys(RECIPES).join(", ")}`,
    );
  }
  return {
    options: name === undefined ? card!.model : (await modelOption(name)).options,
    recipe: card?.recipe ?? RECIPES[recipeName],
    names: card?.names ?? null,
  };
}
