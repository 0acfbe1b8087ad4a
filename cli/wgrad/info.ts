/**
 * `deno task wgrad info --model NAME [--batch N] [--classes N] [--weights FILE] [--measure | --no-measure] [--train] [--json]`
 *
 * What a model is and will cost: parameters, operations of a forward pass, GPU memory to load it, to run it and to train
 * it. All of this is known, and printed, before anything is allocated. Then the model is loaded and run once where it
 * fits into the machine's free memory, and the same figures are measured.
 * @module
 */
import { noGrad } from "../../engine/autograd.ts";
import type { CapturedInput } from "../../engine/capture.ts";
import type { Device } from "../../engine/device.ts";
import { requestDevice } from "../../engine/request_device.ts";
import { openWeights, weightsSource } from "../../io/weights.ts";
import { imageSize, visionModel, type VisionTransformer } from "../../models/mod.ts";
import { AdamW, crossEntropy, estimate, type Module, type StateSource } from "../../nn/mod.ts";
import { readArguments, UsageError, wholeNumber } from "../main.ts";
import { Progress } from "../progress.ts";
import { openWeightsFile } from "../weights_file.ts";
import { MODEL_USAGE, modelOption } from "./model_option.ts";

const USAGE = `Usage: deno task wgrad info --model NAME [options]
What a model is and costs, predicted before anything is allocated, then measured where it fits.
  --model NAME     ${MODEL_USAGE}
  --batch N        images at a time; default 1
  --classes N      classes of the head; default the model's own
  --weights FILE   load these weights when measuring (safetensors, .pth); default: made-up ones
  --train          measure two training steps too
  --measure        measure also where it may not fit into the free memory
  --no-measure     predict only
  --json           print one JSON object`;

/** Free memory that is left alone when the model computes on the CPU: programs, drivers, one tensor on its way. */
const RESERVE = 1.5e9;

/** Bytes of GPU memory and operations. */
interface Costs {
  /** Of the loaded model. */
  readonly loadBytes: number;
  /** Peak of a forward pass without gradients. */
  readonly inferenceBytes: number;
}

/** What is known beforehand. */
interface Predicted extends Costs {
  /** Peak of training by AdamW with clipping. */
  readonly trainingBytes: number;
  /** Floating-point operations of a forward pass of the batch. */
  readonly forwardFlops: number;
  /** Of a training step. */
  readonly trainingFlops: number;
}

/** What was measured. */
interface Measured extends Costs {
  /** Milliseconds until the weights were on the device. */
  readonly loadMs: number;
  /** Milliseconds of the second forward pass; the first one compiles. */
  readonly forwardMs: number;
  /** Peak of training; null unless asked for. */
  readonly trainingBytes: number | null;
  /** Milliseconds of the second training step; null unless asked for. */
  readonly trainingMs: number | null;
  /** Most memory that the process held, in bytes; null where the system does not tell. */
  readonly processBytes: number | null;
}

