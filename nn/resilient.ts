/**
 * Training that survives the loss of its device: a new one is made, everything is rebuilt on it, the last checkpoint is
 * loaded, and the run goes on. The losses are those of a run that nothing happened to, bit for bit on one adapter.
 *
 *     make device -> build -> load -> train … lost -> make device -> build -> load -> train … done
 *
 * A driver reset, a crashed GPU process or a laptop that slept takes the device and all memory on it along; nothing on
 * the GPU can be saved any more. So what resumes a run is what the last checkpoint holds, and this file keeps no other
 * state than the losses.
 * @module
 */
import type { Device } from "../engine/device.ts";
import { AdapterUnavailableError, DeviceLostError } from "../engine/errors.ts";
import { train, type TrainBatch, type TrainOptions, type TrainProgress } from "./train.ts";

/** What `build` makes on a device: `train`'s options, but batches from any step on. */
export interface ResilientParts
  extends Omit<TrainOptions, "device" | "startStep" | "batches" | "checkpoint"> {
  /** The batches from a step on; asked for after the checkpoint was loaded. */
  batches: (startStep: number) => AsyncIterable<TrainBatch>;
}

/** What `trainResilient` needs. */
export interface ResilientOptions<P extends ResilientParts> {
  /** Makes a device: at the start, and after each loss. */
  makeDevice: () => Promise<Device>;
  /** Makes model, optimiser, data order and what else belongs to the run, as at its very beginning. */
  build: (device: Device) => Promise<P>;
  /** Saving and loading all that a run is; `load` gives the step to go on with, 0 where nothing was saved. */
  checkpoint: {
    /** Steps between two checkpoints; a loss costs at most that many. */
    every: number;
    /** Called as by `train`. */
    save: (step: number, parts: P) => Promise<void>;
    /** Puts freshly built parts where the last checkpoint stood. */
    load: (parts: P) => Promise<number>;
  };
  /** Losses of the device without a new checkpoint in between after which the run gives up. Default 3. */
  mostLosses?: number;
  /**
   * Milliseconds to go on asking for a device after a loss. Default 180,000: Chrome gives a page none for two minutes
   * after the second crash of its GPU process.
   */
  patience?: number;
  /** Told of each loss that is recovered from. */
  onLost?: (error: Error) => void;
}

/** What `trainResilient` gives. */
export interface ResilientResult<P extends ResilientParts> {
  /** The losses of all steps since the first `load`, each step once. */
  readonly losses: number[];
  /** The device that the run ended on; the caller ends it. */
  readonly device: Device;
  /** What was built on it. */
  readonly parts: P;
  /** How many times a device was lost. */
  readonly lost: number;
}

/** Milliseconds between two tries for a device at first, doubled at each further one: a crashed GPU process restarts. */
const PAUSE = 250;
const LONGEST_PAUSE = 8000;
const PATIENCE = 180_000;

/**
 * Trains as `train` does, on a new device whenever one is lost. `onProgress` tells of repeated steps again.
 * @throws {DeviceLostError} the first of `mostLosses` losses in a row without progress
 * @throws {AdapterUnavailableError} there was no device at the start, or none within `patience` after a loss
 * @throws {InterruptedError} and what else `train` throws; the device is destroyed then
 */
export async function trainResilient<P extends ResilientParts>(
  options: ResilientOptions<P>,
): Promise<ResilientResult<P>> {
  const { checkpoint, mostLosses = 3 } = options;
  const losses: number[] = [];
  let first: number | null = null; // the step that losses[0] belongs to
  let streak: DeviceLostError[] = [];
  let lost = 0;
  while (true) {
    let device: Device | undefined;
    try {
      device = await (streak.length === 0 ? options.makeDevice() : newDevice(options, streak));
      const parts = await options.build(device);
      const startStep = await checkpoint.load(parts);
      const from = first ??= startStep;
      await train({
        ...parts,
        device,
        startStep,
        batches: parts.batches(startStep),
        onProgress: async (progress: TrainProgress) => {
          losses.length = progress.step - progress.losses.length - from;
          losses.push(...progress.losses);
          await parts.onProgress?.(progress);
        },
        checkpoint: {
          every: checkpoint.every,
          save: async (step) => {
            await checkpoint.save(step, parts);
            streak = [];
          },
        },
      });
      return { losses, device, parts, lost };
    } catch (error) {
      device?.destroy();
      if (!(error instanceof DeviceLostError)) throw error;
      streak.push(error);
      if (streak.length >= mostLosses) throw streak[0];
      lost++;
      options.onLost?.(error);
    }
  }
}

/** A device after `streak` losses in a row; asks again and again where there is none yet. */
async function newDevice<P extends ResilientParts>(
  { makeDevice, patience = PATIENCE }: ResilientOptions<P>,
  streak: readonly DeviceLostError[],
): Promise<Device> {
  if (streak.length > 1) await sleep(PAUSE * 2 ** (streak.length - 2));
  const end = performance.now() + patience;
  for (let pause = PAUSE;; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    try {
      return await makeDevice();
    } catch (error) {
      if (!(error instanceof AdapterUnavailableError)) throw error;
      if (performance.now() + pause > end) {
        throw new AdapterUnavailableError(
          `trainResilient(): no new device was to be had for ${patience / 1000} s. ${
            streak.at(-1)!.message
          } ${error.message}`,
          { cause: error },
        );
      }
    }
    await sleep(pause);
  }
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
