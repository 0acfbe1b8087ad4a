/**
 * How strongly, how often and with whom the neurons of a dense ViT fire: what `importance` and `graph` recycling choose
 * by. Statistics are those of MoE Jetpack's feature analysis: of hidden neurons after the MLPs' GELU (`mlp.act`), and
 * where channels are chosen too, of the second norm's channels (`norm2`) and of what the attention's projection gets
 * (`attn.proj`).
 *
 *     a [images * tokens, width], fires f = a > threshold (a percentile of all of a)
 *     L1 += sum |a| / rows    L2 += sqrt(sum a^2) / rows    act_patrn += sum f / rows    co_act += f^T f / rows
 *
 * with the diagonal of co_act set to 0. Each batch adds its own terms, so L2 and the threshold depend on the batches.
 * @module
 */
import type { Device } from "../engine/device.ts";
import { ShapeError } from "../engine/errors.ts";
import { noGrad } from "../engine/autograd.ts";
import { matmul } from "../engine/ops/mod.ts";
import type { Tensor } from "../engine/tensor.ts";
import type { Site, VisionTransformer } from "./vit.ts";

/** Statistics of one block's neurons (or channels) at a site, summed over batches. */
export interface LayerStats {
  /** Mean |a| of each neuron, [width]. */
  readonly L1: Float32Array;
  /** Norm of each neuron's activations divided by their number, [width]. */
  readonly L2: Float32Array;
  /** How often each neuron fires, in [0, 1] a batch, [width]. */
  readonly act_patrn: Float32Array;
  /** How often two neurons fire together, [width * width], symmetric, 0 on the diagonal; [] where it was not counted. */
  readonly co_act: Float32Array;
}

/** Statistics of every block by site. */
export type SiteStats = Partial<Readonly<Record<Site, readonly LayerStats[]>>>;

/** What counts as firing. */
export interface StatsOptions {
  /** `percentile` of all activations of a block, `mean_std` (mean + standard deviation) or `fixed` (0). */
  readonly threshold?: "percentile" | "mean_std" | "fixed";
  /** In [0, 100]. Default 80. */
  readonly percentile?: number;
  /** Whether co-activation is counted, width * width numbers a block. Default true. */
  readonly coActivation?: boolean;
}

/**
 * Runs batches through a dense ViT and gathers the statistics of every block at one site.
 * @param batches images [B, C, H, W] each; the tensors stay the caller's
 * @param onBatch called with the thresholds of the blocks after each batch
 * @throws {ShapeError} no batches, a percentile out of range, or a block without a dense MLP
 */
export async function activationStats(
  model: VisionTransformer,
  batches: Iterable<Tensor> | AsyncIterable<Tensor>,
  options: StatsOptions & { readonly site?: Site } = {},
  onBatch?: (thresholds: readonly number[]) => void,
): Promise<readonly LayerStats[]> {
  const { site = "mlp.act" } = options;
  const stats = await siteStats(model, batches, [site], options, (at) => onBatch?.(at[site]!));
  return stats[site]!;
}

/**
 * The same at several sites in one go. The host holds the activations of all blocks for one batch: images * tokens *
 * (widths of the sites) * depth * 4 bytes.
 * @throws {ShapeError} as `activationStats`
 */
export async function siteStats(
  model: VisionTransformer,
  batches: Iterable<Tensor> | AsyncIterable<Tensor>,
  sites: readonly Site[],
  options: StatsOptions = {},
  onBatch?: (thresholds: Partial<Record<Site, readonly number[]>>) => void,
): Promise<SiteStats> {
  const { coActivation = true } = options;
  const threshold = thresholdRule(options);
  const sums = new Map<Site, Sums[]>();
  for await (const images of batches) {
    const { device } = images;
    const found = await activations(model, images, sites);
    const thresholds: Partial<Record<Site, readonly number[]>> = {};
    for (const [site, blocks] of found) {
      const own = sums.get(site) ?? blocks.map(({ width }) => emptySums(width, coActivation));
      sums.set(site, own);
      const at = blocks.map(({ values }) => threshold(values));
      thresholds[site] = at;
      for (const [block, { values, width }] of blocks.entries()) {
        const fires = Float32Array.from(values, (a) => a > at[block] ? 1 : 0);
        addNorms(own[block], values, fires, width);
        if (coActivation) await addCoActivation(own[block], device, fires, width);
      }
    }
    onBatch?.(thresholds);
  }
  if (sums.size === 0) throw new ShapeError("activationStats(): needs at least one batch");
  return Object.fromEntries([...sums].map(([site, blocks]) => [
    site,
    blocks.map(({ L1, L2, act_patrn, co_act }) => ({
      L1: Float32Array.from(L1),
      L2: Float32Array.from(L2),
      act_patrn: Float32Array.from(act_patrn),
      co_act: Float32Array.from(co_act),
    })),
  ]));
}

