/**
 * `deno task wgrad gaze INPUT --out DIR …`
 *
 * Where the people in a picture or video look, by a trained MCGaze: numbers as JSON and CSV, and the frames with arrows.
 * @module
 */
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { HEAD_SHARE, parseHeadBoxes } from "../../data/gaze/mod.ts";
import { DataError, requestDevice } from "../../engine/mod.ts";
import { readFileBytes } from "../../io/files.ts";
import { type ByteSource, readExactly } from "../../io/byte_source.ts";
import { openWeights, weightsSource } from "../../io/weights.ts";
import { McGaze, MCGAZE_PRESETS, type McGazeOptions } from "../../models/mod.ts";
import { FACE_NETWORKS, faceDetector, type FaceNetwork } from "../gaze/detector.ts";
import { openFrames } from "../gaze/frames.ts";
import { COORDINATES, NOTE } from "../gaze/rows.ts";
import { type HeadSource, runGaze } from "../gaze/run.ts";
import { optionsOfCard } from "../gaze/weights_card.ts";
import { withInterrupt } from "../interrupt.ts";
import { readArguments, UsageError, wholeNumber } from "../main.ts";
import { quietDrivers } from "../system.ts";
import { GAZE_WEIGHTS } from "../weights.ts";
import { openWeightsFile } from "../weights_file.ts";

const USAGE = `Usage: deno task wgrad gaze INPUT [OPTIONS]

INPUT is a picture, a folder of frames (in the order of their names), a GIF, a video (needs ffmpeg), or
rendered:N, clip N of the renderer's test split, whose true gaze is known.

  --out DIR        where everything goes; default out/gaze
  --boxes FILE     heads from a JSON file: { "heads": [{ "frame": 0, "box": [left, top, right, bottom] }, …] };
                   frame is a number from 0 or a file name; "person": N says whose; gaze.json has this form
  --detector NAME  finds faces, and a head about each. ssd: the better boxes, about 7 seconds of a CPU core a frame;
                   tiny: about 2; none: the whole frame is one head, cut out before. Default ssd for a picture and for
                   stills, tiny for frames of a video, none for a rendered clip
  --every N        look for faces in every Nth frame only; default 1
  --stills         each frame is a picture by itself, not a part of a video
  --weights FILE   default weights/mcgaze_small.safetensors
  --preset NAME    the model of the weights: ${Object.keys(MCGAZE_PRESETS).join(", ")};
                   default: what the weights say of themselves (clues, attention, sizes), else mcgaze_small
  --size N         side in pixels of what the model is shown; default the model's
  --head-share F   height of a head as a share of that side, 0.2 to 3: 1 shows the head's box alone, less shows what
                   is around it, too, more cuts hair and chin off. It has to be as in training: default ${HEAD_SHARE} is
                   that of rendered clips. For the authors' weights 0.86 shows what stands in their frames, 1.02 what
                   their crop of 0.84 leaves of it (they train on crops of 0.68 to 1)

A run that is stopped or ends early keeps what is finished; the same command goes on behind it.

${NOTE}`;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<void> {
  quietDrivers();
  const { values, positionals } = readArguments(USAGE, args, {
    allowPositionals: true,
    options: {
      out: { type: "string", default: "out/gaze" },
      boxes: { type: "string" },
      detector: { type: "string" },
      every: { type: "string", default: "1" },
      stills: { type: "boolean", default: false },
      weights: { type: "string", default: GAZE_WEIGHTS },
      preset: { type: "string" },
      size: { type: "string" },
      "head-share": { type: "string", default: String(HEAD_SHARE) },
    },
  });
  if (positionals.length !== 1) {
    throw new UsageError(
      `want one input, a picture, a folder of frames, a GIF or a video, got ${positionals.length}`,
    );
  }
  const { detector, preset } = values;
  if (preset !== undefined && !Object.hasOwn(MCGAZE_PRESETS, preset)) {
    throw new UsageError(
      `--preset is one of ${Object.keys(MCGAZE_PRESETS).join(", ")}, not ${preset}`,
    );
  }
  if (detector !== undefined && detector !== "none" && !isFaceNetwork(detector)) {
    throw new UsageError(`--detector is ${FACE_NETWORKS.join(", ")} or none, not ${detector}`);
  }
  if (values.boxes !== undefined && detector !== undefined) {
    throw new UsageError("--boxes and --detector exclude each other");
  }
  const every = wholeNumber("every", values.every, 1, 1000);
  const headShare = Number(values["head-share"]);
  if (!(headShare >= 0.2 && headShare <= 3)) {
    throw new UsageError(
      `--head-share takes a number from 0.2 to 3, not ${values["head-share"]}`,
    );
  }
  const asked = values.size === undefined ? undefined : wholeNumber("size", values.size, 32, 1024);
  const options = preset && MCGAZE_PRESETS[preset as keyof typeof MCGAZE_PRESETS];
  const { model, sha256 } = await loadGazeModel(values.weights, options || undefined);
  const size = asked === undefined ? model.config.imageSize : 32 * Math.ceil(asked / 32);
  const [input] = positionals;
  const source = await openFrames(input, size);
  const whole = detector === "none" || (detector === undefined && input.startsWith("rendered"));
  const still = source.count === 1 || values.stills;
  const found = detector ?? (still ? "ssd" : "tiny");
  let heads: HeadSource, boxes: string | null = null;
  if (values.boxes !== undefined) {
    boxes = new TextDecoder().decode(await readFileBytes(values.boxes, DataError));
    heads = { kind: "file", heads: parseHeadBoxes(boxes, values.boxes) };
  } else if (whole) heads = { kind: "none" };
  else {
    heads = { kind: "detector", detect: await faceDetector(found as FaceNetwork), every };
  }

  using device = await requestDevice();
  await model.to(device);
  model.eval();
  console.log(`gaze: ${device.label}, ${source.kind} ${input}`);
  const job = {
    input,
    source,
    model,
    size,
    heads,
    headShare,
    out: values.out,
    settings: {
      input: input.startsWith("rendered") ? input : resolve(input),
      ...{
        weights: sha256,
        preset: preset ?? null,
        size,
        headShare,
        detector: whole ? "none" : found,
        boxes,
      },
      ...{ every, stills: values.stills },
    },
    facts: {
      weights: values.weights,
      detector: values.boxes ?? (whole ? "none" : `${found} of @vladmandic/face-api`),
      adapter: device.label,
    },
    stills: values.stills,
    warn: (message: string) => console.error(`gaze: ${message}`),
  };
  const { rows, frames, error, stages } = await withInterrupt((signal) =>
    runGaze({ ...job, signal })
  );
  const persons = new Set(rows.map(({ person }) => person)).size;
  console.log(`gaze: ${rows.length} heads of ${persons} persons in ${frames} frames`);
  console.log(stages.summary(frames));
  if (error !== null) console.log(`gaze: ${error.toFixed(2)}° off the true gaze`);
  console.log(`gaze: ${NOTE}\ngaze: ${COORDINATES}`);
  console.log(`gaze: wrote gaze.json, gaze.csv and frames/ into ${values.out}`);
}

