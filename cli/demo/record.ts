/**
 * What a demo run leaves behind: the JSON record, from which the report is drawn.
 * @module
 */
import type { RoutedImage } from "../routing/pictures.ts";
import type { LayerUsage } from "../routing/routing.ts";
import type { AccuracyAt } from "../run_checkpoint.ts";

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
  readonly evaluations: readonly AccuracyAt[];
  /** confusion[true][predicted], counts. */
  readonly confusion: readonly (readonly number[])[];
  /** Wall time of training, evaluations included. */
  readonly seconds: number;
  readonly imagesPerSecond: number;
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
  readonly routing: readonly RoutedImage[];
  /** How much the recycled model uses its experts, over `usedOn` held-out digits. */
  readonly usage: readonly LayerUsage[];
  readonly usedOn: number;
}
