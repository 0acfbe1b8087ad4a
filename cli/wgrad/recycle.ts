/**
 * `deno task wgrad recycle --from dense.pth --model NAME --out moe.safetensors [--method M] [--images DIR] …`
 *
 * Makes the first weights of a mixture of experts from a dense ViT's (MoE Jetpack's checkpoint recycling). Files are read
 * and written tensor by tensor. Beside the checkpoint stand two reports that say where every tensor comes from: JSON for
 * programs, with all indices, and a text.
 * @module
 */
import { type Device, requestDevice, type Tensor } from "../../engine/mod.ts";
import { CheckpointError, ShapeError } from "../../engine/errors.ts";
import { fitImage, listImages, readImage, toFloatImage } from "../../data/image_folder.ts";
import { normalise, Rng } from "../../data/mod.ts";
import { checkWritable, writeFileAtomic } from "../../io/files.ts";
import { openWeights, weightsSource } from "../../io/weights.ts";
import {
  fitPretrained,
  formatRecycleReport,
  inferVitOptions,
  listRecycledTensors,
  type MoeVitConfig,
  moeVitConfig,
  RECYCLE_METHODS,
  recycleFrom,
  type RecycleMethod,
  type RecycleReport,
  recycleSites,
  type Site,
  type SiteStats,
  siteStats,
  VisionTransformer,
  vitPrefix,
} from "../../models/mod.ts";
import type { StateSource } from "../../nn/mod.ts";
import { discardOnInterrupt } from "../interrupt.ts";
import { readArguments, UsageError, wholeNumber } from "../main.ts";
import { Progress } from "../progress.ts";
import { saveSource } from "../weights.ts";
import { openWeightsFile } from "../weights_file.ts";
import { MODEL_USAGE, modelOption } from "./model_option.ts";

const USAGE = `Usage: deno task wgrad recycle --from FILE --model NAME --out FILE [options]
Makes the first weights of a mixture of experts from those of a dense ViT.
  --from FILE      the dense model: safetensors, or PyTorch's .pth and .pt; as wide as the new one or wider.
                   Here and elsewhere a file may be https://…#sha256=HEX: it is downloaded once and kept
  --model NAME     ${MODEL_USAGE}
  --out FILE       the new weights, safetensors
  --method M       how an expert's neurons are chosen; default random
                     copy        the first ones, the same for all experts
                     uniform     evenly spaced, the same for all experts
                     random      at random
                     importance  by how strongly they respond to images, drawn (or the best: --global)
                     graph       groups that fire together on images (Louvain; METIS is on no registry)
  --images DIR     pictures for importance and graph, in any folders; copy, uniform and random need none
  --trunk FILE     a dense model of the new one's width that lends all that is no expert; for a wider --from.
                   The authors' V-JetMoE-T: --from vit_small.pth --trunk vit_tiny.pth
  --seed N         of all random choices and of what is new; default 0
  --report FILE    JSON report; default the name of --out with .report.json; a text stands beside it
  --classes N      classes of the new head; default the model's own
  --new-head       start the head anew also where it would fit
  --count N        pictures used at most; default 256
  --batch N        pictures at a time; default 8
  --mean, --std X  what the dense model's pictures are normalised by, one number or three; default 0.5
  --metric M       importance: L1, L2 or act_patrn; default L2
  --global         importance: the best neurons over all blocks, the same for all experts
  --percentile X   what counts as firing: above this percentile of a block's activations; default 80
  --resolution X   graph: above 1 for smaller groups; default 1.1
  --part NAME      the state dict inside a .pth that holds several, such as model_ema`;

/** Metrics of `importance`. */
const METRICS = ["L1", "L2", "act_patrn"] as const;

/** What the command line says. */
type Settings = ReturnType<typeof readSettings>;

function readSettings(args: readonly string[]) {
  const { values } = readArguments(USAGE, args, {
    options: {
      from: { type: "string" },
      model: { type: "string" },
      out: { type: "string" },
      method: { type: "string", default: "random" },
      images: { type: "string" },
      trunk: { type: "string" },
      seed: { type: "string", default: "0" },
      report: { type: "string" },
      classes: { type: "string" },
      "new-head": { type: "boolean", default: false },
      count: { type: "string", default: "256" },
      batch: { type: "string", default: "8" },
      mean: { type: "string", default: "0.5" },
      std: { type: "string", default: "0.5" },
      metric: { type: "string", default: "L2" },
      global: { type: "boolean", default: false },
      percentile: { type: "string", default: "80" },
      resolution: { type: "string", default: "1.1" },
      part: { type: "string" },
    },
  });
  const { from, model, out } = values;
  if (from === undefined || model === undefined || out === undefined) {
    throw new UsageError("needs --from, --model and --out; --help lists the options");
  }
  const method = oneOf("method", values.method, RECYCLE_METHODS);
  const needsImages = method === "importance" || method === "graph";
  if (needsImages && values.images === undefined) {
    throw new UsageError(
      `--method ${method} chooses by what pictures do: name some with --images DIR, or use copy, ` +
        "uniform or random",
    );
  }
  const report = values.report ?? `${stem(out)}.report.json`;
  return {
    ...values,
    from,
    model,
    out,
    method,
    report,
    text: `${report.replace(/\.json$/, "")}.txt`,
    seed: wholeNumber("seed", values.seed, 0, 2 ** 53 - 1),
    classes: values.classes === undefined
      ? undefined
      : wholeNumber("classes", values.classes, 1, 1e6),
    count: wholeNumber("count", values.count, 1, 1e7),
    batch: wholeNumber("batch", values.batch, 1, 4096),
    mean: numbers("mean", values.mean),
    std: numbers("std", values.std),
    metric: oneOf("metric", values.metric, METRICS),
    percentile: numbers("percentile", values.percentile)[0],
    resolution: numbers("resolution", values.resolution)[0],
  };
}

