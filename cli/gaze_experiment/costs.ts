/**
 * What things cost at the moment: a step of each training, and a rendered clip. Measured once for a folder, to say how long
 * the experiment will take.
 * @module
 */
import { CLIP_LENGTH, SyntheticClips } from "../../data/gaze/mod.ts";
import { type Device, requestDevice, type Tensor } from "../../engine/mod.ts";
import { writeFileAtomic } from "../../io/files.ts";
import { McGaze, mcGazeGroups, mcGazeLoss, type McGazeOptions } from "../../models/mod.ts";
import { AdamW } from "../../nn/mod.ts";
import { type ArmName, ARMS, modelOptions, pretrainModel } from "./arms.ts";
import { clipsOf, FRAMES_A_STEP, type Plan } from "./plan.ts";

/** Milliseconds. */
export interface Costs {
  readonly size: number;
  readonly adapter: string;
  readonly date: string;
  /** Of a step of the training before the arms, and of each arm. */
  readonly step: Readonly<Record<"pretrain" | ArmName, number>>;
  /** Of rendering a clip on one thread. */
  readonly clip: number;
}

/** Steps that are timed, after one that compiles. */
const STEPS = 4;
/** Clips that are rendered, after one. */
const CLIPS = 4;

/** What the file of a folder says; where there is none for frames of this size, it is measured and written. */
export async function costsFor(plan: Plan): Promise<Costs> {
  const path = `${plan.out}/costs.json`;
  try {
    const costs: Costs = JSON.parse(await Deno.readTextFile(path));
    if (costs.size === plan.size) return costs;
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound || error instanceof SyntaxError)) throw error;
  }
  console.error("measuring what a step costs …");
  const costs = await measureCosts(plan);
  await writeFileAtomic(path, JSON.stringify(costs, null, 1) + "\n");
  return costs;
}

async function measureCosts(plan: Plan): Promise<Costs> {
  const { size } = plan;
  const step = { pretrain: 0, head: 0, single: 0, full: 0 };
  using device = await requestDevice({ seed: 0 });
  step.pretrain = await stepTime(device, pretrainModel(size), size, 1);
  for (const arm of ARMS) {
    step[arm] = await stepTime(device, modelOptions(arm, size), size, CLIP_LENGTH);
  }
  const renderer = new SyntheticClips({ ...clipsOf(plan).train, count: CLIPS + 1 });
  renderer.clip(0);
  const begin = performance.now();
  for (let i = 1; i <= CLIPS; i++) renderer.clip(i);
  const clip = (performance.now() - begin) / CLIPS;
  return { size, adapter: device.label, date: new Date().toISOString(), step, clip };
}

/** Milliseconds of a training step. */
async function stepTime(
  device: Device,
  options: McGazeOptions,
  size: number,
  frames: number,
): Promise<number> {
  const model = await new McGaze(options).to(device);
  const optimizer = new AdamW(mcGazeGroups(model.namedParameters()), { lr: 1e-5, maxGradNorm: 1 });
  const n = FRAMES_A_STEP, shape = [n, 3, size, size];
  const step = device.capture((images: Tensor, boxes: Tensor, faceKnown: Tensor, gaze: Tensor) => {
    optimizer.zeroGrad();
    const loss = mcGazeLoss(
      model,
      images,
      { boxes, faceKnown, gaze },
      model.config.temporal ? frames : 1,
    );
    loss.backward();
    optimizer.step();
    return loss.detach();
  });
  const box = [0.2, 0.2, 0.8, 0.8].map((share) => share * size);
  const images = new Float32Array(shape.reduce((a, b) => a * b)).fill(0.5);
  const boxes = Float32Array.from({ length: n * 12 }, (_, i) => box[i % 4]);
  const gaze = Float32Array.from({ length: n * 3 }, (_, i) => i % 3 === 2 ? -1 : 0);
  const run = (): Promise<Tensor> =>
    step([images, shape], [boxes, [n, 3, 4]], [new Float32Array(n).fill(1), [n]], [gaze, [n, 3]]);
  try {
    await (await run()).item();
    const begin = performance.now();
    for (let i = 1; i < STEPS; i++) await run();
    await (await run()).item();
    return (performance.now() - begin) / STEPS;
  } finally {
    step.dispose();
    optimizer.dispose();
    model.dispose();
  }
}
