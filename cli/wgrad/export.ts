/**
 * `deno task wgrad export --from FILE --out FILE.onnx [--model NAME] [--opset N] …`
 *
 * Writes a trained model as an ONNX file, for ONNX Runtime and what else reads the format. Nothing is computed and no adapter
 * is needed; weights go from file to file tensor by tensor.
 * @module
 */
import { CheckpointError } from "../../engine/errors.ts";
import { writeFileAtomic } from "../../io/files.ts";
import { openWeights, weightsSource } from "../../io/weights.ts";
import { fitPretrained, McGaze, MCGAZE_PRESETS, visionModel } from "../../models/mod.ts";
import { exportOnnx, type OnnxFile, type OnnxOptions } from "../../onnx/mod.ts";
import type { StateSource } from "../../nn/mod.ts";
import { discardOnInterrupt } from "../interrupt.ts";
import { readArguments, UsageError, wholeNumber } from "../main.ts";
import { readCard } from "../training/model_file.ts";
import { openWeightsFile } from "../weights_file.ts";
import { MODEL_USAGE, modelOption } from "./model_option.ts";

const USAGE = `deno task wgrad export --from FILE --out FILE.onnx: a trained model for ONNX Runtime
  --from FILE    safetensors or PyTorch checkpoint
  --out FILE     the ONNX file
  --model NAME   ${MODEL_USAGE};
                 or ${Object.keys(MCGAZE_PRESETS).join(", ")}. Files of \`wgrad train\` need none
  --classes N    classes of a ViT, where the preset has others
  --opset N      version of ONNX's operators, 17 to 21; default 17
  --size N       side of the images, of MCGaze; default the preset's
  --frames N     frames of a clip, of MCGaze; default the preset's`;

/** Runs the command. */
export async function run(args: readonly string[]): Promise<void> {
  const { values, positionals } = readArguments(USAGE, args, {
    allowPositionals: true,
    options: {
      from: { type: "string" },
      out: { type: "string" },
      model: { type: "string" },
      classes: { type: "string" },
      opset: { type: "string", default: "17" },
      size: { type: "string" },
      frames: { type: "string" },
    },
  });
  const { from, out, model } = values;
  if (positionals.length > 0 || from === undefined || out === undefined) {
    throw new UsageError("needs --from and --out, and no other file; --help lists the options");
  }
  const count = (name: "classes" | "size" | "frames", most: number) =>
    values[name] === undefined ? undefined : wholeNumber(name, values[name], 1, most);
  const options: OnnxOptions = {
    opset: wholeNumber("opset", values.opset, 1, 99),
    imgSize: count("size", 4096),
    frames: count("frames", 1000),
  };
  await using file = await openWeightsFile(from);
  const source = weightsSource(await openWeights(file));
  const onnx = model !== undefined && Object.hasOwn(MCGAZE_PRESETS, model)
    ? gazeFile(model as keyof typeof MCGAZE_PRESETS, source, options)
    : await vitFile(from, model, count("classes", 1_000_000), source, options);
  using _ = discardOnInterrupt();
  const bytes = await writeFileAtomic(out, onnx.chunks(), { errorClass: CheckpointError });
  console.log(`${out}: ${(bytes / 1e6).toFixed(1)} MB, opset ${options.opset}`);
}

function gazeFile(
  preset: keyof typeof MCGAZE_PRESETS,
  state: StateSource,
  options: OnnxOptions,
): OnnxFile {
  return exportOnnx(new McGaze(MCGAZE_PRESETS[preset]), { ...options, state });
}

async function vitFile(
  from: string,
  model: string | undefined,
  classes: number | undefined,
  source: StateSource,
  options: OnnxOptions,
): Promise<OnnxFile> {
  const settings = model === undefined
    ? (await readCard(from))?.model
    : (await modelOption(model, classes)).options;
  if (settings === undefined) {
    throw new UsageError(`${from} does not say which model it is; name it with --model`);
  }
  const vit = visionModel(settings), { source: state, report } = fitPretrained(vit, source);
  if (report.head !== null) {
    const { from: has, to } = report.head;
    throw new UsageError(`${from} knows ${has} classes and the model ${to}; say --classes ${has}`);
  }
  return exportOnnx(vit, { ...options, state });
}
