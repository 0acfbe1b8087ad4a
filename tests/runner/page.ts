/**
 * The page's side of the runner in Chrome: loads one bundled test file and runs its tests when told to.
 * @module
 */
import { adapterLabel } from "../../engine/adapter.ts";
import { browserTests } from "../harness.ts";

/** What a test left: how long it took and, where it failed, why. */
export interface PageResult {
  readonly milliseconds: number;
  /** The error with its stack, unmapped. */
  readonly error?: string;
}

/** The functions that the runner calls from outside. */
export interface TestPage {
  /** Imports a file's bundle; returns the tests that registered, or why it failed. `limits` as in the harness. */
  load(
    url: string,
    limits: string,
  ): Promise<{ name: string; timeout: number | undefined }[] | string>;
  /** Runs one of them. */
  run(index: number): Promise<PageResult>;
  /** Names the adapter of this browser. */
  adapter(): Promise<string>;
}

/** Errors that no test caught, such as a rejection nobody awaits; they fail the test that is running. */
let uncaught: unknown[] = [];
addEventListener("error", (event) => uncaught.push(event.error ?? event.message));
addEventListener("unhandledrejection", (event) => uncaught.push(event.reason));

const page: TestPage = {
  async load(url, limits) {
    Reflect.set(globalThis, "wgradTestLimits", limits);
    try {
      await import(url);
    } catch (error) {
      return describe(error);
    }
    return browserTests.map(({ name, timeout }) => ({ name, timeout }));
  },
  async run(index) {
    uncaught = [];
    const start = performance.now();
    let error: string | undefined;
    try {
      await browserTests[index].fn();
      // Rejections are reported in a task of their own, after the test's last microtask.
      await new Promise((resolve) => setTimeout(resolve));
      if (uncaught.length > 0) error = `not caught by the test: ${describe(uncaught[0])}`;
    } catch (thrown) {
      error = describe(thrown);
    }
    return { milliseconds: performance.now() - start, error };
  },
  async adapter() {
    const adapter = await navigator.gpu?.requestAdapter();
    return adapter ? adapterLabel(adapter.info) : "no WebGPU adapter";
  },
};

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? "" : `\ncaused by ${describe(error.cause)}`;
  // The last frames are this file and the protocol that called it, which say nothing about the test.
  const stack = (error.stack ?? `${error.name}: ${error.message}`).split("\n")
    .filter((line) => !line.includes("/runner/page.js") && !line.includes("pptr:"));
  return stack.join("\n") + cause;
}

Reflect.set(globalThis, "testPage", page);
