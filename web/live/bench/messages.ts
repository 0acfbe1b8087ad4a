/**
 * What the page and the worker that measures say to each other.
 * @module
 */
import type { PageSession } from "../../../bench/chrome/page.ts";
import type { Rated } from "../../../bench/output/format.ts";
import type { EFFORTS } from "../../../bench/session.ts";

/** What to measure; the page says it once. */
export interface Order {
  /** The browser with its version. */
  readonly runtime: string;
  readonly effort: keyof typeof EFFORTS;
  /** Places in the table of workloads, in the order to measure them. */
  readonly chosen: readonly number[];
}

/** A workload that is measured: its rows, by the wall clock and by the GPU's. */
export interface Measured {
  readonly kind: "measured";
  readonly rows: readonly Rated[];
  /** Operations a byte; null where one of them is not counted. */
  readonly intensity: number | null;
}

/** What the worker tells. */
export type News =
  /** The adapter is found and its roofline measured. */
  | { readonly kind: "started"; readonly session: PageSession }
  /** Work on the workload of this place in the order begins. */
  | { readonly kind: "begun"; readonly place: number; readonly name: string }
  | Measured
  | { readonly kind: "finished" }
  /** Nothing more will come. */
  | { readonly kind: "failed"; readonly message: string };
