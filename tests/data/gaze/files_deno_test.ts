import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { assertClose, assertEquals, assertRejects, denoTest } from "../../harness.ts";
import { AnnotatedClips, type Picture, trainingClips } from "../../../data/gaze/annotated_clips.ts";
import { openGazeFolder, writeGazeFolder } from "../../../data/gaze/files.ts";
import { SyntheticClips } from "../../../data/gaze/synthetic/synthetic_clips.ts";
import { DataError } from "../../../engine/errors.ts";

/** The simplest picture file: two bytes of sizes, then the pixels. */
const encode = ({ height, width, data }: Picture): Promise<Uint8Array> =>
  Promise.resolve(Uint8Array.from([height, width, ...data]));
const decode = (bytes: Uint8Array): Promise<Picture> => {
  const [height, width] = bytes;
  if (bytes.length !== 2 + height * width * 3) {
    return Promise.reject(new Error("the file is cut off"));
  }
  return Promise.resolve({ height, width, data: bytes.subarray(2) });
};

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "wgrad-gaze-"));
  try {
    await work(folder);
  } finally {
    await rm(folder, { recursive: true });
  }
}

denoTest("a folder of synthetic clips in the authors' layout comes back as it was", async () => {
  await inFolder(async (root) => {
    const clips = new SyntheticClips({ split: "train", count: 2, size: 16 });
    await writeGazeFolder(root, "train", clips, encode);
    const { videos, read } = await openGazeFolder(root, "train", decode);
    assertEquals(videos.map(({ id }) => id), [1, 2]);
    assertEquals(videos[1].files[6], "2/00006.png");
    const back = new AnnotatedClips(trainingClips(videos), read);
    assertEquals(back.count, 14);
    const [want, got] = [clips.clip(1), await back.clip(10)]; // about frame 3: all seven frames
    assertEquals(got.frames, want.frames);
    assertEquals(got.faceKnown, want.faceKnown);
    assertClose(got.boxes, want.boxes, { atol: 1e-5 }); // width and height are rounded on their way
    assertClose(got.gaze, want.gaze, { atol: 1e-7 });
  });
});

denoTest("a folder says which file is missing or unreadable", async () => {
  await inFolder(async (root) => {
    await assertRejects(
      () => openGazeFolder(root, "test", decode),
      DataError,
      join(root, "test.json"),
    );
    const clips = new SyntheticClips({ split: "train", count: 1, size: 16 });
    await writeGazeFolder(root, "train", clips, encode);
    const frames = join(root, "train_rawframes", "1");
    await writeFile(join(frames, "00003.png"), Uint8Array.of(16, 16, 1));
    const { videos, read } = await openGazeFolder(root, "train", decode);
    const source = new AnnotatedClips(trainingClips(videos), read);
    await assertRejects(
      () => source.clip(0),
      DataError,
      "video 1, frame 3: cannot read 1/00003.png: the file is cut off",
    );
    await rm(join(frames, "00003.png"));
    await assertRejects(() => source.clip(0), DataError, "there is no such file");
    await mkdir(join(root, "broken"));
    await writeFile(join(root, "broken", "train.json"), "{}");
    await assertRejects(
      () => openGazeFolder(join(root, "broken"), "train", decode),
      DataError,
      '"annotations" is missing',
    );
  });
});
