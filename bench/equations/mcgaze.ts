/**
 * MCGaze's stages (arXiv:2310.18131) over `Ops`; models/mcgaze.ts has the same equations in wgrad.
 * @module
 */
import type { McGazeConfig } from "../../models/mcgaze_config.ts";
import { RESNET_STRIDES } from "../../models/resnet.ts";
import type { Ops } from "../ops/ops.ts";

const LAYER_NORM_EPS = 1e-5, LEAST_LENGTH = 1e-12;
/** A box's side grows by this factor at most, and shrinks by it. */
const MOST_GROWTH = 1000 / 16;

type Parameters<T> = Readonly<Record<string, T>>;

/**
 * The pyramid's levels of one clip [T, h, w, C] to what the stages say: `gaze i`, the unit vectors [T, 3] of stage i, and
 * `boxes` [T, Q, 4] and `scores` [T, Q, 1] of the last.
 * @param imageSize rows and columns of the frames
 */
export function mcGazeStages<T>(
  ops: Ops<T>,
  p: Parameters<T>,
  levels: readonly T[],
  config: McGazeConfig,
  [height, width]: readonly [number, number],
): Record<string, T> {
  const { clues, channels, roiSize, finestScale, stages } = config, q = clues.length;
  const [frames] = ops.shape(levels[0]);
  const all = (x: T, size: number) =>
    ops.broadcastTo(ops.reshape(x, [1, q, size]), [frames, q, size]);
  const shares = p["rpn_head.init_proposal_bboxes.weight"];
  const pixels = ops.constant({ shape: [2], data: Float32Array.of(width, height) });
  const centre = ops.mul(ops.slice(shares, 1, 0, 2), pixels);
  const half = ops.scale(ops.mul(ops.slice(shares, 1, 2, 4), pixels), 0.5);
  let boxes = all(ops.concat([ops.sub(centre, half), ops.add(centre, half)], 1), 4);
  let queries = all(p["rpn_head.init_proposal_features.weight"], channels);
  const said: Record<string, T> = {};
  for (let i = 0; i < stages; i++) {
    const options = { strides: RESNET_STRIDES, bins: roiSize, samples: 2, finestScale };
    const seen = ops.roiAlign(levels, boxes, options);
    const bins = ops.reshape(seen, [frames * q, roiSize ** 2, channels]);
    const stage = interaction(ops, p, `roi_head.bbox_head.${i}.`, queries, bins, config);
    queries = stage.features;
    boxes = decoded(ops, boxes, stage.deltas);
    said[`gaze ${i}`] = gaze(ops, p, `roi_head.gaze_head.${i}.`, queries, config);
    if (i === stages - 1) Object.assign(said, { boxes, scores: stage.scores });
  }
  return said;
}

/** Layers of a branch: linear without bias, layer norm, ReLU. */
function branch<T>(ops: Ops<T>, p: Parameters<T>, name: string, x: T, layers: number): T {
  for (let i = 0; i < layers; i++) {
    const y = product(ops, x, p[`${name}.${3 * i}.weight`]);
    x = ops.relu(norm(ops, p, `${name}.${3 * i + 1}`, y));
  }
  return x;
}

/** x W^T over the last axis. */
function product<T>(ops: Ops<T>, x: T, weight: T): T {
  const shape = ops.shape(x), [out, inputs] = ops.shape(weight);
  const rows = shape.slice(0, -1).reduce((a, b) => a * b, 1);
  const y = ops.matmul(ops.reshape(x, [rows, inputs]), weight, { transposeB: true });
  return ops.reshape(y, [...shape.slice(0, -1), out]);
}

function norm<T>(ops: Ops<T>, p: Parameters<T>, name: string, x: T): T {
  return ops.layerNorm(x, p[`${name}.weight`], p[`${name}.bias`], LAYER_NORM_EPS);
}

function linear<T>(ops: Ops<T>, p: Parameters<T>, name: string, x: T): T {
  return ops.linear(x, p[`${name}.weight`], p[`${name}.bias`]);
}

/** Row k of [N, Q, C]. */
function row<T>(ops: Ops<T>, x: T, k: number): T {
  const [n, , channels] = ops.shape(x);
  return ops.reshape(ops.slice(x, 1, k, k + 1), [n, channels]);
}

