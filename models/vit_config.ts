/**
 * The settings of a Vision Transformer as one plain object, and the papers' models by name.
 * @module
 */
import { ShapeError } from "../engine/errors.ts";
import { checkAmount, checkCount } from "../nn/check.ts";
import type { WeightInit } from "../nn/init.ts";

/** Settings of a `VisionTransformer`. Defaults are timm's. */
export interface VitConfig {
  /** Side of the images in pixels, or height and width. Default 224. */
  readonly imgSize: number | readonly [height: number, width: number];
  /** Side of a patch in pixels; divides height and width of the images. Default 16. */
  readonly patchSize: number;
  /** Channels of the images. Default 3. */
  readonly inChans: number;
  /** Classes of the head. Default 1000. */
  readonly numClasses: number;
  /** What the head sees: the class token, or the mean over the patches' tokens. Default `token`. */
  readonly globalPool: "token" | "avg";
  /** Length of a token. Default 768. */
  readonly embedDim: number;
  /** Number of blocks. Default 12. */
  readonly depth: number;
  /** Heads of the attention; divides `embedDim`. Default 12. */
  readonly numHeads: number;
  /** Hidden neurons of an MLP, as a multiple of `embedDim`. Default 4. */
  readonly mlpRatio: number;
  /** Bias on queries, keys and values. Default true. */
  readonly qkvBias: boolean;
  /** A learned token before the patches'. Default true. */
  readonly classToken: boolean;
  /** The position embedding leaves the class token out. Default false. */
  readonly noEmbedClass: boolean;
  /** Layer norm after pooling (`fc_norm`) instead of before (`norm`). Default: with `avg` only. */
  readonly fcNorm: boolean;
  /** Initial value of the residual branches' learned scales (`ls1.gamma`); null: no such scales. Default null. */
  readonly initValues: number | null;
  /** Added to the variance in the layer norms of the blocks and the last one. Default 1e-6. */
  readonly normEps: number;
  /** First weights of attention and MLPs: timm's, or those of torch's Linear for narrow models. Default "timm". */
  readonly weightInit: WeightInit;
  /**
   * Standard deviation of the first position embedding. Default 0.02, timm's, which long training grows; a short one that
   * must tell places apart at once wants it about as large as an embedded patch.
   */
  readonly posEmbedStd: number;
  /** Dropout before the head. Default 0. */
  readonly dropRate: number;
  /** Dropout after the position embedding. Default 0. */
  readonly posDropRate: number;
  /** Dropout after the projections of attention and MLP. Default 0. */
  readonly projDropRate: number;
  /** Dropout of the attention's weights, for which it must store them. Default 0. */
  readonly attnDropRate: number;
  /** Probability of dropping a residual branch in the last block; grows linearly from 0 in the first. Default 0. */
  readonly dropPathRate: number;
}

/** The settings that differ from the defaults. */
export type VitOptions = Partial<VitConfig>;

/**
 * Completes and checks settings.
 * @throws {ShapeError} names a setting that makes no model
 */
