/**
 * What a demo run leaves behind: the JSON record, from which the report is drawn.
 * @module
 */
import type { EvaluationPoint } from "../training/run_checkpoint.ts";

/** One point of a learning curve. */
export interface CurvePoint {
  readonly step: number;
  /** Training loss of this step's batch. */
  readonly loss: number;
}

/** One of the two models of the comparison. */
export interface RunRecord {
  /** Fraction of the held-out digits classified correctly at the end. */
  readonly accuracy: number;
  /** Learning curve, one point a step. */
  readonly losses: readonly CurvePoint[];
  /** Held-out accuracy along the way, measured on a part of the held-out digits. */
  readonly evaluations: readonly EvaluationPoint[];
  /** confusion[true][predicted], counts. */
  readonly confusion: readonly (readonly number[])[];
  /** Wall time of training, evaluations included. */
  readonly seconds: number;
  readonly imagesPerSecond: number;
}

/** How the tokens of one image reached the experts of one layer. */
export interface LayerRouting {
  /** State-dict name of the layer, `blocks.3.mlp`. */
  readonly layer: string;
  readonly coreExperts: number;
  /** weights[expert][token]: share of each token in what the expert reads; each row sums to 1. */
  readonly weights: readonly (readonly number[])[];
}

/** One digit with its way through the experts. */
export interface ImageRouting {
  readonly label: number;
  readonly predicted: number;
  /** Grey values 0 to 255, row by row. */
  readonly pixels: readonly number[];
  readonly size: number;
  readonly layers: readonly LayerRouting[];
}

/** The whole record; `out/demo/result.json`. */
export interface DemoRecord {
  readonly seed: number;
  /** Name of the adapter, labelled as software or hardware. */
  readonly adapter: string;
  readonly runtime: string;
  readonly date: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly data: { readonly train: number; readonly heldOut: number; readonly source: string };
  readonly recycled: RunRecord;
  readonly scratch: RunRecord;
  /** Where each expert came from. */
  readonly recycling: readonly { readonly target: string; readonly source: string }[];
  readonly routing: readonly ImageRouting[];
}