/** One stage: queries [T, Q, C] and what lies in their boxes [T Q, P, C], to scores, deltas and queries. */
function interaction<T>(
  ops: Ops<T>,
  p: Parameters<T>,
  at: string,
  queries: T,
  bins: T,
  { channels, heads, clues, dynamicChannels, clsLayers, regLayers }: McGazeConfig,
): { scores: T; deltas: T; features: T } {
  const [n, q] = ops.shape(queries);
  const attend = (x: T): T => {
    const { [`${at}attention.attn.in_proj_weight`]: weight } = p;
    const qkv = ops.linear(x, weight, p[`${at}attention.attn.in_proj_bias`]);
    const mixed = linear(ops, p, `${at}attention.attn.out_proj`, ops.attention(qkv, heads));
    return norm(ops, p, `${at}attention_norm`, ops.add(x, mixed));
  };
  const inFrame = attend(queries);
  const attended = ops.permute(attend(ops.permute(inFrame, [1, 0, 2])), [1, 0, 2]);
  const rows = ops.reshape(attended, [n * q, channels]);
  const dynamic = `${at}instance_interactive_conv`;
  const filters = linear(ops, p, `${dynamic}.dynamic_layer`, rows),
    half = channels * dynamicChannels;
  const first = ops.reshape(ops.slice(filters, 1, 0, half), [n * q, channels, dynamicChannels]);
  const second = ops.reshape(
    ops.slice(filters, 1, half, 2 * half),
    [n * q, dynamicChannels, channels],
  );
  const hidden = ops.relu(norm(ops, p, `${dynamic}.norm_in`, ops.matmul(bins, first)));
  const met = ops.relu(norm(ops, p, `${dynamic}.norm_out`, ops.matmul(hidden, second)));
  const flat = ops.reshape(met, [n * q, ops.shape(bins)[1] * channels]);
  const told = ops.relu(
    norm(ops, p, `${dynamic}.fc_norm`, linear(ops, p, `${dynamic}.fc_layer`, flat)),
  );
  const seen = norm(ops, p, `${at}instance_interactive_conv_norm`, ops.add(rows, told));
  const inner = ops.relu(linear(ops, p, `${at}ffn.layers.0.0`, seen));
  const fed = norm(
    ops,
    p,
    `${at}ffn_norm`,
    ops.add(seen, linear(ops, p, `${at}ffn.layers.1`, inner)),
  );
  const features = ops.reshape(fed, [n, q, channels]);
  const ends = (name: string, layers: number, size: number): T => {
    const x = branch(ops, p, `${at}${name}_fcs`, features, layers);
    const last = clues.map((clue, k) => linear(ops, p, `${at}${clue}_fc_${name}`, row(ops, x, k)));
    return ops.reshape(ops.concat(last, 1), [n, q, size]);
  };
  return { scores: ends("cls", clsLayers, 1), deltas: ends("reg", regLayers, 4), features };
}

/** Boxes whose centres moved by half of dx and dy of their size, whose sides grew by exp(dw) and exp(dh). */
function decoded<T>(ops: Ops<T>, boxes: T, deltas: T): T {
  const most = Math.log(MOST_GROWTH);
  const low = ops.slice(boxes, 2, 0, 2), high = ops.slice(boxes, 2, 2, 4);
  const size = ops.sub(high, low), moved = ops.scale(ops.slice(deltas, 2, 0, 2), 0.5);
  const centre = ops.add(ops.scale(ops.add(low, high), 0.5), ops.mul(size, moved));
  const ratio = ops.slice(deltas, 2, 2, 4);
  const clamped = ops.shift(
    ops.sub(ops.relu(ops.shift(ratio, most)), ops.relu(ops.shift(ratio, -most))),
    -most,
  );
  const half = ops.scale(ops.mul(size, ops.exp(clamped)), 0.5);
  return ops.concat([ops.sub(centre, half), ops.add(centre, half)], 2);
}

/** Features [T, Q, C] to the unit vectors [T, 3] of all clues together. */
function gaze<T>(
  ops: Ops<T>,
  p: Parameters<T>,
  at: string,
  features: T,
  { clues }: McGazeConfig,
): T {
  const trusted = clues.map((clue, k) => {
    const x = row(ops, features, k);
    const direction = linear(
      ops,
      p,
      `${at}fc_${clue}`,
      branch(ops, p, `${at}gaze_${clue}_fcs`, x, 2),
    );
    const doubt = branch(ops, p, `${at}gaze_${clue}_confidence`, x, 2);
    return ops.mul(linear(ops, p, `${at}fc_${clue}_confidence`, doubt), direction);
  });
  return ops.l2Normalize(linear(ops, p, `${at}fc_gaze`, ops.concat(trusted, 1)), LEAST_LENGTH);
}

/** Multiply-adds of the stages on one frame. */
export function mcGazeProducts(config: McGazeConfig): number {
  const { channels: c, hidden, dynamicChannels: d, roiSize, clues, stages } = config;
  const { clsLayers, regLayers } = config;
  const positions = roiSize ** 2;
  const attention = 2 * 4 * c * c;
  const dynamic = c * 2 * c * d + 2 * positions * c * d + positions * c * c;
  const clue = attention + dynamic + 2 * c * hidden + (clsLayers + regLayers + 4) * c * c;
  return stages * clues.length * clue;
}
