/**
 * The side of the mutants' runner that lives where the tests run: in a Deno process, or in a page.
 *
 * Shaders are changed on their way to the driver, by replacing `GPUDevice.prototype.createShaderModule`: no kernel file
 * is touched, and the tests do not know.
 * @module
 */
import { browserTests, renewSharedDevice } from "../harness.ts";
import { mutate, type Mutation } from "./mutation.ts";

/** A program that some test compiled. */
export interface SeenProgram {
  /** `name[variant]`. */
  readonly label: string;
  /** Its WGSL. */
  readonly code: string;
}

/** What one test did without any mutation. */
export interface Trace {
  /** The test's name. */
  readonly name: string;
  /** Indices into `programs()` of what it compiled. */
  readonly programs: readonly number[];
  /** How long it took. */
  readonly milliseconds: number;
  /** Why it failed, where it did: then it says nothing about mutants. */
  readonly error?: string;
}

/** What became of a mutant. */
export interface Verdict {
  /** The test that failed; absent where the mutant survived. */
  readonly killer?: string;
  /** The first line of its error. */
  readonly error?: string;
  /** Shaders that were changed. */
  readonly applied: number;
}

/** The functions that the runner calls. */
export interface MutantSession {
  /** Imports test files, once. */
  load(urls: readonly string[]): Promise<void>;
  /** How many tests they have. */
  count(): number;
  /** Runs a test on a new device and notes what it compiles. */
  trace(test: number): Promise<Trace>;
  /** All programs noted so far. */
  programs(): SeenProgram[];
  /** Runs tests with one mutation until the first failure. */
  run(mutation: Mutation, tests: readonly number[]): Promise<Verdict>;
}

let mutation: Mutation | undefined;
let applied = 0;
let noted: Set<number> | undefined;
const seen = new Map<string, number>();
const programs: SeenProgram[] = [];

function intercept(): void {
  const prototype =
    (globalThis as unknown as { GPUDevice: { prototype: GPUDevice } }).GPUDevice.prototype;
  const original = prototype.createShaderModule;
  prototype.createShaderModule = function (descriptor) {
    const { label = "", code } = descriptor;
    if (noted !== undefined) {
      let index = seen.get(code);
      if (index === undefined) {
        seen.set(code, index = programs.length);
        programs.push({ label, code });
      }
      noted.add(index);
    }
    const mutant = mutation === undefined ? code : mutate({ label, code }, mutation);
    if (mutant !== code) applied++;
    return original.call(this, { ...descriptor, code: mutant });
  };
}

const firstLine = (error: unknown) =>
  String(error).split("\n").slice(0, 3).join(" | ").slice(0, 300);

/** The session of this process or page. */
export const mutantSession: MutantSession = {
  async load(urls) {
    // The verdict of the engine's self-test is remembered, so it is over before the first mutation.
    const { requestDevice } = await import("../../engine/mod.ts");
    const device = await requestDevice();
    await device.sync();
    device.destroy();
    intercept();
    for (const url of urls) await import(url);
  },
  count: () => browserTests.length,
  async trace(test) {
    noted = new Set();
    await renewSharedDevice();
    const { name, fn } = browserTests[test];
    const start = performance.now();
    let error: string | undefined;
    try {
      await fn();
    } catch (thrown) {
      error = firstLine(thrown);
    }
    const milliseconds = performance.now() - start;
    const found = [...noted];
    noted = undefined;
    return { name, programs: found, milliseconds, error };
  },
  programs: () => programs,
  async run(wanted, tests) {
    mutation = wanted;
    applied = 0;
    await renewSharedDevice();
    try {
      for (const test of tests) {
        try {
          await browserTests[test].fn();
        } catch (thrown) {
          return { killer: browserTests[test].name, error: firstLine(thrown), applied };
        }
      }
      return { applied };
    } finally {
      mutation = undefined;
      await renewSharedDevice();
    }
  },
};
