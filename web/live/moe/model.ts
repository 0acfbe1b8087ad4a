/**
 * A file of weights becomes a model on the page's device: one that says itself what it is (`wgrad train`, the demo, this
 * page), a saved run, or any ViT whose names and shapes are understood.
 * @module
 */
import { cardOf, type ModelCard } from "../../../cli/training/model_card.ts";
import { PLAIN, type Recipe } from "../../../cli/training/recipe.ts";
import { CheckpointError } from "../../../engine/errors.ts";
import {
  type ByteSource,
  type Checkpoint,
  CHECKPOINT_FORMAT,
  decodeCheckpoint,
  openWeights,
  readSafetensors,
  SafetensorsReader,
  weightsSource,
} from "../../../io/mod.ts";
import {
  inferMoeVitOptions,
  loadPretrained,
  visionModel,
  type VisionTransformer,
  vitPrefix,
} from "../../../models/mod.ts";
import type { Device } from "../../../mod.ts";
import { isPageRun, type PageRun } from "./run_config.ts";

/** A model that answers. */
export interface LoadedModel extends ModelCard {
  /** Names it on the page. */
  readonly label: string;
  /** On the device. */
  readonly net: VisionTransformer;
  /** The file says what it is; else sizes were read off its shapes. */
  readonly described: boolean;
}

/** What was in a file. */
export type Opened =
  | { readonly kind: "model"; readonly model: LoadedModel }
  | { readonly kind: "run"; readonly run: PageRun; readonly checkpoint: Checkpoint };

/**
 * Opens a file.
 * @param heads of the attention, where the file does not say it; default as many as 64 channels each make
 * @throws {CheckpointError} it is none that is understood, or damaged; says what is wrong
 */
export async function openFile(
  device: Device,
  file: ByteSource,
  heads?: number,
): Promise<Opened> {
  const label = file.label ?? "weights";
  const reader = await openWeights(file);
  if (reader instanceof SafetensorsReader && reader.metadata.get("format") === CHECKPOINT_FORMAT) {
    const checkpoint = decodeCheckpoint(await readSafetensors(file), label);
    const { config } = checkpoint.state;
    if (!isPageRun(config)) {
      throw new CheckpointError(
        `${label}: it is a run of another program; this page goes on with its own`,
      );
    }
    return { kind: "run", run: config, checkpoint };
  }
  const source = weightsSource(reader), said = cardOf(reader, label);
  const card = said ?? guessed(source.shapes, label, heads);
  const net = visionModel(card.model);
  try {
    await loadPretrained(net, source);
    await net.to(device);
  } catch (error) {
    net.dispose();
    throw error;
  }
  return { kind: "model", model: { ...card, label, net: net.eval(), described: said !== null } };
}

/** What shapes tell, and the rest as usual: the digits' mean for grey images, 0.5 for coloured ones (timm's ViTs). */
function guessed(
  shapes: ReadonlyMap<string, readonly number[]>,
  label: string,
  heads: number | undefined,
): ModelCard {
  const prefix = vitPrefix(shapes.keys());
  const bare = new Map(
    [...shapes].map(([name, shape]) => [
      name.startsWith(prefix) ? name.slice(prefix.length) : name,
      shape,
    ]),
  );
  try {
    const model = inferMoeVitOptions(bare);
    const grey = model.inChans === 1;
    const recipe: Recipe = { ...PLAIN, ...(grey && { mean: [0.1307], std: [0.3081] }) };
    return { model: { ...model, ...(heads && { numHeads: heads }) }, recipe, names: null };
  } catch (cause) {
    if (!(cause instanceof CheckpointError)) throw cause;
    throw new CheckpointError(`${label}: ${cause.message}`, { cause });
  }
}
