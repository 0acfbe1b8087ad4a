/**
 * Measuring an image classifier. It knows neither files nor screens, so pages use it too.
 * @module
 */
import { BatchLoader, type ImageSet, type ImageSource, type Transform } from "../../data/mod.ts";
import { type Device, noGrad } from "../../engine/mod.ts";
import type { VisionTransformer } from "../../models/mod.ts";

/** What evaluation gives. */
export interface Evaluation {
  readonly accuracy: number;
  /** confusion[true][predicted]. */
  readonly confusion: number[][];
  /** The answer for each image, in order. */
  readonly predictions: Uint16Array;
  /** Share of the images whose class is among the five likeliest. */
  readonly top5: number;
  /** Mean cross-entropy, without smoothing. */
  readonly loss: number;
}

/** Images a forward pass while evaluating. */
const EVALUATION_BATCH = 100;

/**
 * Classifies all images of a set.
 * @param transform makes inputs of the images
 * @throws {DataError} an image cannot be read
 */
export async function evaluateClassifier(
  device: Device,
  model: VisionTransformer,
  data: ImageSet | ImageSource,
  transform: Transform,
  onImages?: (done: number) => void,
): Promise<Evaluation> {
  const classes = data.classes;
  const confusion = Array.from({ length: classes }, () => new Array<number>(classes).fill(0));
  const predictions = new Uint16Array(data.count);
  const loader = new BatchLoader(data, {
    batchSize: Math.min(EVALUATION_BATCH, data.count),
    seed: 0,
    shuffle: false,
    transform,
  });
  let right = 0, among5 = 0, loss = 0, done = 0;
  for await (const { images, shape, labels, indices } of loader.epoch()) {
    const logits = await device.step(() =>
      noGrad(() => model.forward(device.tensor(images, shape))).data()
    );
    for (let i = 0; i < labels.length; i++) {
      const row = logits.subarray(i * classes, (i + 1) * classes) as Float32Array;
      const answer = argmax(row), own = row[labels[i]];
      predictions[indices[i]] = answer;
      confusion[labels[i]][answer]++;
      if (answer === labels[i]) right++;
      if (row.filter((logit) => logit > own).length < 5) among5++;
      const top = row[answer];
      loss += top - own + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - top), 0));
    }
    onImages?.(done += labels.length);
  }
  const { count } = data;
  return {
    accuracy: right / count,
    top5: among5 / count,
    loss: loss / count,
    confusion,
    predictions,
  };
}

function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