/** Runs the command. */
export async function run(args: readonly string[]): Promise<void> {
  const settings = readSettings(args);
  const { name, options } = await modelOption(settings.model, settings.classes);
  const config = moeVitConfig(options);
  if (config.moeLayers.length === 0) {
    throw new ShapeError(`${name} is a dense model: --model must name one with experts`);
  }
  for (const path of [settings.out, settings.report, settings.text]) await checkWritable(path);
  using _ = discardOnInterrupt();
  await using files = new AsyncDisposableStack();
  const dense = await openDense(settings.from, settings, config, files);
  const trunk = settings.trunk === undefined
    ? undefined
    : await openDense(settings.trunk, settings, config, files);
  if (trunk !== undefined && trunk.model.config.embedDim !== config.embedDim) {
    throw new CheckpointError(
      `${settings.trunk}: a trunk must be as wide as the new model, ${config.embedDim} channels; ` +
        `it has ${trunk.model.config.embedDim}`,
    );
  }
  const wider = dense.model.config.embedDim > config.embedDim;
  const sites = recycleSites(settings.method, { wider, trunk: trunk !== undefined });
  const measured = sites.length > 0 ? await measure(dense, sites, settings) : null;
  const { weights, report } = recycleFrom(dense.source, options, {
    method: settings.method,
    stats: measured?.stats,
    seed: settings.seed,
    newHead: settings["new-head"],
    metric: settings.metric,
    selectGlobal: settings.global,
    resolution: settings.resolution,
    trunk: trunk?.source,
  });
  const writing = new Progress("writing", weights.shapes.size);
  const bytes = await saveSource(settings.out, weights, (done) => writing.update(done));
  writing.finish(`${(bytes / 1e6).toFixed(1)} MB`);
  await writeFileAtomic(settings.report, jsonReport(report, settings, name, measured));
  const summary = formatRecycleReport(report);
  await writeFileAtomic(
    settings.text,
    [
      `${settings.out}: ${name} from ${settings.from}${
        settings.trunk === undefined ? "" : `, trunk ${settings.trunk}`
      }`,
      ...(measured ? [`${measured.files.length} pictures of ${settings.images}`] : []),
      `${dense.report}`,
      ...(trunk ? [`${trunk.report}`] : []),
      summary,
      "",
      listRecycledTensors(report),
      "",
    ].join("\n"),
  );
  console.log(summary);
  console.log(`weights  ${settings.out}\nreport   ${settings.report}\n         ${settings.text}`);
}

/** A dense model's file, in the names and shapes of a model of its size. */
interface DenseFile {
  readonly file: string;
  readonly model: VisionTransformer;
  readonly source: StateSource;
  /** What had to be done to its names and position embedding. */
  readonly report: string;
  /** Channels of a head divide its width. */
  readonly headsFit: boolean;
}

async function openDense(
  file: string,
  { part }: Settings,
  config: MoeVitConfig,
  files: AsyncDisposableStack,
): Promise<DenseFile> {
  const opened = files.use(await openWeightsFile(file));
  const source = weightsSource(await openWeights(opened, { part }));
  const prefix = vitPrefix(source.shapes.keys());
  const shapes = new Map(
    [...source.shapes].map(([name, shape]) => [
      name.startsWith(prefix) ? name.slice(prefix.length) : name,
      shape,
    ]),
  );
  const headDim = config.embedDim / config.numHeads;
  try {
    const found = inferVitOptions(shapes, headDim);
    // Position embeddings are brought to the new model's size on the way.
    const model = new VisionTransformer({ ...found, imgSize: config.imgSize });
    const fitted = fitPretrained(model, source, { prefix });
    return {
      file,
      model,
      source: fitted.source,
      report: `${file}: ${fitted.report}`,
      headsFit: model.config.embedDim % headDim === 0,
    };
  } catch (error) {
    if (!(error instanceof CheckpointError || error instanceof ShapeError)) throw error;
    throw new CheckpointError(`${file}: ${error.message}`, { cause: error });
  }
}

