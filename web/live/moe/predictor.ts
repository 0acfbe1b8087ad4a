/**
 * Answers for the latest image: while one is computed, only the newest of those that came waits.
 * @module
 */
import { answerOf, type LayerRouting } from "../../../cli/routing/routing.ts";
import { imageWithChannels } from "../../../cli/training/channels.ts";
import { evaluationTransform } from "../../../cli/training/transforms.ts";
import { type FloatImage, Rng } from "../../../data/mod.ts";
import { imageSize } from "../../../models/mod.ts";
import type { Device } from "../../../mod.ts";
import type { LoadedModel } from "./model.ts";

/** What a model says of an image. */
export interface Answered {
  readonly model: LoadedModel;
  /** What it saw: the image in its own size, values in [0, 1]. */
  readonly seen: FloatImage;
  /** Of each class. */
  readonly probabilities: readonly number[];
  readonly layers: readonly LayerRouting[];
}

/** An image to look at, and the model to ask. */
interface Question {
  readonly model: LoadedModel;
  readonly image: FloatImage;
}

/** Computes answers one after another. */
export class Predictor {
  #next: Question | null = null;
  #running = false;

  /** Hands answers and errors over. */
  constructor(
    private readonly device: Device,
    private readonly onAnswer: (answer: Answered) => Promise<void>,
    private readonly onError: (error: unknown) => void,
  ) {}

  /** Asks for an answer; an older question that waits is forgotten. */
  ask(question: Question): void {
    this.#next = question;
    if (!this.#running) this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#next !== null) {
      const question = this.#next;
      this.#next = null;
      try {
        await this.onAnswer(await answer(this.device, question));
      } catch (error) {
        this.onError(error);
      }
    }
    this.#running = false;
  }
}

async function answer(device: Device, { model, image }: Question): Promise<Answered> {
  const { net, recipe } = model, [height, width] = imageSize(net.config);
  const fit = (mean: readonly number[], std: readonly number[]): FloatImage =>
    evaluationTransform({ ...recipe, mean, std }, height, width)(
      imageWithChannels(image, net.config.inChans),
      new Rng(0, "page"),
    );
  const seen = fit([0], [1]);
  const { logits, layers } = await answerOf(device, net, fit(recipe.mean, recipe.std).data);
  return { model, seen, probabilities: softmax(logits), layers };
}

function softmax(logits: Float32Array): number[] {
  const top = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const exps = Array.from(logits, (logit) => Math.exp(logit - top));
  const sum = exps.reduce((a, b) => a + b, 0);
  return exps.map((value) => value / sum);
}
