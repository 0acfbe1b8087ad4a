/**
 * What `kill_in_save_deno_test.ts` kills.
 *
 * `train PATH`: trains the small run, saving after every step, again and again from the start when it is done.
 * `copy PATH FILES…`: saves the checkpoints in FILES to PATH, one after another, again and again.
 *
 * Either says the number of its step (or file) after each save.
 */
import { requestDevice } from "../../engine/mod.ts";
import { loadCheckpointFile, saveCheckpointFile } from "../../io/files.ts";
import { trainInFile } from "./run_files.ts";

const [what, path, ...files] = Deno.args;
if (what === "train") {
  const device = await requestDevice({ selfTest: false });
  console.log("begin");
  await trainInFile(device, path, ({ step }) => console.log(step));
  device.destroy();
} else {
  const checkpoints = await Promise.all(files.map(loadCheckpointFile));
  console.log("begin");
  while (true) {
    for (const [number, checkpoint] of checkpoints.entries()) {
      await saveCheckpointFile(path, checkpoint);
      console.log(number);
    }
  }
}
