/**
 * Shows frames, arrows, figures.
 * @module
 */
import type { GazeRow } from "../../../cli/gaze/rows.ts";
import { angularErrors, overlaySvg } from "../../../data/gaze/mod.ts";
import { element } from "../../client/dom.ts";
import { byId } from "../moe/elements.ts";
import type { Answered, Follow } from "./follow.ts";

/** Rows of the table of the latest frames. */
const LATEST = 8;

/** Shows a frame with its heads and arrows. */
export function showFrame({ picture, drawn, rows }: Answered): void {
  const { height, width, data } = picture;
  const canvas = byId<HTMLCanvasElement>("frame");
  if (canvas.width !== width || canvas.height !== height) {
    [canvas.width, canvas.height] = [width, height];
  }
  const image = new ImageData(width, height);
  for (let i = 0, k = 0; k < data.length; i += 4) {
    image.data[i] = data[k++];
    image.data[i + 1] = data[k++];
    image.data[i + 2] = data[k++];
    image.data[i + 3] = 255;
  }
  canvas.getContext("2d")!.putImageData(image, 0, 0);
  byId("overlay").innerHTML = overlaySvg(picture, drawn, { zoom: 8 });
  const latest = byId("latest");
  for (const row of rows) latest.prepend(line(row));
  while (latest.children.length > LATEST) latest.lastElementChild!.remove();
  byId("said").textContent = rows.length === 0
    ? "No head is found in this frame."
    : rows.map(sentence).join(" ");
}

function line(row: GazeRow): HTMLElement {
  const off = errorOf(row);
  const cells = [row.frame, row.person, row.yaw, row.pitch, off === null ? "" : off.toFixed(1)];
  return element("tr", {}, ...cells.map((cell) => element("td", {}, String(cell))));
}

/** Degrees to the true gaze; null where that is not known. */
export function errorOf({ gaze, truth }: GazeRow): number | null {
  return truth ? angularErrors(Float32Array.from(gaze), Float32Array.from(truth))[0] : null;
}

function sentence({ frame, person, yaw, pitch }: GazeRow): string {
  const side = yaw >= 0 ? "left" : "right", height = pitch >= 0 ? "up" : "down";
  return `Frame ${frame}: person ${person} looks ${
    Math.abs(yaw).toFixed(0)
  }° to the ${side} of the picture, ` +
    `${Math.abs(pitch).toFixed(0)}° ${height}.`;
}

/** Shows how long the stages take. */
export function showStages({ stages, count }: Follow): void {
  byId("stages").replaceChildren(
    ...Object.entries(stages.totals).map(([name, ms]) =>
      element(
        "tr",
        {},
        element("th", { scope: "row" }, name),
        element("td", {}, (ms / Math.max(1, count)).toFixed(1)),
      )
    ),
  );
}
