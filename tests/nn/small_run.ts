/**
 * A small run with everything that must be restored to resume it: dropout, a shuffled and augmented data set, a rate
 * schedule, AdamW, accumulated batches. Its checkpoints stay in memory, so it runs in a browser too.
 */
import { BatchLoader, type ImageSet, type LoaderState, randomShift } from "../../data/mod.ts";
import type { Device, Tensor } from "../../engine/mod.ts";
import { crossEntropy, gelu, reshape } from "../../engine/ops/mod.ts";
import {
  AdamW,
  Dropout,
  Linear,
  Module,
  type OptimizerState,
  type ResilientParts,
  type StateEntry,
  type TrainBatch,
  warmupCosine,
} from "../../nn/mod.ts";

/** Steps of the run; an epoch has 5 batches, so it shuffles four times. */
export const STEPS = 10;
/** Batches a step. */
export const ACCUMULATE = 2;
const SIZE = 6;

class Net extends Module {
  readonly a = this.child("a", new Linear(SIZE * SIZE, 16));
  readonly drop = this.child("drop", new Dropout(0.2));
  readonly b = this.child("b", new Linear(16, 3));
  forward(x: Tensor): Tensor {
    const flat = reshape(x, [x.shape[0], SIZE * SIZE]);
    return this.b.forward(this.drop.forward(gelu(this.a.forward(flat))));
  }
}

/** 37 images, so that an epoch ends with a smaller batch: two recordings when captured. */
function imageSet(): ImageSet {
  const count = 37;
  const images = new Uint8Array(count * SIZE * SIZE);
  for (let i = 0; i < images.length; i++) images[i] = (i * 7919 + (i >> 3) * 104729) % 256;
  const labels = Uint8Array.from({ length: count }, (_, i) => i % 3);
  return {
    images,
    labels,
    count,
    channels: 1,
    height: SIZE,
    width: SIZE,
    classes: 3,
    names: ["a", "b", "c"],
  };
}

/** The run's parts, and what its checkpoint needs beside them. */
export interface SmallRun extends ResilientParts {
  readonly net: Net;
  readonly data: ImageSet;
  readonly loader: BatchLoader;
}

/** Builds the run as at its beginning. */
export async function buildSmallRun(
  device: Device,
  changes: Partial<ResilientParts> = {},
): Promise<SmallRun> {
  device.seed = 5;
  const net = await new Net().to(device, { seed: 1 });
  const data = imageSet();
  const loader = new BatchLoader(data, {
    batchSize: 8,
    seed: 2,
    transform: randomShift(1, 0),
  });
  async function* batches(): AsyncGenerator<TrainBatch> {
    for await (const { images, shape, labels } of loader.batches()) {
      yield [[images, shape], [labels, [labels.length]]];
    }
  }
  return {
    net,
    data,
    loader,
    model: net,
    optimizer: new AdamW(net.namedParameters(), { lr: 1e-2, maxGradNorm: 5 }),
    schedule: warmupCosine({ lr: 1e-2, steps: STEPS, warmupSteps: 3 }),
    steps: STEPS,
    accumulate: ACCUMULATE,
    batches,
    loss: (x, labels) => crossEntropy(net.forward(x), labels),
    reportEvery: 3,
    ...changes,
  };
}

/** Holds the last checkpoint. */
export class MemoryCheckpoint {
  #saved:
    | {
      step: number;
      weights: Map<string, StateEntry>;
      optimizer: OptimizerState;
      loader: LoaderState;
    }
    | undefined;

  /** Saves a run. */
  async save(step: number, run: SmallRun): Promise<void> {
    const loader = run.loader.state();
    const weights = await run.net.stateDict();
    this.#saved = { step, weights, optimizer: await run.optimizer.state(), loader };
  }

  /** Puts a run where the checkpoint stood. */
  async load(run: SmallRun): Promise<number> {
    if (!this.#saved) return 0;
    const { step, weights, optimizer, loader } = this.#saved;
    run.net.loadStateDict(weights);
    run.optimizer.loadState(optimizer);
    run.loader.restore(loader);
    await run.net.parameters()[0].device.sync();
    return step;
  }
}
