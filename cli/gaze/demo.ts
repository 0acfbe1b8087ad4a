/**
 * The demo's part on gaze: a trained model on a rendered clip, whose true gaze is known, and on a photograph that the face
 * detector's package brings along.
 * @module
 */
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import type { Device } from "../../engine/mod.ts";
import type { McGaze } from "../../models/mod.ts";
import { escapeHtml } from "../report/html.ts";
import { faceDetector } from "./detector.ts";
import { openFrames } from "./frames.ts";
import { NOTE } from "./rows.ts";
import { type HeadSource, runGaze } from "./run.ts";

/** What the demo's report shows of gaze. */
export interface GazeDemo {
  /** Mean error on the rendered clip in degrees. */
  readonly error: number;
  /** People found in the photograph. */
  readonly heads: number;
  /** The clip with its arrows, moving: a WebP file. */
  readonly clip: Uint8Array;
  /** The photograph with its arrows: a WebP file. */
  readonly photograph: Uint8Array;
}

/** Longer side of the photograph in the report, in pixels. */
const SHOWN = 720;

/**
 * Runs a model, which is on the device, on both; files go to `clip/` and `photograph/` of a folder.
 * @throws {DataError} the detector or its photograph is not there
 */
export async function gazeDemo(
  device: Device,
  model: McGaze,
  out: string,
  signal?: AbortSignal,
): Promise<GazeDemo> {
  model.eval();
  const size = model.config.imageSize;
  const run = async (input: string, name: string, heads: HeadSource) =>
    await runGaze({
      input,
      source: await openFrames(input, size),
      model,
      size,
      heads,
      out: join(out, name),
      facts: { weights: "the demo's", detector: heads.kind, adapter: device.label },
      ...(signal ? { signal } : {}),
    });
  const clip = await run("rendered:0", "clip", { kind: "none" });
  const path = fileURLToPath(import.meta.resolve("@vladmandic/face-api/demo/sample1.jpg"));
  const detector = { kind: "detector", detect: await faceDetector(), every: 1 } as const;
  const photograph = await run(path, "photograph", detector);
  return {
    error: clip.error!,
    heads: photograph.rows.length,
    clip: await Deno.readFile(join(out, "clip/gaze.webp")),
    photograph: await sharp(join(out, "photograph/frames/000000.png"))
      .resize(SHOWN, SHOWN, { fit: "inside" }).webp().toBuffer(),
  };
}

/** The report's section. */
export function gazeSection({ error, heads, clip, photograph }: GazeDemo): string {
  const picture = (file: Uint8Array, alt: string): string =>
    `<img style="max-width:100%" alt="${alt}" src="data:image/webp;base64,${
      Buffer.from(file).toString("base64")
    }">`;
  return `<h2>Where people look</h2>
<p>MCGaze on a rendered clip of someone it has not seen (white: the true gaze; ${
    error.toFixed(1)
  }° off on average), and on a photograph of ${heads} people. ${escapeHtml(NOTE)}</p>
<div class="row"><div>${picture(clip, "a rendered head and its gaze")}</div><div>${
    picture(photograph, "people and arrows along their gaze")
  }</div></div>
<p class="soft">Photograph: from the npm package @vladmandic/face-api (MIT licence), whose author took it.</p>`;
}
