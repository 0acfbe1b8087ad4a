/**
 * What the command line asks for, and what a runtime offers in return.
 * @module
 */
import type { Row } from "./harness/row.ts";
import type { PageSession } from "./chrome/page.ts";
import type { ScaledSeries } from "./scaling/run.ts";
import type { EFFORTS } from "./session.ts";

/** The command line. */
export interface BenchOptions {
  readonly effort: keyof typeof EFFORTS;
  /** Pattern of the peers' labels; null for none. */
  readonly peers: string | null;
}

/** A session in one runtime, whichever side of a page it is on. */
export interface RuntimeSession {
  readonly started: PageSession;
  /** Runs a workload by its name and shape. */
  run(name: string): Promise<readonly Row[]>;
  /** Measures the series of this index in the table of those. */
  scale(index: number): Promise<ScaledSeries>;
  /** Milliseconds to the first result of a framework, in a fresh process or page. */
  firstResult(label: string): Promise<number>;
  close(): Promise<void>;
}
