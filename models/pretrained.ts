/**
 * Loading a pre-trained Vision Transformer into a model that may differ from it in ways that are understood:
 *
 * - names with something in front (`module.`, `backbone.`, `model.`), which is found and stripped;
 * - older names of timm (`gamma_1` for `ls1.gamma`), and a patch projection saved as a matrix;
 * - another number of patches: the position embedding is resampled (`resizePosEmbed`);
 * - another number of classes: the classifier keeps the model's own values.
 *
 * All else that does not fit is an error, unless `strict` is false. Nothing is changed before everything is known to fit,
 * and the report says what was done.
 * @module
 */
import { CheckpointError } from "../engine/errors.ts";
import { sameShape, sizeOf } from "../engine/tensor.ts";
import {
  describeList,
  describeMisfits,
  type LoadOptions,
  type LoadReport,
  matchState,
  type StateSource,
} from "../nn/state_dict.ts";
import { type Grid, resizePosEmbed } from "./resize_pos_embed.ts";
import type { VisionTransformer } from "./vit.ts";
import { imageSize, prefixTokens } from "./vit_config.ts";

/** Options of `loadPretrained`. */
export interface PretrainedOptions extends LoadOptions {
  /** What stands in front of the checkpoint's names. Default: found by comparing them with the model's. */
  readonly prefix?: string;
  /**
   * Tokens at the start of the checkpoint's position embedding that are no patches. Default: as many as the model's has.
   * The rest must be a square grid, unless `grid` is given.
   */
  readonly prefixTokens?: number;
  /**
   * Rows and columns of patches in the checkpoint's position embedding. Default: the model's where it has as many tokens,
   * else a square.
   */
  readonly grid?: Grid;
  /** Whether a position embedding that becomes coarser is smoothed, as timm does. Default true. */
  readonly antialias?: boolean;
}

/** A position embedding that was resampled. */
export interface ResizedTensor {
  /** Its name in the model. */
  readonly name: string;
  /** Shape in the checkpoint. */
  readonly from: readonly number[];
  /** Shape in the model. */
  readonly to: readonly number[];
  /** Rows and columns of patches in the checkpoint. */
  readonly fromGrid: Grid;
  /** Rows and columns of patches in the model. */
  readonly toGrid: Grid;
  /** Tokens in front of the patches that stayed as they are. */
  readonly prefixTokens: number;
  /** Whether it was smoothed. */
  readonly antialias: boolean;
}

/** What `loadPretrained` did; a `LoadReport` in the model's names. Its text is meant to be printed. */
export class PretrainedReport implements LoadReport {
  /** Names whose values were taken, resized ones among them. */
  readonly loaded: readonly string[];
  /** Names of the model for which there were no values; they keep theirs. */
  readonly missing: readonly string[];
  /** Names that the model does not have. */
  readonly unexpected: readonly string[];
  /** Names with values of another shape; they keep theirs. */
  readonly wrongShape: LoadReport["wrongShape"];

  /** A report of what was loaded and how. */
  constructor(
    report: LoadReport,
    /** The model's class. */
    readonly model: string,
    /** What was stripped from the checkpoint's names; "" where nothing was. */
    readonly prefix: string,
    /** Names that are others in the model, besides the prefix. */
    readonly renamed: readonly { readonly from: string; readonly to: string }[],
    /** Position embeddings that were resampled. */
    readonly resized: readonly ResizedTensor[],
    /** The classifier that keeps the model's own values, and both numbers of classes; null where it was loaded. */
    readonly head: {
      readonly names: readonly string[];
      readonly from: number;
      readonly to: number;
    } | null,
  ) {
    this.loaded = report.loaded;
    this.missing = report.missing;
    this.unexpected = report.unexpected;
    this.wrongShape = report.wrongShape;
  }

