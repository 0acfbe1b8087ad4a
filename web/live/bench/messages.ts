/**
 * What the page and its worker tell each other.
 * @module
 */
import type { Roofline } from "../../../bench/harness/roofline.ts";
import type { Row, Setting } from "../../../bench/harness/row.ts";
import type { EFFORTS } from "../../../bench/session.ts";

/** To the worker: what to measure. */
export interface Order {
  /** The browser, with its version. */
  readonly runtime: string;
  readonly effort: keyof typeof EFFORTS;
  /** Indices in the table of workloads. */
  readonly workloads: readonly number[];
}

/** From the worker, in this order: once `started`, before each workload `begins`, after it `rows`, at the end `done`. */
export type Report =
  | {
    readonly kind: "started";
    readonly setting: Setting;
    readonly wait: number;
    readonly roof: Roofline;
    readonly rows: readonly Row[];
  }
  | { readonly kind: "begins"; readonly index: number }
  | { readonly kind: "rows"; readonly index: number; readonly rows: readonly Row[] }
  | { readonly kind: "done" }
  | { readonly kind: "failed"; readonly message: string };
