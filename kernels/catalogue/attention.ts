/**
 * The catalogue's calls of attention.
 * @module
 */
import {
  attentionInputBackward,
  attentionScores,
  attentionScoresBackward,
  attentionSoftmax,
  attentionValues,
} from "../attention.ts";
import {
  attentionOnline,
  attentionOnlineBackwardKV,
  attentionOnlineBackwardQ,
  type AttentionTiling,
} from "../attention_online.ts";
import type { AttentionShape } from "../attention_reference.ts";
import { attentionVariant } from "../attention_variant.ts";
import { type CatalogueEntry, each, entry, pairs, TARGETS } from "./entry.ts";

const SCALE = 0.7;
const SHAPES: AttentionShape[] = [
  { batch: 2, tokens: 5, heads: 2, headDim: 3 },
  { batch: 2, tokens: 37, heads: 3, headDim: 8 },
];
const ONLINE: AttentionShape[] = [...SHAPES, { batch: 1, tokens: 133, heads: 2, headDim: 64 }];
const MANY: AttentionShape[] = [{ batch: 2 ** 12, tokens: 49, heads: 3, headDim: 16 }];

/** What the selection takes for one of the three passes. */
const tilings = (shapes: AttentionShape[], pass: "forward" | "backwardQ" | "backwardKV") =>
  pairs(shapes, TARGETS).flatMap(([shape, target]): [AttentionShape, number, AttentionTiling][] => {
    const variant = attentionVariant(shape, target);
    return variant.kind === "online" ? [[shape, SCALE, variant[pass]]] : [];
  });
const scaled = (shapes: AttentionShape[]) => pairs(shapes, [SCALE]);

const readable = [
  entry("attention", attentionScores, {
    small: scaled(SHAPES),
    huge: scaled(MANY),
  }),
  entry("attention", attentionSoftmax, {
    small: each(SHAPES),
    huge: each(MANY),
    // rows far apart, so that a neighbour's number would be noticed
    input: (value, _name, i, [{ tokens }]) => value + 50 * (Math.floor(i / tokens) % 3),
  }),
  entry("attention", attentionValues, {
    small: each(SHAPES),
    huge: each(MANY),
  }),
  entry("attention", attentionScoresBackward, {
    small: scaled(SHAPES),
    huge: scaled(MANY),
  }),
  entry("attention", attentionInputBackward, {
    small: scaled(SHAPES),
    huge: scaled(MANY),
  }),
];

const online = [
  entry("attention_online", attentionOnline, {
    small: tilings(ONLINE, "forward"),
    huge: tilings(MANY, "forward"),
  }),
  entry("attention_online", attentionOnlineBackwardQ, {
    small: tilings(ONLINE, "backwardQ"),
    huge: tilings(MANY, "backwardQ"),
    input: (value, name) => name === "lse" ? 3 + value : value,
  }),
  entry("attention_online", attentionOnlineBackwardKV, {
    small: tilings(ONLINE, "backwardKV"),
    huge: tilings(MANY, "backwardKV"),
    input: (value, name) => name === "lse" ? 3 + value : value,
  }),
];

/** Attention. */
export const ATTENTION: readonly CatalogueEntry[] = [...readable, ...online];
