import { ShapeError, type Tensor } from "../../engine/mod.ts";
import type { Device } from "../../engine/mod.ts";
import { GAZE_CLUES, gazeStageLosses } from "../../models/gaze_losses.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertClose, assertEquals, assertThrows, gpuTest } from "../harness.ts";

const IMAGE = [96, 128] as const;

/** Boxes of about 40 x 40 pixels. */
const boxesOf = (count: number, seed: number) =>
  testValues(4 * count, seed).map((v, i) => i % 4 < 2 ? 20 + 10 * v : 60 + 10 * v);

function predictions(device: Device, n: number) {
  const leaf = (values: Float32Array, shape: number[]) =>
    device.tensor(values, shape, { requiresGrad: true });
  const gaze = (seed: number) => leaf(testValues(3 * n, seed), [n, 3]);
  return {
    scores: leaf(testValues(3 * n, 1), [n, 3, 1]),
    boxes: leaf(boxesOf(3 * n, 2), [n, 3, 4]),
    gazes: { final: gaze(3), face: gaze(4), eyes: gaze(5), head: gaze(6) },
  };
}

/** Targets of every clue; `lacks` says where one has none, and what stands there instead. */
function targets(
  device: Device,
  n: number,
  lacks: (clue: string, frame: number) => boolean,
  filler: number,
) {
  const of = (clue: string, seed: number) => {
    const fill = (values: Float32Array, width: number) =>
      device.tensor(
        values.map((v, i) => lacks(clue, Math.floor(i / width)) ? filler : v),
        [n, width],
      );
    return {
      present: device.tensor(Float32Array.from({ length: n }, (_, f) => lacks(clue, f) ? 0 : 1)),
      boxes: fill(boxesOf(n, seed), 4),
      gazes: fill(testValues(3 * n, seed + 1), 3),
    };
  };
  return { face: of("face", 11), eyes: of("eyes", 21), head: of("head", 31) };
}

async function values(losses: Record<string, Tensor>): Promise<Record<string, number>> {
  const names = Object.keys(losses).sort();
  const read = await Promise.all(names.map((name) => losses[name].item()));
  return Object.fromEntries(names.map((name, k) => [name, read[k]]));
}

gpuTest(
  "gazeStageLosses(): what stands in place of a missing annotation has no effect",
  async (device) => {
    const lacks = (clue: string, frame: number) => clue !== "head" && frame % 2 === 0;
    const found = [];
    for (const filler of [0, 7, NaN]) {
      const made = predictions(device, 4);
      const losses = gazeStageLosses(made, targets(device, 4, lacks, filler), {
        image: IMAGE,
        frames: 2,
      });
      const total = Object.values(losses);
      total.forEach((loss) => loss.backward());
      const gradients = [made.scores, made.boxes, ...Object.values(made.gazes)];
      found.push({
        losses: await values(losses),
        gradients: await Promise.all(gradients.map((x) => x.grad!.data())),
      });
    }
    assert(Object.values(found[0].losses).every(Number.isFinite), JSON.stringify(found[0].losses));
    assertEquals(found[1], found[0]);
    assertEquals(found[2], found[0]);
  },
);

gpuTest(
  "gazeStageLosses(): a clue that no frame has costs nothing but its class",
  async (device) => {
    const made = predictions(device, 2), lacks = (clue: string) => clue === "eyes";
    const losses = await values(
      gazeStageLosses(made, targets(device, 2, lacks, NaN), { image: IMAGE, frames: 2 }),
    );
    for (const name of ["eyes_loss_bbox", "eyes_loss_iou", "eyes_gaze_loss_gaze"]) {
      assertEquals(losses[name], 0, name);
    }
    assert(
      losses.eyes_loss_cls > 1e5,
      `the authors' class loss over 1.2e-7: ${losses.eyes_loss_cls}`,
    );
  },
);

gpuTest(
  "gazeStageLosses(): weights are factors, and one frame has no change over time",
  async (device) => {
    const made = predictions(device, 3), goals = targets(device, 3, () => false, 0);
    const usual = await values(gazeStageLosses(made, goals, { image: IMAGE, frames: 3 }));
    const weights = { cls: 4, bbox: 10, iou: 4, gaze: 12, temp: 2 };
    const twice = await values(gazeStageLosses(made, goals, { image: IMAGE, frames: 3, weights }));
    assertEquals(Object.keys(usual).length, 3 * GAZE_CLUES.length + 5);
    assertClose(Object.values(twice), Object.values(usual).map((v) => 2 * v), { rtol: 1e-6 });
    const single = gazeStageLosses(made, goals, { image: IMAGE, frames: 1 });
    assertEquals("final_gaze_loss_temp" in single, false);
  },
);

gpuTest("gazeStageLosses() refuses frames that are no clips", (device) => {
  const made = predictions(device, 4), goals = targets(device, 4, () => false, 0);
  const losses = (frames: number) => gazeStageLosses(made, goals, { image: IMAGE, frames });
  assertThrows(() => losses(3), ShapeError, "4 frames are no clips of 3");
  assertThrows(() => losses(0), ShapeError, "no clips of 0");
  const other = predictions(device, 2);
  const mixed = { ...made, boxes: other.boxes };
  assertThrows(
    () => gazeStageLosses(mixed, goals, { image: IMAGE, frames: 2 }),
    ShapeError,
    "needs [4, 3, 4]",
  );
});