export function vitConfig(options: VitOptions = {}): VitConfig {
  const globalPool = options.globalPool ?? "token";
  const config: VitConfig = {
    imgSize: 224,
    patchSize: 16,
    inChans: 3,
    numClasses: 1000,
    embedDim: 768,
    depth: 12,
    numHeads: 12,
    mlpRatio: 4,
    qkvBias: true,
    classToken: true,
    noEmbedClass: false,
    fcNorm: globalPool === "avg",
    initValues: null,
    normEps: 1e-6,
    weightInit: "timm",
    posEmbedStd: 0.02,
    dropRate: 0,
    posDropRate: 0,
    projDropRate: 0,
    attnDropRate: 0,
    dropPathRate: 0,
    ...withoutUndefined(options),
    globalPool,
  };
  const { patchSize, embedDim, numHeads } = config;
  const [height, width] = imageSize(config);
  for (const side of [height, width]) checkCount("VisionTransformer", "imgSize", side);
  for (
    const name of [
      "patchSize",
      "inChans",
      "numClasses",
      "embedDim",
      "depth",
      "numHeads",
    ] as const
  ) checkCount("VisionTransformer", name, config[name]);
  for (
    const name of [
      "dropRate",
      "posDropRate",
      "projDropRate",
      "attnDropRate",
      "dropPathRate",
    ] as const
  ) checkRate("VisionTransformer", name, config[name]);
  checkCount("VisionTransformer", "hidden neurons of an MLP", hiddenDim(config));
  checkAmount("VisionTransformer", "normEps", config.normEps);
  const odd = [height, width].find((side) => side % patchSize !== 0);
  if (odd !== undefined) {
    throw new ShapeError(
      `VisionTransformer: imgSize ${odd} is not a multiple of patchSize ${patchSize}`,
    );
  }
  if (embedDim % numHeads !== 0) {
    throw new ShapeError(
      `VisionTransformer: embedDim ${embedDim} is not divisible by numHeads ${numHeads}`,
    );
  }
  if (!(config.posEmbedStd > 0 && config.posEmbedStd < Infinity)) {
    throw new ShapeError(
      `VisionTransformer: posEmbedStd is ${config.posEmbedStd}, needs a number above 0`,
    );
  }
  if (config.weightInit !== "timm" && config.weightInit !== "torch") {
    throw new ShapeError(
      `VisionTransformer: weightInit is ${config.weightInit}, needs timm or torch`,
    );
  }
  if (globalPool !== "token" && globalPool !== "avg") {
    throw new ShapeError(`VisionTransformer: globalPool is ${globalPool}, needs token or avg`);
  }
  if (globalPool === "token" && !config.classToken) {
    throw new ShapeError("VisionTransformer: globalPool token needs classToken true, or use avg");
  }
  return config;
}

/** Tokens that are no patch: the class token. */
export function prefixTokens(config: VitConfig): number {
  return config.classToken ? 1 : 0;
}

/** Hidden neurons of a dense MLP: `mlpRatio embedDim`, rounded down. */
export function hiddenDim({ embedDim, mlpRatio }: VitConfig): number {
  return Math.trunc(embedDim * mlpRatio);
}

/** Height and width of the images in pixels. */
export function imageSize({ imgSize }: Pick<VitConfig, "imgSize">): readonly [number, number] {
  return typeof imgSize === "number" ? [imgSize, imgSize] : imgSize;
}

/** Patches of an image. */
export function patchCount(config: VitConfig): number {
  const [height, width] = imageSize(config);
  return (height / config.patchSize) * (width / config.patchSize);
}

/**
 * Probability of dropping block `i`'s branches when the last block's is `rate`: linear in depth, 0 in the first.
 */
export function depthRate(rate: number, depth: number, i: number): number {
  return depth === 1 ? 0 : rate * i / (depth - 1);
}

/** The papers' sizes (ViT: arXiv:2010.11929, table 1; tiny and small: DeiT, arXiv:2012.12877, table 1). */
export const VIT_PRESETS: Readonly<
  Record<
    | "vit_tiny_patch16_224"
    | "vit_small_patch16_224"
    | "vit_small_patch32_224"
    | "vit_base_patch16_224"
    | "vit_base_patch32_224",
    VitOptions
  >
> = {
  vit_tiny_patch16_224: { patchSize: 16, embedDim: 192, depth: 12, numHeads: 3 },
  vit_small_patch16_224: { patchSize: 16, embedDim: 384, depth: 12, numHeads: 6 },
  vit_small_patch32_224: { patchSize: 32, embedDim: 384, depth: 12, numHeads: 6 },
  vit_base_patch16_224: { patchSize: 16, embedDim: 768, depth: 12, numHeads: 12 },
  vit_base_patch32_224: { patchSize: 32, embedDim: 768, depth: 12, numHeads: 12 },
};

/** Checks a probability. @throws {ShapeError} it is not in [0, 1) */
export function checkRate(where: string, name: string, value: number): void {
  if (!(value >= 0 && value < 1)) {
    throw new ShapeError(`${where}: ${name} is ${value}, needs a number in [0, 1)`);
  }
}

/** Leaves out fields that are there but undefined, so that they do not hide a default. */
export function withoutUndefined<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, v]) => v !== undefined)) as T;
}
