/** The small run of `small_run.ts` with its checkpoints in a file, as the demo saves its own. */
import { resumeRun, type RunParts, saveRun } from "../../cli/run_checkpoint.ts";
import { fingerprint } from "../../data/mod.ts";
import type { Device } from "../../engine/mod.ts";
import { train } from "../../nn/mod.ts";
import { buildSmallRun } from "./small_run.ts";

/** Where a run stands: its steps, and the losses of all of them. */
export interface Progress {
  readonly step: number;
  readonly losses: number[];
}

/**
 * Trains the small run to its end, saving after every step, from the checkpoint at `path` on where there is one.
 * @param onSaved called after each save
 * @returns the losses of all steps, those before the checkpoint included
 */
export async function trainInFile(
  device: Device,
  path: string,
  onSaved: (progress: Progress) => void | Promise<void> = () => {},
): Promise<number[]> {
  const run = await buildSmallRun(device, { reportEvery: 1 });
  const { net, loader, data, optimizer } = run;
  const dataset = fingerprint(data);
  const parts: RunParts = { device, model: net, optimizer, loader, dataset, seed: 5, config: {} };
  const found = await Deno.stat(path).then(() => true, () => false);
  const { step: startStep, history } = found
    ? await resumeRun(path, parts)
    : { step: 0, history: { losses: [], evaluations: [], seconds: 0 } };
  const { losses } = history;
  await train({
    ...run,
    device,
    startStep,
    batches: run.batches(startStep),
    onProgress: (progress) => void losses.push(...progress.losses),
    checkpoint: {
      every: 1,
      save: async (step) => {
        await saveRun(path, step, parts, history);
        await onSaved({ step, losses });
      },
    },
  });
  optimizer.dispose();
  return losses;
}
