/**
 * Where the page's files are, in the site and in the project.
 * @module
 */
import type { SiteFile } from "../live_page.ts";

/** The weights that the page begins with. */
export const GAZE_WEIGHTS = "weights/mcgaze_small.safetensors";

/** The folder of the face detector's weights in the site. */
export const DETECTOR = "face-detector";

const PACKAGE = "node_modules/@vladmandic/face-api/model";

/** The weights of the tiny face detector, from its npm package. */
export function detectorFiles(): SiteFile[] {
  return ["tiny_face_detector_model-weights_manifest.json", "tiny_face_detector_model.bin"]
    .map((name) => ({ path: `${DETECTOR}/${name}`, source: `${PACKAGE}/${name}` }));
}
