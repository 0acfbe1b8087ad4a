/** How many tests passed and failed in one runtime. */
export interface Counts {
  passed: number;
  failed: number;
}

/** What the runner was asked for. */
export interface RunnerOptions {
  /** Part of a test's name, or `/regular expression/`; empty runs all. */
  readonly filter: string;
  /** Seconds after which a test without its own limit fails. */
  readonly timeout: number;
  /** Limits of the devices under test: the adapter's, or the specification's defaults. */
  readonly limits: "adapter" | "default";
}

/** Whether a test's name passes a filter, by the rule of `deno test --filter`. */
export function passesFilter(name: string, filter: string): boolean {
  const expression = /^\/(.*)\/$/.exec(filter)?.[1];
  return expression === undefined ? name.includes(filter) : new RegExp(expression).test(name);
}
