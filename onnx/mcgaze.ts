/**
 * MCGaze as ONNX nodes; the equations are those of models/mcgaze.ts and the files it names.
 *
 * A box is read from the pyramid's level that suits its size (mmdet's `SingleRoIExtractor`). Graphs have no such choice a
 * box, so every level is read by ONNX's RoiAlign and the areas decide which result is kept: three of four are computed in
 * vain, for three boxes a frame.
 * @module
 */
import { type GazeClue, type McGazeConfig, RESNET_STRIDES } from "../models/mod.ts";
import { roiThresholds } from "../kernels/roi_align.ts";
import { type Maps, pyramidNodes, resNetNodes } from "./resnet.ts";
import type { Scope } from "./scope.ts";

/** The greatest logarithm of a box's growth in a step: ln(1000 / 16). */
const MAX_GROWTH = -Math.log(16 / 1000);
/** What deltas of centres are multiplied by; those of sizes by 1. */
const CENTRE_STD = 0.5;
/** Samples of a bin along an axis. */
const SAMPLES = 2;
/** Added to the length of directions. */
const LEAST = 1e-12;

/** What the last stage says. N frames, Q clues in the order of `config.clues`. */
export interface GazeValues {
  /** Unit vectors [N, 3] by name: `gaze`, what all clues say together, and `gaze_head` and the like. */
  readonly gazes: ReadonlyMap<string, string>;
  /** Boxes as x1, y1, x2, y2 in pixels, [N, Q, 4]. */
  readonly boxes: string;
  /** Logits of "is there", [N, Q, 1]. */
  readonly scores: string;
}

/** Images [N, 3, H, W], N = B T frames clip after clip, to what the last stage says. */
export function mcGazeNodes(
  root: Scope,
  config: McGazeConfig,
  images: Maps,
  frames: number,
): GazeValues {
  const { clues, channels, stages } = config, q = clues.length;
  const maps = resNetNodes(root.in("backbone"), images, config.backbone);
  const levels = pyramidNodes(root.in("neck"), maps);

  const n = root.slice(root.node("Shape", [images.value]), 0, 0, 1);
  const forEachFrame = (x: string, columns: number) =>
    root.node("Expand", [x, root.concat([n, root.integers([q, columns])], 0)]);
  const proposals = root.in("rpn_head");
  const learned = forEachFrame(proposals.weight("init_proposal_features.weight"), channels);
  let queries = learned, boxes = forEachFrame(firstBoxes(proposals, images), 4), scores = "";
  const frameOfBox = frameIndices(root, n, q);
  for (let i = 0; i < stages; i++) {
    const at = root.in(`roi_head.bbox_head.${i}`);
    const bins = boxBins(at, levels, boxes, frameOfBox, config);
    const seen = stage(at, queries, bins, frames, config);
    boxes = decodeBoxes(at, boxes, seen.deltas);
    ({ features: queries, scores } = seen);
  }
  const gazes = gazeHead(root.in(`roi_head.gaze_head.${stages - 1}`), queries, config);
  return { gazes, boxes, scores };
}

/** Learned centres and sizes, shares of the image, as corners in pixels: [Q, 4]. */
function firstBoxes(at: Scope, { height, width }: Maps): string {
  const shares = at.weight("init_proposal_bboxes.weight");
  const corners = cornersOf(at, at.slice(shares, -1, 0, 2), at.slice(shares, -1, 2, 4));
  return at.mul(corners, at.numbers([width, height, width, height]));
}

/** Centres and sizes [..., 2] to corners [..., 4]. */
function cornersOf(at: Scope, centre: string, size: string): string {
  const half = at.mul(size, at.number(0.5));
  return at.concat([at.sub(centre, half), at.add(centre, half)], -1);
}

/** Which frame each of the N Q boxes lies in: 0 Q times, 1 Q times, … @param n [1] */
function frameIndices(root: Scope, n: string, q: number): string {
  const scalar = root.reshape(n, []);
  const index = (value: number) => root.reshape(root.integers([value]), []);
  const frames = root.reshape(root.node("Range", [index(0), scalar, index(1)]), [-1, 1]);
  return root.reshape(root.node("Expand", [frames, root.integers([1, q])]), [-1]);
}

/** What lies in boxes [N, Q, 4], each read from its level: [N Q, P P, C]. */
function boxBins(
  at: Scope,
  levels: readonly Maps[],
  boxes: string,
  frameOfBox: string,
  { roiSize, finestScale, channels }: McGazeConfig,
): string {
  const rois = at.reshape(boxes, [-1, 4]);
  const size = at.sub(at.slice(rois, 1, 2, 4), at.slice(rois, 1, 0, 2));
  const area = at.mul(at.slice(size, 1, 0, 1), at.slice(size, 1, 1, 2));
  const areas = at.reshape(area, [-1, 1, 1, 1]);
  const read = levels.map(({ value }, l) =>
    at.node("RoiAlign", [value, rois, frameOfBox], {
      mode: "avg",
      coordinate_transformation_mode: "half_pixel",
      output_height: roiSize,
      output_width: roiSize,
      sampling_ratio: SAMPLES,
      spatial_scale: { float: 1 / RESNET_STRIDES[l] },
    })
  );
  const bins = roiThresholds(levels.length, finestScale).reduce((finer, threshold, k) => {
    const large = at.node("GreaterOrEqual", [areas, at.number(threshold)]);
    return at.node("Where", [large, read[k + 1], finer]);
  }, read[0]);
  return at.permute(at.reshape(bins, [-1, channels, roiSize ** 2]), [0, 2, 1]);
}