function isFaceNetwork(name: string): name is FaceNetwork {
  return FACE_NETWORKS.some((network) => network === name);
}

/**
 * A trained model, without memory on a device, and the hash of its file.
 * @param options the model's settings; default those of the weights' card (`weights_card.ts`), else `mcgaze_small`
 * @throws {DataError} there is no such file
 * @throws {CheckpointError} the file is no checkpoint, its card is damaged, or its tensors are not those of the model
 */
export async function loadGazeModel(
  path: string,
  options?: McGazeOptions,
): Promise<{ model: McGaze; sha256: string }> {
  const address = /^https?:/.test(path);
  if (!address && !await Deno.stat(path).then(({ isFile }) => isFile, () => false)) {
    throw new DataError(
      `${path}: there are no weights here; train them (deno task wgrad train-gaze) or name others with --weights FILE`,
    );
  }
  await using file = await openWeightsFile(path);
  const reader = await openWeights(file);
  const card = "metadata" in reader ? optionsOfCard(reader.metadata, path) : undefined;
  const model = new McGaze(options ?? card ?? MCGAZE_PRESETS.mcgaze_small);
  await model.loadStateFrom(weightsSource(reader));
  return { model, sha256: await sha256Of(file) };
}

async function sha256Of(file: ByteSource): Promise<string> {
  const hash = createHash("sha256"), piece = 2 ** 24;
  for (let at = 0; at < file.size; at += piece) {
    hash.update(await readExactly(file, at, Math.min(piece, file.size - at)));
  }
  return hash.digest("hex");
}
