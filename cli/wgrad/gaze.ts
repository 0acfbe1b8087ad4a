/**
 * `deno task wgrad gaze INPUT --out DIR …`
 *
 * Where the people in a picture or video look, by a trained MCGaze: numbers as JSON and CSV, and the frames with arrows.
 * @module
 */
import { parseHeadBoxes } from "../../data/gaze/mod.ts";
import { DataError, requestDevice } from "../../engine/mod.ts";
import { readFileBytes } from "../../io/files.ts";
import { McGaze, MCGAZE_PRESETS } from "../../models/mod.ts";
import { faceDetector } from "../gaze/detector.ts";
import { openFrames } from "../gaze/frames.ts";
import { COORDINATES, NOTE } from "../gaze/results.ts";
import { type HeadSource, runGaze } from "../gaze/run.ts";
import { withInterrupt } from "../interrupt.ts";
import { readArguments, UsageError, wholeNumber } from "../main.ts";
import { quietDrivers } from "../system.ts";
import { GAZE_WEIGHTS, loadWeights } from "../weights.ts";

const USAGE = `Usage: deno task wgrad gaze INPUT [OPTIONS]

INPUT is a picture, a folder of frames (in the order of their names), a GIF, a video (needs ffmpeg), or
rendered:N, clip N of the renderer's test split, whose true gaze is known.

  --out DIR        where everything goes; default out/gaze
  --boxes FILE     heads from a JSON file: { "heads": [{ "frame": 0, "box": [left, top, right, bottom] }, …] };
                   frame is a number from 0 or a file name; "person": N says whose; gaze.json has this form
  --detector NAME  face-api: finds faces, and a head about each; none: the whole frame is one head, cut out before.
                   Default face-api; none for a rendered clip
  --every N        look for faces in every Nth frame only; default 1
  --stills         each frame is a picture by itself, not a part of a video
  --weights FILE   default weights/mcgaze_small.safetensors
  --preset NAME    the model of the weights: ${
  Object.keys(MCGAZE_PRESETS).join(", ")
}; default mcgaze_small
  --size N         side in pixels of what the model is shown; default the preset's

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
      preset: { type: "string", default: "mcgaze_small" },
      size: { type: "string" },
    },
  });
  if (positionals.length !== 1) {
    throw new UsageError(
      `want one input, a picture, a folder of frames, a GIF or a video, got ${positionals.length}`,
    );
  }
  const { detector, preset } = values;
  if (!Object.hasOwn(MCGAZE_PRESETS, preset)) {
    throw new UsageError(
      `--preset is one of ${Object.keys(MCGAZE_PRESETS).join(", ")}, not ${preset}`,
    );
  }
  if (detector !== undefined && detector !== "face-api" && detector !== "none") {
    throw new UsageError(`--detector is face-api or none, not ${detector}`);
  }
  if (values.boxes !== undefined && detector !== undefined) {
    throw new UsageError("--boxes and --detector exclude each other");
  }
  const every = wholeNumber("every", values.every, 1, 1000);
  const options = MCGAZE_PRESETS[preset as keyof typeof MCGAZE_PRESETS];
  const size = values.size === undefined
    ? options.imageSize ?? 224
    : 32 * Math.ceil(wholeNumber("size", values.size, 32, 1024) / 32);
  const model = await loadGazeModel(values.weights, options);
  const [input] = positionals;
  const source = await openFrames(input, size);
  const whole = detector === "none" || (detector === undefined && input.startsWith("rendered"));
  let heads: HeadSource;
  if (values.boxes !== undefined) {
    const text = new TextDecoder().decode(await readFileBytes(values.boxes, DataError));
    heads = { kind: "file", heads: parseHeadBoxes(text, values.boxes) };
  } else if (whole) heads = { kind: "none" };
  else heads = { kind: "detector", detect: await faceDetector(), every };

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
    out: values.out,
    facts: {
      weights: values.weights,
      detector: values.boxes ?? (whole ? "none" : "face-api"),
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

/**
 * A trained model, without memory on a device.
 * @throws {DataError} there is no such file
 * @throws {CheckpointError} the file is no checkpoint
 * @throws {ShapeError} its tensors are not those of the model
 */
export async function loadGazeModel(
  path: string,
  options: (typeof MCGAZE_PRESETS)[keyof typeof MCGAZE_PRESETS],
): Promise<McGaze> {
  if (!await Deno.stat(path).then(({ isFile }) => isFile, () => false)) {
    throw new DataError(
      `${path}: there are no weights here; train them (deno task wgrad train-gaze) or name others with --weights FILE`,
    );
  }
  const weights = await loadWeights(path);
  const model = new McGaze(options);
  model.loadStateDict(weights);
  return model;
}
