/**
 * What the model saw, and its answer as bars.
 * @module
 */
import type { FloatImage } from "../../../data/mod.ts";
import { element } from "../../client/dom.ts";
import type { Answered } from "./predictor.ts";

/** Most classes that have a bar; of more, the likeliest. */
const BARS = 10;

/** Shares in words. */
export function percent(value: number): string {
  return `${(100 * value).toFixed(1)} %`;
}

/** The name of a class. */
export function className({ names }: { names: readonly string[] | null }, index: number): string {
  return names?.[index] ?? (names === null ? `class ${index}` : String(index));
}

/** Draws the answer into the bars and says it. */
export function showAnswer(
  { model, probabilities }: Answered,
  bars: HTMLElement,
  says: HTMLElement,
): void {
  const order = Array.from(probabilities.keys()).sort((a, b) =>
    probabilities[b] - probabilities[a]
  );
  const best = order[0];
  const shown = probabilities.length <= BARS
    ? order.toSorted((a, b) => a - b)
    : order.slice(0, BARS);
  bars.replaceChildren(...shown.map((index) => {
    const share = probabilities[index];
    const bar = element("i", { style: `width:${(100 * share).toFixed(2)}%` });
    return element(
      "li",
      {
        class: index === best ? "best" : null,
        "data-class": index,
        "data-share": share.toFixed(6),
      },
      element("span", {}, className(model, index)),
      element("b", {}, bar),
      element("span", { class: "share" }, percent(share)),
    );
  }));
  says.textContent = `${className(model, best)}, ${percent(probabilities[best])}`;
  says.dataset.class = String(best);
}

/** Draws an image, values in [0, 1], pixel for pixel. */
export function paint(
  canvas: HTMLCanvasElement,
  { channels, height, width, data }: FloatImage,
): void {
  canvas.width = width;
  canvas.height = height;
  const pixels = new ImageData(width, height), size = width * height;
  for (let i = 0; i < size; i++) {
    for (let c = 0; c < 3; c++) {
      pixels.data[4 * i + c] = 255 * data[(channels === 3 ? c : 0) * size + i];
    }
    pixels.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d")!.putImageData(pixels, 0, 0);
}
