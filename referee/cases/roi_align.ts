/**
 * Kind 11 of MCGaze: RoIAlign over a feature pyramid.
 * @module
 */
import type { Device } from "../../engine/device.ts";
import { DataError } from "../../engine/errors.ts";
import { concat, permute, reshape, roiAlign, slice } from "../../engine/ops/mod.ts";
import { roiLevels } from "../../kernels/roi_align.ts";
import type { GoldenCase, Results } from "../case.ts";
import { runDifferentiated, uploadAll } from "../results.ts";

/**
 * Runs a case of kind 11. Its boxes are a list with the number of the image in front; ours lie in rows of equal length,
 * one for each image, so the rows of images with fewer are filled up with empty boxes, whose bins are left out.
 */
export async function roiAlignCase(golden: GoldenCase, device: Device): Promise<Results> {
  const { config } = golden;
  const strides = config.numbers("strides"), finestScale = config.number("finest_scale");
  const outputSize = config.number("output_size");
  const names = strides.map((_, l) => `input.feat${l}`);
  const batch = golden.shape(names[0])[0];
  const rois = golden.floats("input.rois"), count = rois.length / 5;
  const images: number[][] = Array.from({ length: batch }, () => []);
  for (let r = 0; r < count; r++) {
    const row = images[rois[5 * r]];
    if (row === undefined) {
      throw new DataError(
        `${golden.name}: box ${r} is of image ${rois[5 * r]}, there are ${batch}`,
      );
    }
    row.push(r);
  }
  const longest = Math.max(...images.map((row) => row.length));
  const boxes = new Float32Array(batch * longest * 4), places = new Array<number>(count);
  images.forEach((row, image) =>
    row.forEach((r, k) => {
      places[r] = image * longest + k;
      boxes.set(rois.subarray(5 * r + 1, 5 * r + 5), 4 * places[r]);
    })
  );
  const results = await runDifferentiated(golden, device, () => {
    const inputs = uploadAll(golden, device, "input.");
    const leaves = Object.fromEntries(names.map((name) => [name, inputs[name]]));
    const maps = Object.values(leaves).map((map) => permute(map, [0, 2, 3, 1]));
    const bins = roiAlign(maps, device.tensor(boxes, [batch, longest, 4]), {
      strides,
      outputSize,
      samplingRatio: config.number("sampling_ratio"),
      finestScale,
    });
    const rows = reshape(bins, [batch * longest, outputSize, outputSize, -1]);
    const listed = concat(places.map((place) => slice(rows, 0, place, place + 1)), 0);
    return { outputs: { roi_feats: permute(listed, [0, 3, 1, 2]) }, leaves };
  });
  const levels = roiLevels(boxes, {
    levels: strides.map((stride) => ({ height: 1, width: 1, stride })),
    finestScale,
  });
  results.set("output.level", places.map((place) => levels[place]));
  return results;
}
