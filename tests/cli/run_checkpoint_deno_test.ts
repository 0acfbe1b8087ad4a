/** Saved runs of demo and pretrain: what goes on, and what is refused by name. */
import { resumeRun, type RunHistory, type RunParts, saveRun } from "../../cli/run_checkpoint.ts";
import { BatchLoader, fingerprint, makeImageSet } from "../../data/mod.ts";
import { CheckpointError, type Device, requestDevice } from "../../engine/mod.ts";
import { loadCheckpointFile, saveCheckpointFile, saveSafetensorsFile } from "../../io/files.ts";
import { AdamW, Linear } from "../../nn/mod.ts";
import { assert, assertEquals, assertRejects, denoTest } from "../harness.ts";

const HISTORY: RunHistory = { losses: [2, 1], evaluations: [{ step: 0, accuracy: 0 }], seconds: 3 };

async function partsOn(device: Device, seed = 1, grey = 0): Promise<RunParts> {
  const model = await new Linear(3, 2).to(device, { seed });
  const labels = Uint8Array.of(0, 1, 1), images = new Uint8Array(12).fill(grey);
  const data = makeImageSet({ images, labels, height: 2, width: 2, channels: 1, classes: 2 });
  const optimizer = new AdamW(model.namedParameters());
  const loader = new BatchLoader(data, { batchSize: 1, seed });
  const dataset = fingerprint(data);
  return { device, model, optimizer, loader, dataset, seed, config: { epochs: 2 } };
}

denoTest("resumeRun() goes on from a saved run and refuses all others by name", async () => {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/run.safetensors`;
  try {
    using device = await requestDevice();
    const parts = await partsOn(device);
    parts.loader.restore({ epoch: 1, position: 2 });
    device.stepIndex = 7;
    await saveRun(path, 2, parts, HISTORY);
    device.stepIndex = 0;

    const fresh = await partsOn(device);
    fresh.model.loadStateDict(await (await new Linear(3, 2).to(device, { seed: 9 })).stateDict());
    const { step, history } = await resumeRun(path, fresh);
    assertEquals([step, history, device.stepIndex], [2, HISTORY, 7]);
    assertEquals(fresh.loader.state(), { epoch: 1, position: 2 });
    assertEquals(await fresh.model.stateDict(), await parts.model.stateDict());

    const refused = async (other: RunParts, ...texts: string[]): Promise<void> => {
      const { message } = await assertRejects(() => resumeRun(path, other), CheckpointError);
      for (const text of [path, "remove it to start anew", ...texts]) {
        assert(message.includes(text), `${message} lacks ${text}`);
      }
    };
    await refused({ ...parts, config: { epochs: 3 } }, "epochs 2, here 3", "use the same options");
    await refused(await partsOn(device, 2), `seed "1", here "2"`);
    await refused(await partsOn(device, 1, 5), "data ");
    const wide = await new Linear(4, 2).to(device);
    await refused({ ...parts, model: wide }, "wrong shape", "weight is [2, 3], needs [2, 4]");

    const saved = await loadCheckpointFile(path);
    const extra = { ...saved.state.extra, history: { ...HISTORY, losses: [1] } };
    await saveCheckpointFile(path, { ...saved, state: { ...saved.state, extra } });
    await refused(parts, "the curves of its 2 steps");
    await saveSafetensorsFile(path, saved.tensors);
    await refused(parts, "no wgrad checkpoint");
    const bytes = await Deno.readFile(path);
    await Deno.writeFile(path, bytes.subarray(0, bytes.length - 1));
    await refused(parts, "truncated", `${path}.prev`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