/** Boxes [N, Q, 4] moved and stretched by deltas of the same shape. */
function decodeBoxes(at: Scope, boxes: string, deltas: string): string {
  const low = at.slice(boxes, -1, 0, 2), high = at.slice(boxes, -1, 2, 4);
  const size = at.sub(high, low), middle = at.mul(at.add(low, high), at.number(0.5));
  const moved = at.mul(at.slice(deltas, -1, 0, 2), at.number(CENTRE_STD));
  const limits = [at.number(-MAX_GROWTH), at.number(MAX_GROWTH)];
  const growth = at.node("Exp", [at.node("Clip", [at.slice(deltas, -1, 2, 4), ...limits])]);
  return cornersOf(at, at.add(middle, at.mul(size, moved)), at.mul(size, growth));
}

/** A stage: queries [N, Q, C] and what lies in their boxes [N Q, P P, C]. */
function stage(at: Scope, queries: string, bins: string, frames: number, config: McGazeConfig) {
  const { channels, clues, spatial, temporal, clsLayers, regLayers } = config, q = clues.length;
  const inFrame = spatial ? attend(at, queries, config) : queries;
  const attended = temporal ? overTime(at, inFrame, frames, config) : inFrame;
  const rows = at.reshape(attended, [-1, channels]);
  const filtered = dynamicConv(at.in("instance_interactive_conv"), rows, bins, config);
  const seen = at.layerNorm("instance_interactive_conv_norm", at.add(rows, filtered));
  const ffn = at.in("ffn");
  const fed = ffn.linear("layers.1", ffn.relu(ffn.linear("layers.0.0", seen)));
  const features = at.reshape(at.layerNorm("ffn_norm", at.add(seen, fed)), [-1, q, channels]);
  const ends = (
    branch: string,
    layers: number,
    last: (clue: GazeClue) => string,
    width: number,
  ) => {
    const x = fcBranch(at.in(branch), features, layers);
    const each = clues.map((clue, k) => at.linear(last(clue), at.pick(x, 1, k)));
    return at.reshape(at.concat(each, 1), [-1, q, width]);
  };
  return {
    features,
    scores: ends("cls_fcs", clsLayers, (clue) => `${clue}_fc_cls`, 1),
    deltas: ends("reg_fcs", regLayers, (clue) => `${clue}_fc_reg`, 4),
  };
}

/** Tokens [B, N, C] that have seen each other. */
function attend(at: Scope, tokens: string, { heads, channels }: McGazeConfig): string {
  const attn = at.in("attention.attn");
  const product = attn.matmul(tokens, attn.turned("in_proj_weight"));
  const qkv = attn.add(product, attn.weight("in_proj_bias"));
  const mixed = attn.linear("out_proj", attn.attention(qkv, heads, channels));
  return at.layerNorm("attention_norm", at.add(tokens, mixed));
}

/** The same over the frames of a clip, for each of its clues. */
function overTime(at: Scope, queries: string, frames: number, config: McGazeConfig): string {
  const { clues, channels } = config, q = clues.length;
  const byClip = at.reshape(queries, [-1, frames, q, channels]);
  const byClue = at.reshape(at.permute(byClip, [0, 2, 1, 3]), [-1, frames, channels]);
  const attended = at.reshape(attend(at, byClue, config), [-1, q, frames, channels]);
  return at.reshape(at.permute(attended, [0, 2, 1, 3]), [-1, q, channels]);
}

/** Queries [M, C] filter what lies in their boxes [M, P P, C]: [M, C]. */
function dynamicConv(at: Scope, queries: string, bins: string, config: McGazeConfig): string {
  const { channels, dynamicChannels: inner, roiSize } = config, half = channels * inner;
  const filters = at.linear("dynamic_layer", queries);
  const first = at.reshape(at.slice(filters, 1, 0, half), [-1, channels, inner]);
  const second = at.reshape(at.slice(filters, 1, half, 2 * half), [-1, inner, channels]);
  const hidden = at.relu(at.layerNorm("norm_in", at.matmul(bins, first)));
  const features = at.relu(at.layerNorm("norm_out", at.matmul(hidden, second)));
  const row = at.reshape(features, [-1, roiSize ** 2 * channels]);
  return at.relu(at.layerNorm("fc_norm", at.linear("fc_layer", row)));
}

/** Layers of linear map, layer norm and ReLU. */
function fcBranch(at: Scope, x: string, layers: number): string {
  for (let i = 0; i < layers; i++) {
    x = at.relu(at.layerNorm(`${3 * i + 1}`, at.linear(`${3 * i}`, x)));
  }
  return x;
}

/** Features [N, Q, C] to directions [N, 3]. */
function gazeHead(at: Scope, features: string, { clues }: McGazeConfig): Map<string, string> {
  const said: string[] = [], trusted: string[] = [];
  clues.forEach((clue, k) => {
    const x = at.pick(features, 1, k);
    const direction = at.linear(`fc_${clue}`, fcBranch(at.in(`gaze_${clue}_fcs`), x, 2));
    const sure = fcBranch(at.in(`gaze_${clue}_confidence`), x, 2);
    said.push(direction);
    trusted.push(at.mul(at.linear(`fc_${clue}_confidence`, sure), direction));
  });
  const all = at.linear("fc_gaze", at.concat(trusted, 1));
  return new Map([
    ["gaze", at.l2Normalize(all, LEAST)],
    ...clues.map((clue, k) => [`gaze_${clue}`, at.l2Normalize(said[k], LEAST)] as const),
  ]);
}