  /** The report in lines, for people. */
  toString(): string {
    const lines = [`${this.model}: ${this.loaded.length} tensors loaded`];
    if (this.prefix !== "") lines.push(`prefix stripped: ${JSON.stringify(this.prefix)}`);
    if (this.renamed.length > 0) {
      lines.push(describeList("renamed", this.renamed.map(({ from, to }) => `${from} -> ${to}`)));
    }
    for (const { name, from, to, fromGrid, toGrid, prefixTokens, antialias } of this.resized) {
      lines.push(
        `resized: ${name} [${from.join(", ")}] -> [${to.join(", ")}], patches ${
          fromGrid.join("x")
        } -> ` +
          `${toGrid.join("x")} (bicubic${
            antialias ? ", antialiased" : ""
          }), prefix tokens kept: ${prefixTokens}`,
      );
    }
    if (this.head !== null) {
      const { names, from, to } = this.head;
      lines.push(
        `head replaced: ${from} -> ${to} classes; ${names.join(", ")} keep the model's own values`,
      );
    }
    return lines.join("\n  ") + describeMisfits(this);
  }
}

/**
 * Loads a pre-trained Vision Transformer, before or after `to(device)`; tensors are read one at a time.
 * @example
 * ```ts ignore
 * await using file = await openFileSource("vit_tiny.pth");
 * console.log(String(await loadPretrained(model, weightsSource(await openWeights(file)))));
 * ```
 * @throws {CheckpointError} when strict and the checkpoint does not fit: lists all that is missing, unexpected or of the
 * wrong shape, and nothing is changed; or the position embedding cannot be resized
 */
export async function loadPretrained(
  model: VisionTransformer,
  source: StateSource,
  options: PretrainedOptions = {},
): Promise<PretrainedReport> {
  const fitted = fitPretrained(model, source, options);
  await model.loadStateFrom(fitted.source, { strict: false });
  return fitted.report;
}

/**
 * What `loadPretrained` would load, in the model's names and shapes, without loading it.
 * @throws {CheckpointError} as `loadPretrained`
 */
export function fitPretrained(
  model: VisionTransformer,
  source: StateSource,
  options: PretrainedOptions = {},
): { readonly source: StateSource; readonly report: PretrainedReport } {
  const what = `loadPretrained(${model.constructor.name})`;
  const want = model.stateShapes();
  const names = matchNames(what, source.shapes.keys(), want, options.prefix);
  const shapes = new Map<string, readonly number[]>();
  for (const [name, from] of names.origin) {
    const got = source.shapes.get(from)!, wanted = want.get(name);
    shapes.set(name, wanted !== undefined && isFlatProjection(name, got, wanted) ? wanted : got);
  }
  const resized = planResize(what, model, shapes, want, options);
  if (resized !== null) shapes.set(resized.name, resized.to);
  const head = planHead(shapes, want);
  for (const name of head?.names ?? []) {
    shapes.delete(name);
    want.delete(name);
  }
  const wanted = new Map([...want].map(([name, shape]) => [name, { shape }]));
  const report = matchState(what, wanted, shapes, options);
  const fitted: StateSource = {
    shapes: new Map(report.loaded.map((name) => [name, shapes.get(name)!])),
    async read(name) {
      const values = await source.read(names.origin.get(name)!);
      if (name !== resized?.name) return values;
      const { fromGrid, toGrid, prefixTokens, antialias } = resized;
      const dim = resized.to[2];
      return resizePosEmbed(values, { from: fromGrid, to: toGrid, prefixTokens, dim, antialias });
    },
  };
  return {
    source: fitted,
    report: new PretrainedReport(
      report,
      model.constructor.name,
      names.prefix,
      names.renamed,
      resized === null ? [] : [resized],
      head,
    ),
  };
}

/** Where each name of the model comes from. */
interface MatchedNames {
  readonly prefix: string;
  /** Names in the model (or what would be), and those in the checkpoint. */
  readonly origin: ReadonlyMap<string, string>;
  readonly renamed: readonly { readonly from: string; readonly to: string }[];
}

function matchNames(
  what: string,
  names: Iterable<string>,
  want: ReadonlyMap<string, unknown>,
  prefix?: string,
): MatchedNames {
  const list = [...names];
  const found = prefix ?? findPrefix(list, want);
  const origin = new Map<string, string>();
  const renamed: { from: string; to: string }[] = [];
  for (const from of list) {
    const short = from.startsWith(found) ? from.slice(found.length) : from;
    const to = want.has(short) ? short : currentName(short);
    if (to !== short) renamed.push({ from, to });
    const other = origin.get(to);
    if (other !== undefined) {
      throw new CheckpointError(`${what}: "${other}" and "${from}" are both ${to} in the model`);
    }
    origin.set(to, from);
  }
  return { prefix: found, origin, renamed };
}

