/** Training on a folder of annotated videos. */
import sharp from "sharp";
import { folderClips } from "../../cli/gaze/folder_clips.ts";
import { run } from "../../cli/wgrad/train_gaze.ts";
import { writeGazeFolder } from "../../data/gaze/files.ts";
import { SyntheticClips } from "../../data/gaze/mod.ts";
import { DataError } from "../../engine/errors.ts";
import { assertClose, assertEquals, assertRejects, denoTest } from "../harness.ts";

denoTest(
  "train-gaze --data trains on annotated frames; a frame that is damaged is named",
  async () => {
    const folder = await Deno.makeTempDir();
    try {
      for (const [part, split] of [["train", "train"], ["test", "validation"]] as const) {
        const clips = new SyntheticClips({ split, count: 1, size: 32 });
        await writeGazeFolder(
          folder,
          part,
          clips,
          ({ height, width, data }) =>
            sharp(data, { raw: { height, width, channels: 3 } }).png().toBuffer(),
        );
      }
      const { train, held } = await folderClips(folder, 4);
      assertEquals([train.count, held.count], [7, 4]);
      const want = new SyntheticClips({ split: "train", count: 1, size: 32 }).clip(0);
      const middle = await train.clip(3);
      assertEquals(middle.frames, want.frames);
      assertClose(middle.gaze, want.gaze, { atol: 1e-6 });
      const out = `${folder}/out`;
      const settings = ["--steps", "1", "--batch", "2", "--size", "32", "--test", "4"];
      await run(["--data", folder, "--crop", "--out", out, ...settings]);
      const record = JSON.parse(await Deno.readTextFile(`${out}/record.json`));
      assertEquals(record.facts["Clips measured on"], "4, of its test part");
      assertEquals(Object.keys(record.baselines), ["constant gaze"]);
      await Deno.writeTextFile(`${folder}/train_rawframes/1/00003.png`, "no picture");
      await assertRejects(
        () => train.clip(3),
        DataError,
        "video 1, frame 3: cannot read 1/00003.png",
      );
      await Deno.remove(`${folder}/test.json`);
      await assertRejects(
        () => folderClips(folder, 4),
        DataError,
        "test.json",
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);
