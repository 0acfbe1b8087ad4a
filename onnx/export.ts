/**
 * Models as ONNX files.
 * @module
 */
import { CheckpointError, ShapeError } from "../engine/errors.ts";
import { imageSize, McGaze, type VisionTransformer } from "../models/mod.ts";
import { describeMisfits, matchState, type StateSource } from "../nn/state_dict.ts";
import { type OnnxFile, OnnxGraph } from "./graph.ts";
import { mcGazeNodes } from "./mcgaze.ts";
import { Scope } from "./scope.ts";
import { vitNodes } from "./vit.ts";

/** Versions of ONNX's operators: LayerNormalization came with the first; ONNX Runtime lacks RoiAlign of the one after the last. */
const FIRST_OPSET = 17, LAST_OPSET = 21;

/** Options of `exportOnnx`. */
export interface OnnxOptions {
  /** Version of ONNX's operators, 17 to 21. Default 17, which the most engines have. */
  readonly opset?: number;
  /** Side of the images in pixels, or height and width. Default the model's; only MCGaze takes another. */
  readonly imgSize?: number | readonly [height: number, width: number];
  /** Frames of a clip, of MCGaze. Default the model's. */
  readonly frames?: number;
  /** Where the weights are read, tensor by tensor. Default the model, which must be on a device then. */
  readonly state?: StateSource;
}

/**
 * A model as an ONNX file: evaluation mode, without the noise that some settings of MoE Jetpack add to the routing. The batch
 * is not fixed. Weights carry the names and shapes of the state dict: timm's, MoE Jetpack's, mmdet's.
 *
 * A Vision Transformer has the input `images` [batch, C, H, W] and the output `logits` [batch, classes]. MCGaze has the input
 * `images` [frames, 3, H, W], clip after clip, and the last stage's outputs: `gaze` [frames, 3] and each clue's (`gaze_face`,
 * `gaze_eyes`, `gaze_head`), `boxes` [frames, clues, 4] in pixels, `scores` [frames, clues, 1], which are logits.
 * @example
 * ```ts
 * import { VisionTransformer } from "@wgrad/wgrad";
 * import { exportOnnx } from "@wgrad/wgrad/onnx";
 *
 * const model = new VisionTransformer({ imgSize: 8, patchSize: 4, embedDim: 8, depth: 1, numHeads: 1, numClasses: 2 });
 * console.log(exportOnnx(model).byteLength); // known before a weight is read
 * ```
 * @throws {ShapeError} an option that the model or ONNX does not have
 * @throws {CheckpointError} `state` lacks a weight or has it in another shape, or the file would be larger than 2 GB
 */
export function exportOnnx(model: VisionTransformer | McGaze, options: OnnxOptions = {}): OnnxFile {
  const { opset = FIRST_OPSET, state = model.stateSource() } = options;
  if (!Number.isInteger(opset) || opset < FIRST_OPSET || opset > LAST_OPSET) {
    throw new ShapeError(
      `exportOnnx(): opset is ${opset}, needs one from ${FIRST_OPSET} to ${LAST_OPSET}`,
    );
  }
  const name = model.constructor.name;
  checkFit(name, model.stateShapes(), state);
  const graph = new OnnxGraph(name, opset);
  const root = new Scope(graph, state);
  if (model instanceof McGaze) addGaze(root, model, options);
  else addVit(root, model, options);
  return graph.file();
}

/** @throws {CheckpointError} a weight is not there or of another shape; lists all of them */
function checkFit(
  model: string,
  shapes: ReadonlyMap<string, readonly number[]>,
  state: StateSource,
): void {
  const wanted = new Map([...shapes].map(([name, shape]) => [name, { shape }]));
  const report = matchState(model, wanted, state.shapes, { strict: false });
  if (report.missing.length + report.wrongShape.length === 0) return;
  throw new CheckpointError(
    `exportOnnx(): these are not the weights of this ${model}.${
      describeMisfits({ ...report, unexpected: [] })
    }`,
  );
}

function addVit(root: Scope, model: VisionTransformer, { imgSize, frames }: OnnxOptions): void {
  const { config } = model;
  const [height, width] = imageSize(config);
  if (frames !== undefined) {
    throw new ShapeError("exportOnnx(): frames is an option of MCGaze; a ViT sees single images");
  }
  if (imgSize !== undefined && imageSize({ imgSize }).join() !== [height, width].join()) {
    throw new ShapeError(
      `exportOnnx(): imgSize is ${
        imageSize({ imgSize }).join(" x ")
      }, the model's position embedding is for ` +
        `${height} x ${width}; load its weights into a model of that size, loadPretrained resamples them`,
    );
  }
  const images = root.graph.input("images", ["batch", config.inChans, height, width]);
  root.graph.output("logits", vitNodes(root, model, images), ["batch", config.numClasses]);
}

function addGaze(root: Scope, { config }: McGaze, options: OnnxOptions): void {
  const { imgSize = config.imageSize, frames = config.clipLength } = options;
  const [height, width] = imageSize({ imgSize });
  if (![height, width, frames].every((n) => Number.isInteger(n) && n > 0)) {
    throw new ShapeError(
      `exportOnnx(): imgSize is ${height} x ${width} and frames ${frames}; all must be whole numbers above 0`,
    );
  }
  const { graph } = root;
  const value = graph.input("images", ["frames", 3, height, width]);
  const { gazes, boxes, scores } = mcGazeNodes(root, config, { value, height, width }, frames);
  for (const [name, gaze] of gazes) graph.output(name, gaze, ["frames", 3]);
  graph.output("boxes", boxes, ["frames", config.clues.length, 4]);
  graph.output("scores", scores, ["frames", config.clues.length, 1]);
}