/** What stands in front of most names that end as one of the model's; "" unless more names match with a prefix. */
function findPrefix(names: readonly string[], want: ReadonlyMap<string, unknown>): string {
  const counts = new Map<string, number>([["", 0]]);
  for (const name of names) {
    for (let at = 0; at >= 0 && at < name.length; at = name.indexOf(".", at) + 1 || -1) {
      const rest = name.slice(at);
      if (!want.has(rest) && !want.has(currentName(rest))) continue;
      const prefix = name.slice(0, at);
      counts.set(prefix, (counts.get(prefix) ?? 0) + 1);
    }
  }
  return [...counts].reduce((best, next) => next[1] > best[1] ? next : best)[0];
}

/** Today's name for one that timm used before: layer scales were parameters of the block. */
function currentName(name: string): string {
  return name.replace(/(^|\.)gamma_([12])$/, "$1ls$2.gamma");
}

/** timm's first models saved the convolution of the patches [D, C, p, p] as the matrix [D, C * p * p] that it is. */
function isFlatProjection(name: string, got: readonly number[], want: readonly number[]): boolean {
  return name === "patch_embed.proj.weight" && got.length === 2 && want.length === 4 &&
    got[0] === want[0] && sizeOf(got) === sizeOf(want);
}

/** How the position embedding must be resized; null where it fits, is not there, or differs otherwise. */
function planResize(
  what: string,
  model: VisionTransformer,
  shapes: ReadonlyMap<string, readonly number[]>,
  want: ReadonlyMap<string, readonly number[]>,
  options: PretrainedOptions,
): ResizedTensor | null {
  const name = "pos_embed";
  const { config } = model;
  const from = shapes.get(name), to = want.get(name)!;
  const [rows, columns] = imageSize(config).map((side) => side / config.patchSize);
  const sameGrid = options.grid === undefined || sameShape(options.grid, [rows, columns]);
  if (from === undefined || (sameShape(from, to) && sameGrid)) return null;
  if (from.length !== 3 || from[0] !== 1 || from[2] !== to[2]) return null;
  const own = config.noEmbedClass ? 0 : prefixTokens(config);
  const prefix = options.prefixTokens ?? own;
  const refuse = (why: string) => {
    throw new CheckpointError(
      `${what}: ${name} [${from.join(", ")}] cannot become [${to.join(", ")}]: ${why}`,
    );
  };
  if (prefix !== own) {
    refuse(
      `${prefix} of its tokens are no patches, in the model ${own} (class token, noEmbedClass)`,
    );
  }
  const patches = from[1] - prefix;
  const side = Math.sqrt(patches);
  const fromGrid = options.grid ?? [side, side];
  if (
    !fromGrid.every(Number.isSafeInteger) || fromGrid[0] * fromGrid[1] !== patches || patches < 1
  ) {
    const grid = options.grid === undefined ? "a square grid" : `${options.grid.join("x")} patches`;
    refuse(
      `without ${prefix} prefix token${
        prefix === 1 ? "" : "s"
      } its ${patches} tokens are not ${grid}; ` +
        `say what they are (prefixTokens, grid)`,
    );
  }
  const antialias = options.antialias ?? true;
  return { name, from, to, fromGrid, toGrid: [rows, columns], prefixTokens: prefix, antialias };
}

/** The classifier, where it differs in the number of classes and in nothing else. */
function planHead(
  shapes: ReadonlyMap<string, readonly number[]>,
  want: ReadonlyMap<string, readonly number[]>,
): PretrainedReport["head"] {
  const names = ["head.weight", "head.bias"];
  const got = names.map((name) => shapes.get(name)), wanted = names.map((name) => want.get(name)!);
  const [weight, bias] = got;
  if (weight === undefined || bias === undefined || weight[0] === wanted[0][0]) return null;
  const fits = got.every((shape, i) => sameShape([wanted[i][0], ...shape!.slice(1)], wanted[i]));
  return fits && weight[0] === bias[0] ? { names, from: weight[0], to: wanted[0][0] } : null;
}