/** Statistics of the dense model, and what they were measured on. */
interface Measured {
  readonly stats: SiteStats;
  readonly files: readonly string[];
}

/** Runs pictures through the dense model. */
async function measure(
  { file, model, source, headsFit }: DenseFile,
  sites: readonly Site[],
  settings: Settings,
): Promise<Measured> {
  if (!headsFit) {
    throw new CheckpointError(
      `${file}: its ${model.config.embedDim} channels are no multiple of the new model's channels ` +
        "a head; use random or uniform, or a model with other heads",
    );
  }
  const all = await listImages(settings.images!);
  const order = new Rng(settings.seed, "recycle/images").permutation(all.length);
  const files = [...order.subarray(0, settings.count)].sort((a, b) => a - b).map((i) => all[i]);
  using device = await requestDevice({ seed: settings.seed });
  console.error(`${device.label}: ${files.length} of ${all.length} pictures, ${sites.join(", ")}`);
  await model.eval().to(device, { state: source });
  const bar = new Progress("activations", files.length);
  const stats = await siteStats(model, batches(device, files, model, settings, bar), sites, {
    percentile: settings.percentile,
    coActivation: settings.method === "graph",
  });
  bar.finish();
  return { stats, files };
}

/** The pictures as the model takes them, some at a time; each batch is freed when the next is asked for. */
async function* batches(
  device: Device,
  files: readonly string[],
  model: VisionTransformer,
  { batch, mean, std }: Settings,
  bar: Progress,
): AsyncGenerator<Tensor> {
  const { inChans, imgSize } = model.config;
  if (typeof imgSize !== "number" && imgSize[0] !== imgSize[1]) {
    throw new ShapeError(`--images needs a model of square pictures, this one takes [${imgSize}]`);
  }
  if (inChans !== 1 && inChans !== 3) {
    throw new ShapeError(`--images needs a model of 1 or 3 channels, this one takes ${inChans}`);
  }
  const size = typeof imgSize === "number" ? imgSize : imgSize[0];
  const scale = normalise(mean, std), plane = size * size;
  const unused = new Rng(0);
  for (let first = 0; first < files.length; first += batch) {
    const some = files.slice(first, first + batch);
    const values = new Float32Array(some.length * inChans * plane);
    for (const [i, file] of some.entries()) {
      const image = toFloatImage(await fitImage(await readImage(file), { size }));
      const own = inChans === 3 ? image : { ...image, channels: 1, data: grey(image.data, plane) };
      values.set(scale(own, unused).data, i * inChans * plane);
    }
    const tensor = device.tensor(values, [some.length, inChans, size, size]);
    yield tensor;
    tensor.dispose();
    bar.update(first + some.length);
  }
}

/** The mean of the three channels. */
function grey(data: Float32Array, plane: number): Float32Array {
  return Float32Array.from(
    { length: plane },
    (_, i) => (data[i] + data[plane + i] + data[2 * plane + i]) / 3,
  );
}

/** The report as JSON, a tensor and a choice a line. */
function jsonReport(
  { entries, selections, method, seed }: RecycleReport,
  settings: Settings,
  model: string,
  measured: Measured | null,
): string {
  const { from, trunk = null, out, images = null, metric, percentile, resolution } = settings;
  const head = {
    model,
    from,
    trunk,
    out,
    method,
    seed,
    ...optionsOf(method, { metric, global: settings.global, percentile, resolution }),
    images: measured === null ? null : { folder: images, files: measured.files },
  };
  const list = (items: readonly unknown[]) =>
    items.map((item) => `\n    ${JSON.stringify(item)}`).join(",");
  const fields = Object.entries(head)
    .map(([key, value]) => `  ${JSON.stringify(key)}: ${JSON.stringify(value)},\n`).join("");
  return `{\n${fields}  "entries": [${list(entries)}\n  ],\n  "selections": [${
    list(selections)
  }\n  ]\n}\n`;
}

/** The options that a method looks at. */
function optionsOf(method: RecycleMethod, all: Record<string, unknown>): Record<string, unknown> {
  const { metric, global, percentile, resolution } = all;
  if (method === "importance") return { metric, global, percentile };
  return method === "graph" ? { percentile, resolution } : {};
}

function stem(path: string): string {
  return path.replace(/\.safetensors$/, "");
}

/** @throws {ShapeError} it is none of the choices; lists them */
function oneOf<T extends string>(option: string, value: string, choices: readonly T[]): T {
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  throw new ShapeError(
    `there is no ${option} ${JSON.stringify(value)}; there are ${choices.join(", ")}`,
  );
}

/** @throws {UsageError} these are no numbers with commas between them */
function numbers(option: string, text: string): number[] {
  const values = text.split(",").map((part) => part.trim() === "" ? NaN : Number(part));
  if (values.every(Number.isFinite)) return values;
  throw new UsageError(`--${option} takes numbers, not "${text}"`);
}
