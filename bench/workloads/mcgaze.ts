/**
 * MCGaze on a clip, and its backbone with the pyramid, where nearly all of the work is.
 * @module
 */
import {
  McGaze,
  MCGAZE_PRESETS,
  type McGazeConfig,
  mcGazeConfig,
  type McGazeOptions,
  noGrad,
} from "../../mod.ts";
import { mcGazeProducts, mcGazeStages } from "../equations/mcgaze.ts";
import { foldedPyramid, pyramid, pyramidProducts } from "../equations/pyramid.ts";
import { type HostTensor, type HostTensors, uniform, weightsFor } from "../host_tensor.ts";
import { Tape, type Value } from "../reference/tape.ts";
import { type Expected, type ForwardWork, once, type Workload } from "../workload.ts";
import { free, place, upload } from "./ours.ts";

/** Of the frames of a clip so many differ, in turn: the reference computes the pyramid of those alone. */
const DISTINCT = 2;

/** Which model, how it is called in the table, how long the clip. */
export interface ClipOptions {
  readonly name: string;
  readonly model: McGazeOptions;
  readonly frames: number;
  /** Whether it takes minutes on a software adapter. */
  readonly long?: boolean;
}

/** The whole model's forward pass on a clip. */
export function mcGazeWorkload({ name, model, frames, long }: ClipOptions): Workload {
  const config = mcGazeConfig(model), { imageSize: side, stages } = config;
  const state = once(() => stateFor(config));
  const work = once((): ForwardWork => ({
    kind: "forward",
    inputs: { images: clip(frames, side) },
    weights: foldedPyramid(state()),
    compute: (ops, p) => {
      const levels = pyramid(ops, p, p.images, config.backbone);
      return mcGazeStages(ops, p, levels, config, [side, side]);
    },
  }));
  return {
    ...common(name, config, frames, mcGazeProducts(config)),
    ...(long && { long }),
    tolerance: 1e-3, // an error of a box moves what is seen in it
    work,
    reference: () => {
      const tape = new Tape(), p = onTape(tape, work().weights);
      const levels = distinctLevels(tape, p, config).map((level) => inTurn(tape, level, frames));
      return expected(mcGazeStages(tape, p, levels, config, [side, side]));
    },
    wgrad: async (device) => {
      const placed = (await place(device, new McGaze(model), state())).eval();
      const { images } = upload(device, work().inputs);
      const step = () => {
        const said = noGrad(() => placed.forward(images, frames));
        const { boxes, scores } = said[stages - 1];
        const gazes = said.map(({ gazes }, i) => [`gaze ${i}`, gazes.final]);
        return { ...Object.fromEntries(gazes), boxes, scores };
      };
      return { step, dispose: () => (placed.dispose(), free({ images })) };
    },
  };
}

/** Its backbone and pyramid alone. */
export function pyramidWorkload({ name, model, frames, long }: ClipOptions): Workload {
  const config = mcGazeConfig(model);
  const state = once(() => stateFor(config));
  const work = once((): ForwardWork => ({
    kind: "forward",
    inputs: { images: clip(frames, config.imageSize) },
    weights: Object.fromEntries(
      Object.entries(foldedPyramid(state())).filter(([name]) => /^(backbone|neck)\./.test(name)),
    ),
    compute: (ops, p) => named(pyramid(ops, p, p.images, config.backbone)),
  }));
  return {
    ...common(name, config, frames, 0),
    ...(long && { long }),
    tolerance: 1e-4,
    work,
    reference: () => {
      const tape = new Tape();
      const levels = distinctLevels(tape, onTape(tape, work().weights), config);
      return expected(named(levels.map((level) => inTurn(tape, level, frames))));
    },
    wgrad: async (device) => {
      const placed = (await place(device, new McGaze(model), state())).eval();
      const { images } = upload(device, work().inputs);
      return {
        step: () => named(noGrad(() => placed.pyramid(placed.maps(images)))),
        dispose: () => (placed.dispose(), free({ images })),
      };
    },
  };
}

function common(
  name: string,
  { imageSize, backbone, channels }: McGazeConfig,
  frames: number,
  stages: number,
) {
  const products = pyramidProducts(backbone, imageSize ** 2, channels) + stages;
  return {
    name,
    shape: `${frames}x3x${imageSize}x${imageSize}`,
    flops: 2 * frames * products,
    bytes: null,
  };
}

function named<T>(levels: readonly T[]): Record<string, T> {
  return Object.fromEntries(levels.map((level, l) => [`level ${l}`, level]));
}

/** Frames [T, 3, side, side], every second one alike. */
function clip(frames: number, side: number): HostTensor {
  const size = 3 * side ** 2, { data: both } = uniform([DISTINCT, size], 1, 2);
  const data = new Float32Array(frames * size);
  for (let t = 0; t < frames; t++) {
    const from = t % DISTINCT * size;
    data.set(both.subarray(from, from + size), t * size);
  }
  return { shape: [frames, 3, side, side], data };
}

/** A state dict: boxes where the configuration starts them, deltas that keep them near. */
function stateFor(config: McGazeConfig): HostTensors {
  const state: Record<string, HostTensor> = { ...weightsFor(new McGaze(config).stateShapes()) };
  for (const [name, { shape, data }] of Object.entries(state)) {
    if (/fc_reg\.weight$/.test(name)) state[name] = { shape, data: data.map((v) => 0.1 * v) };
  }
  const boxes = "rpn_head.init_proposal_bboxes.weight";
  const first = config.clues.flatMap((clue) => config.firstBoxes[clue]);
  return { ...state, [boxes]: { shape: state[boxes].shape, data: Float32Array.from(first) } };
}

function onTape(tape: Tape, tensors: HostTensors): Record<string, Value> {
  return Object.fromEntries(Object.entries(tensors).map(([name, x]) => [name, tape.input(x)]));
}

/** The pyramid of the frames that differ. */
function distinctLevels(tape: Tape, p: Record<string, Value>, config: McGazeConfig): Value[] {
  const images = tape.input(clip(DISTINCT, config.imageSize));
  return pyramid(tape, p, images, config.backbone);
}

/** Those of a whole clip. */
function inTurn(tape: Tape, level: Value, frames: number): Value {
  const each = Array.from({ length: DISTINCT }, (_, i) => tape.slice(level, 0, i, i + 1));
  return tape.concat(Array.from({ length: frames }, (_, t) => each[t % DISTINCT]), 0);
}

function expected(values: Readonly<Record<string, Value>>): Record<string, Expected> {
  return Object.fromEntries(
    Object.entries(values).map(([name, { data }]) => [name, { values: data }]),
  );
}

const SMALL = { model: MCGAZE_PRESETS.mcgaze_small, frames: 7 };
const R50 = { model: MCGAZE_PRESETS.mcgaze_r50_gaze360, frames: 7, long: true };

/** A clip of seven frames, as the authors train it; the small preset is the one that trains on a CPU. */
export const MCGAZE: readonly Workload[] = [
  pyramidWorkload({ ...SMALL, name: "small ResNet + FPN" }),
  mcGazeWorkload({ ...SMALL, name: "MCGaze small forward" }),
  pyramidWorkload({ ...R50, name: "ResNet-50 + FPN" }),
  mcGazeWorkload({ ...R50, name: "MCGaze R-50 forward" }),
];
