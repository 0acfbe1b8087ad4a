import { assertEquals, assertRejects, test } from "../../harness.ts";
import { stills } from "../../../data/gaze/stills.ts";
import { checkClip, type GazeClip } from "../../../data/gaze/clip.ts";
import { DataError } from "../../../engine/errors.ts";
import { numberedClip } from "./support.ts";

const known = (length = 3): GazeClip => ({
  ...numberedClip(length),
  headPose: Float32Array.from({ length: 3 * length }, (_, i) => i % 3 === 2 ? -1 : 0),
  hidden: Uint8Array.from({ length }, (_, t) => t % 2),
});

test("stills() hands out every frame of every clip as a clip of one frame", async () => {
  const asked: number[] = [];
  const source = stills({ count: 4, clip: (index) => (asked.push(index), known()) }, 3);
  assertEquals(source.count, 12);
  const whole = known();
  for (const [index, t] of [[0, 0], [4, 1], [11, 2]]) {
    const still = await source.clip(index);
    checkClip(still, `still ${index}`);
    assertEquals([still.length, still.height, still.width], [1, 20, 20]);
    assertEquals(still.frames, whole.frames.slice(t * 1200, (t + 1) * 1200));
    assertEquals(still.boxes, whole.boxes.slice(12 * t, 12 * t + 12));
    assertEquals(still.gaze, whole.gaze.slice(3 * t, 3 * t + 3));
    assertEquals(still.headPose, whole.headPose!.slice(3 * t, 3 * t + 3));
    assertEquals([still.faceKnown[0], still.hidden![0]], [whole.faceKnown[t], t % 2]);
  }
  assertEquals(asked, [0, 1, 3]);
});

test("stills() leaves out what a clip does not know, and refuses clips of another length", async () => {
  const still = await stills({ count: 1, clip: () => numberedClip() }, 3).clip(1);
  assertEquals([still.headPose, still.hidden], [undefined, undefined]);
  const longer = stills({ count: 1, clip: () => numberedClip(4) }, 3);
  await assertRejects(() => longer.clip(2), DataError, "clip 0 has 4 frames, not 3");
});