interface Sums {
  readonly L1: Float64Array;
  readonly L2: Float64Array;
  readonly act_patrn: Float64Array;
  readonly co_act: Float64Array;
}

function emptySums(width: number, coActivation: boolean): Sums {
  return {
    L1: new Float64Array(width),
    L2: new Float64Array(width),
    act_patrn: new Float64Array(width),
    co_act: new Float64Array(coActivation ? width * width : 0),
  };
}

/** What one block computes at a site, [images * tokens, width] row-major. */
interface Activations {
  readonly values: Float32Array;
  readonly width: number;
}

/** Reads what every block computes at some sites. */
async function activations(
  model: VisionTransformer,
  images: Tensor,
  sites: readonly Site[],
): Promise<Map<Site, Activations[]>> {
  const taps = await images.device.step(() =>
    noGrad(() => {
      const reads: { site: Site; read: Promise<ArrayLike<number>>; width: number }[] = [];
      model.forwardFeatures(images, {
        onSite: (site, x) => {
          if (!sites.includes(site)) return;
          reads.push({ site, read: x.data(), width: x.shape[x.rank - 1] });
        },
      });
      return reads;
    })
  );
  const found = new Map<Site, Activations[]>(sites.map((site) => [site, []]));
  for (const { site, read, width } of taps) {
    found.get(site)!.push({ values: await read as Float32Array, width });
  }
  for (const blocks of found.values()) {
    if (blocks.length === model.config.depth) continue;
    throw new ShapeError(
      `activationStats(): ${blocks.length} of ${model.config.depth} blocks have a dense MLP, needs all`,
    );
  }
  return found;
}

/** Adds the norms and counts of one batch. */
function addNorms(sums: Sums, values: Float32Array, fires: Float32Array, width: number): void {
  const rows = values.length / width;
  const L1 = new Float64Array(width), squares = new Float64Array(width);
  const count = new Float64Array(width);
  for (let i = 0, j = 0; i < values.length; i++, j = j + 1 === width ? 0 : j + 1) {
    const a = values[i];
    L1[j] += Math.abs(a);
    squares[j] += a * a;
    count[j] += fires[i];
  }
  for (let j = 0; j < width; j++) {
    sums.L1[j] += L1[j] / rows;
    sums.L2[j] += Math.sqrt(squares[j]) / rows;
    sums.act_patrn[j] += count[j] / rows;
  }
}

/** f^T f on the GPU: counts below 2^24, so f32 holds them exactly. */
async function addCoActivation(
  sums: Sums,
  device: Device,
  fires: Float32Array,
  width: number,
): Promise<void> {
  const rows = fires.length / width;
  const counts = await device.step(() => {
    const f = device.tensor(fires, [rows, width]);
    return matmul(f, f, { transposeA: true }).data();
  });
  for (let i = 0; i < counts.length; i++) sums.co_act[i] += counts[i] / rows;
  for (let j = 0; j < width; j++) sums.co_act[j * width + j] = 0;
}

/** The threshold of a block's activations. Rounded to f32, in which they are compared with it. */
function thresholdRule(options: StatsOptions): (values: Float32Array) => number {
  const { threshold = "percentile", percentile = 80 } = options;
  switch (threshold) {
    case "percentile":
      if (!(percentile >= 0 && percentile <= 100)) {
        throw new ShapeError(`activationStats(): percentile ${percentile} is not in [0, 100]`);
      }
      return (values) => Math.fround(percentileOf(values, percentile));
    case "mean_std":
      return (values) => Math.fround(meanPlusDeviation(values));
    case "fixed":
      return () => 0;
    default:
      throw new ShapeError(
        `activationStats(): threshold ${threshold}, needs percentile, mean_std or fixed`,
      );
  }
}

/** NumPy's percentile: linear between the two values around position q/100 (n - 1) of the sorted values. */
function percentileOf(values: Float32Array, q: number): number {
  const sorted = values.slice().sort();
  const position = (sorted.length - 1) * (q / 100);
  const below = Math.floor(position), above = Math.min(below + 1, sorted.length - 1);
  const step = Math.fround(sorted[above] - sorted[below]), part = position - below;
  // The nearer value is the base, as NumPy does it, so that the ends are met exactly.
  return part < 0.5 ? sorted[below] + step * part : sorted[above] - step * (1 - part);
}

function meanPlusDeviation(values: Float32Array): number {
  let sum = 0, squares = 0;
  for (const a of values) sum += a;
  const mean = sum / values.length;
  for (const a of values) squares += (a - mean) ** 2;
  return mean + Math.sqrt(squares / values.length);
}
