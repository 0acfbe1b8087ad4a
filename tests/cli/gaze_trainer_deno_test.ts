/** Training of MCGaze from the command line: stopped and resumed it gives what it gives in one go; workers render alike. */
import { evaluateGazeModel } from "../../cli/gaze/evaluate.ts";
import { type GazeRun, trainGaze } from "../../cli/gaze/trainer.ts";
import { WorkerClips } from "../../cli/gaze/worker_clips.ts";
import {
  cachedClips,
  clipPipeline,
  type ClipSource,
  SyntheticClips,
  testSteps,
} from "../../data/gaze/mod.ts";
import { CheckpointError, DataError, InterruptedError, requestDevice } from "../../engine/mod.ts";
import { McGaze, MCGAZE_SMALL_RECIPE } from "../../models/mod.ts";
import { assert, assertEquals, assertRejects, denoTest } from "../harness.ts";

const STEPS = { size: 32, flip: 0.5 } as const;
const RENDERED = { split: "train", count: 4, size: 32 } as const;

const clips = cachedClips(new SyntheticClips(RENDERED));

/** The same clips; `onClip` is called with how many were asked for. */
function counted(onClip: (asked: number) => void): ClipSource {
  let asked = 0;
  return {
    count: clips.count,
    clip: (index) => {
      onClip(++asked);
      return clips.clip(index);
    },
  };
}

/** A run of six steps on a device of its own. */
async function run(folder: string, name: string, options: Partial<GazeRun> = {}) {
  using device = await requestDevice({ seed: 1 });
  const model = await new McGaze({
    backbone: { blocks: [1, 1, 1, 1], bottleneck: false, width: 4, frozenStages: -1 },
    stages: 1,
    channels: 8,
    heads: 2,
    hidden: 8,
    dynamicChannels: 4,
    roiSize: 2,
    finestScale: 16,
    unusedHeads: false,
  }).to(device, { seed: 1 });
  const transform = clipPipeline(testSteps(STEPS));
  const history = await trainGaze({
    device,
    model,
    clips,
    dataset: "four clips",
    transform: clipPipeline(STEPS),
    recipe: {
      ...MCGAZE_SMALL_RECIPE,
      batchSize: 2,
      steps: 6,
      milestones: [5],
      warmupSteps: 2,
      maxGradNorm: 1,
    },
    seed: 1,
    label: "test",
    evaluate: { every: 10, run: () => evaluateGazeModel(device, model, clips, { transform }) },
    checkpoint: { path: `${folder}/${name}.safetensors`, every: 100 },
    config: {},
    log: `${folder}/${name}.jsonl`,
    ...options,
  });
  return { history, weights: await model.stateDict() };
}

const linesOf = async (path: string) =>
  (await Deno.readTextFile(path)).trim().split("\n").map((line) => JSON.parse(line));

denoTest("trainGaze() stopped and resumed gives the curves and weights of one go", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const whole = await run(folder, "whole");
    assertEquals(whole.history.losses.length, 6);
    const [{ step, errors }] = whole.history.evaluations;
    assertEquals([step, Object.keys(errors)], [
      6,
      ["final", "face", "eyes", "head", "visible", "hidden"],
    ]);
    const stop = new AbortController();
    const source = counted((asked) => asked > 4 && stop.abort());
    const stopped = run(folder, "parts", { clips: source, signal: stop.signal });
    await assertRejects(() => stopped, InterruptedError, "can be resumed");
    const other = { resume: true, dataset: "other clips" };
    await assertRejects(() => run(folder, "parts", other), CheckpointError, "other clips");
    const resumed = await run(folder, "parts", { resume: true });
    assertEquals(resumed.history.losses, whole.history.losses);
    assertEquals(resumed.history.evaluations, whole.history.evaluations);
    assertEquals(resumed.weights, whole.weights);
    const lines = await linesOf(`${folder}/parts.jsonl`);
    assertEquals(lines.at(-1), { step, errors });
    assert(lines.some((line) => line.step === 6 && Number.isFinite(line.loss)));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}, { timeout: 240 });

denoTest("WorkerClips renders the same clips, and says why it cannot", async () => {
  using workers = new WorkerClips(RENDERED);
  const asked = [1, 0, 1].map((index) => workers.clip(index));
  const [first, second, again] = await Promise.all(asked);
  assertEquals(first, await clips.clip(1));
  assertEquals(second, await clips.clip(0));
  assertEquals(again, first);
  await assertRejects(() => workers.clip(4), DataError, "clip 4 is not in [0, 4)");
}, { allowLeaks: true }); // a worker ends in its own time

denoTest("WorkerClips refuses options that are none", () => {
  let message = "";
  try {
    new WorkerClips({ ...RENDERED, size: 2 })[Symbol.dispose]();
  } catch (error) {
    message = (error as Error).message;
  }
  assert(message.includes("size must be a whole number >= 8"), message);
});