/** Runs the command. */
export async function run(args: readonly string[]): Promise<void> {
  const { values } = readArguments(USAGE, args, {
    options: {
      model: { type: "string" },
      batch: { type: "string", default: "1" },
      classes: { type: "string" },
      weights: { type: "string" },
      measure: { type: "boolean", default: false },
      "no-measure": { type: "boolean", default: false },
      train: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  if (values.model === undefined) throw new UsageError(`needs --model; ${MODEL_USAGE}`);
  const batch = wholeNumber("batch", values.batch, 1, 65_536);
  const classes = values.classes === undefined
    ? undefined
    : wholeNumber("classes", values.classes, 1, 1e6);
  const { name, options } = await modelOption(values.model, classes);
  const model = visionModel(options).eval();
  using device = await requestDevice();
  const { config } = model;
  const shape = [batch, config.inChans, ...imageSize(config)];
  const images: CapturedInput = [new Float32Array(shape.reduce((a, b) => a * b, 1)), shape];
  const predicted = await predict(model, images, device);
  const about = {
    model: name,
    parameters: model.learnedSize,
    batch,
    images: shape,
    adapter: device.label,
  };
  const print = values.json ? () => {} : (line: string) => console.log(line);
  print(
    `${name}: ${count(about.parameters)} parameters; batch ${batch}, images [${shape.join(", ")}]`,
  );
  print(`${device.label}, at most ${bytes(device.target.maxBindingBytes)} a binding`);
  print("predicted, before anything is allocated");
  print(`  forward        ${flops(predicted.forwardFlops)}`);
  print(`  training step  ${flops(predicted.trainingFlops)}`);
  print(`  load           ${bytes(predicted.loadBytes)}`);
  print(`  inference      ${bytes(predicted.inferenceBytes)} at its peak`);
  print(`  training       ${bytes(predicted.trainingBytes)} at its peak (AdamW, clipping)`);
  const refusal = values["no-measure"]
    ? "not asked for"
    : values.measure
    ? null
    : reasonAgainst(values.train ? predicted.trainingBytes : predicted.inferenceBytes, device);
  let measured: Measured | null = null;
  if (refusal !== null) print(`not measured: ${refusal}`);
  else {
    measured = await measureWith(values.weights, model, images, device, values.train);
    print("measured");
    print(`  load           ${bytes(measured.loadBytes)} in ${seconds(measured.loadMs)}`);
    print(
      `  inference      ${peak(measured.inferenceBytes, predicted.inferenceBytes)}, ` +
        `${seconds(measured.forwardMs)} a forward`,
    );
    if (measured.trainingBytes !== null) {
      print(
        `  training       ${peak(measured.trainingBytes, predicted.trainingBytes)}, ` +
          `${seconds(measured.trainingMs!)} a step`,
      );
    }
    if (measured.processBytes !== null) {
      print(`  process        ${bytes(measured.processBytes)} at its peak, program included`);
    }
  }
  if (values.json) console.log(JSON.stringify({ ...about, predicted, measured, refusal }, null, 2));
}

async function predict(
  model: VisionTransformer,
  images: CapturedInput,
  device: Device,
): Promise<Predicted> {
  const [, [batch]] = images;
  const inference = await estimate(model, [images], { device, capture: false });
  const training = await estimate(model, [images, [new Uint32Array(batch), [batch]]], {
    device,
    training: {
      optimizer: optimizerOf,
      loss: (x, labels) => crossEntropy(model.forward(x), labels),
    },
  });
  return {
    loadBytes: inference.loadBytes,
    inferenceBytes: inference.peakBytes,
    trainingBytes: training.peakBytes,
    forwardFlops: inference.flops,
    trainingFlops: training.flops,
  };
}

/** What models are trained with. */
function optimizerOf(model: Module): AdamW {
  return new AdamW(model.namedParameters(), { maxGradNorm: 5 });
}

/** Why so much had better not be allocated; null where nothing speaks against it. */
function reasonAgainst(needed: number, device: Device): string | null {
  if (!device.software) return null;
  const { available } = Deno.systemMemoryInfo();
  if (needed + RESERVE <= available) return null;
  return `needs ${bytes(needed)} of the machine's memory and ${bytes(RESERVE)} beside it, ` +
    `${bytes(available)} are free; --measure does it all the same`;
}

async function measureWith(
  file: string | undefined,
  model: VisionTransformer,
  images: CapturedInput,
  device: Device,
  training: boolean,
): Promise<Measured> {
  if (file === undefined) return await measure(model, madeUp(model), images, device, training);
  await using source = await openWeightsFile(file);
  const state = weightsSource(await openWeights(source));
  return await measure(model, state, images, device, training);
}

async function measure(
  model: VisionTransformer,
  state: StateSource,
  images: CapturedInput,
  device: Device,
  training: boolean,
): Promise<Measured> {
  const loading = new Progress("loading", state.shapes.size);
  let read = 0;
  const start = performance.now();
  await model.to(device, {
    state: {
      shapes: state.shapes,
      read: async (name) => {
        const values = await state.read(name);
        loading.update(++read);
        return values;
      },
    },
  });
  const loadMs = performance.now() - start;
  loading.finish();
  const { liveBytes: loadBytes } = device.memory;
  const forward = async (): Promise<number> => {
    const begin = performance.now();
    await device.step(() => noGrad(() => model.forward(device.tensor(...images)).data()));
    return performance.now() - begin;
  };
  await forward();
  const forwardMs = await forward();
  const { peakBytes: inferenceBytes } = device.memory;
  const trainingMs = training ? await trainTwice(model, images, device) : null;
  return {
    loadBytes,
    loadMs,
    inferenceBytes,
    forwardMs,
    trainingBytes: training ? device.memory.peakBytes : null,
    trainingMs,
    processBytes: processPeak(),
  };
}

/** Two training steps; the milliseconds of the second, as the first one compiles. */
async function trainTwice(
  model: VisionTransformer,
  images: CapturedInput,
  device: Device,
): Promise<number> {
  const [, [batch]] = images;
  const optimizer = optimizerOf(model.train());
  const step = device.capture((x, labels) => {
    optimizer.zeroGrad();
    const loss = crossEntropy(model.forward(x), labels);
    loss.backward();
    optimizer.step();
    return loss;
  });
  let begin = 0;
  for (let i = 0; i < 2; i++) {
    begin = performance.now();
    await (await step(images, [new Uint32Array(batch), [batch]])).item();
  }
  return performance.now() - begin;
}

/** Weights of the right shapes that cost nothing to make: drawing a billion numbers would take longer than loading them. */
function madeUp(model: VisionTransformer): StateSource {
  const shapes = model.stateShapes();
  return {
    shapes,
    read: (name) => {
      const size = shapes.get(name)!.reduce((a, b) => a * b, 1);
      const values = new Float32Array(size);
      // Of both signs, no pattern that lines up with a row, about as large as trained ones.
      for (let i = 0; i < size; i++) values[i] = ((i * 7919) % 1009 - 504) / 12_600;
      return Promise.resolve(values);
    },
  };
}

/** The most memory that this process has held so far, as Linux counts it. */
function processPeak(): number | null {
  try {
    const status = Deno.readTextFileSync("/proc/self/status");
    const kilobytes = /^VmHWM:\s*(\d+) kB/m.exec(status)?.[1];
    return kilobytes === undefined ? null : 1024 * Number(kilobytes);
  } catch {
    return null;
  }
}

function count(n: number): string {
  return n.toLocaleString("en");
}

function bytes(n: number): string {
  return n < 1e9 ? `${(n / 1e6).toFixed(1)} MB` : `${(n / 1e9).toFixed(3)} GB`;
}

function peak(measured: number, predicted: number): string {
  return `${bytes(measured)} at its peak (${percent(measured / predicted - 1)} of predicted)`;
}

function flops(n: number): string {
  return n < 1e12 ? `${(n / 1e9).toFixed(2)} GFLOP` : `${(n / 1e12).toFixed(2)} TFLOP`;
}

function seconds(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function percent(x: number): string {
  return `${x < 0 ? "-" : "+"}${Math.abs(100 * x).toFixed(1)} %`;
}
