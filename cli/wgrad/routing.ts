/**
 * `deno task wgrad routing FILE [IMAGE…] --out DIR [--data SET]`
 *
 * Shows how a trained mixture of experts routes images: dispatch and combine weights as heat maps, and, over a data set,
 * how much each expert is used. Writes `routing.html`, a PNG sheet an image, and `routing.json`.
 * @module
 */
import { readImage, toFloatImage } from "../../data/image_folder.ts";
import { centerResizedCrop, type FloatImage, normalise, Rng } from "../../data/mod.ts";
import { CheckpointError, requestDevice } from "../../engine/mod.ts";
import { checkWritable, writeFileAtomic } from "../../io/files.ts";
import { imageSize, VisionTransformerMoe } from "../../models/mod.ts";
import { readArguments, UsageError, wholeNumber } from "../main.ts";
import { encodePng } from "../png.ts";
import { page } from "../report/html.ts";
import { pixelsOf, type RoutedImage, routingPictures, usagePictures } from "../routing/pictures.ts";
import { routingOf, usageOf } from "../routing/routing.ts";
import { routingSheet } from "../routing/sheet.ts";
import { DATA_USAGE, openData } from "../training/data.ts";
import { withChannels } from "../training/channels.ts";
import { loadModel } from "../training/model_file.ts";
import { evaluationTransform } from "../training/transforms.ts";
import { describedModel } from "./eval.ts";
import { MODEL_USAGE } from "./model_option.ts";

const USAGE =
  `deno task wgrad routing FILE [IMAGE…] --out DIR: shows how a mixture of experts routes images
  --data SET     ${DATA_USAGE}.
                 Held-out images of it: the use of the experts, and examples where no IMAGE is named
  --examples N   how many of them are shown; default 4
  --images N     how many the use is measured on; default 500
  --model NAME   ${MODEL_USAGE}. Files of \`wgrad train\` need none
  --recipe R     how images are made ready for other files; default jetpack`;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, positionals } = readArguments(USAGE, args, {
    allowPositionals: true,
    options: {
      out: { type: "string" },
      data: { type: "string" },
      examples: { type: "string", default: "4" },
      images: { type: "string", default: "500" },
      model: { type: "string" },
      recipe: { type: "string", default: "jetpack" },
    },
  });
  const { out, data } = values;
  const [file, ...paths] = positionals;
  if (file === undefined || out === undefined || (paths.length === 0 && data === undefined)) {
    throw new UsageError("needs a file, --out, and images or --data; --help lists the options");
  }
  const count = wholeNumber("images", values.images, 1, 2 ** 31);
  const examples = wholeNumber("examples", values.examples, 1, 1000);
  await checkWritable(`${out}/routing.html`);
  const { options, recipe, names } = await describedModel(file, values.model, values.recipe);
  const { model } = await loadModel(file, options);
  if (!(model instanceof VisionTransformerMoe) || model.config.moeLayers.length === 0) {
    throw new CheckpointError(`${file}: the model has no experts`);
  }
  const [height, width] = imageSize(model.config), { inChans } = model.config;
  const held = data === undefined ? null : withChannels((await openData(data, 0)).test, inChans);
  const nameOf = (label: number): string => held?.names?.[label] ?? names?.[label] ?? String(label);

  const wanted: { caption: string; image: FloatImage }[] = [];
  for (const path of paths) {
    const one = { ...emptySource, image: async () => toFloatImage(await readImage(path)) };
    wanted.push({ caption: path, image: await withChannels(one, inChans).image(0) });
  }
  if (held !== null && paths.length === 0) {
    for (const index of new Rng(0, "routing/examples").permutation(held.count).slice(0, examples)) {
      wanted.push({ caption: nameOf(held.labels[index]), image: await held.image(index) });
    }
  }

  using device = await requestDevice();
  (await model.to(device)).eval();
  const rng = new Rng(0, "routing");
  const crop = centerResizedCrop(height, width, recipe.cropPct);
  const ready = normalise(recipe.mean, recipe.std);
  const routed: RoutedImage[] = [];
  for (const { caption, image } of wanted) {
    const seen = crop(image, rng);
    const input = ready(seen, rng).data;
    const logits = await device.step(() =>
      model.forward(device.tensor(input, [1, inChans, height, width])).data()
    );
    const answer = logits.indexOf(Math.max(...logits));
    routed.push({
      caption: `${caption}, taken for ${nameOf(answer)}`,
      channels: inChans,
      height,
      width,
      pixels: pixelsOf(seen),
      layers: await routingOf(device, model, input),
    });
  }
  const used = held === null
    ? []
    : await usageOf(device, model, held, evaluationTransform(recipe, height, width), count);

  for (const [i, image] of routed.entries()) {
    await writeFileAtomic(`${out}/routing-${i + 1}.png`, await encodePng(routingSheet(image)));
  }
  const json = {
    file,
    images: routed.map(({ caption, layers }) => ({ caption, layers })),
    usage: used,
  };
  await writeFileAtomic(`${out}/routing.json`, JSON.stringify(json) + "\n");
  const title = "How a mixture of experts routes images";
  await writeFileAtomic(
    `${out}/routing.html`,
    page(
      title,
      `<h1>${title}</h1>
${routed.length > 0 ? routingPictures(routed) : ""}
${
        used.length > 0
          ? `<h2>Use of the experts</h2>${usagePictures(used, Math.min(count, held!.count))}`
          : ""
      }`,
    ),
  );
  console.log(
    `routing: ${routed.length} images, ${model.config.moeLayers.length} layers; ${out}/routing.html`,
  );
}

/** What a picture of a file needs to be a source. */
const emptySource = {
  count: 1,
  channels: 3,
  classes: 1,
  labels: [0],
  size: null,
  fingerprint: "",
};
