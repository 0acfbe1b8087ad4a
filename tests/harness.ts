/**
 * The tests' tiny harness: one file of tests runs in Deno (through `Deno.test`) and in headless Chrome, where
 * `tests/run.ts` bundles it, loads it into a page and calls the registered tests one by one.
 *
 * - `test`: both runtimes. - `gpuTest`: both, with a GPU device. - `denoTest`: Deno only (files, subprocesses).
 * - `chromeTest`: Chrome only (what its protocol can do to a page).
 *
 * A file named `*_deno_test.ts` is never bundled, so only there may `node:` modules be imported at the top.
 * @module
 */
import type { Device, DeviceOptions } from "../engine/mod.ts";
import { DeviceLostError } from "../engine/errors.ts";
import type { Target } from "../kernels/target.ts";

export {
  assert,
  assertClose,
  assertEquals,
  AssertionError,
  assertRejects,
  assertThrows,
  type Tolerance,
} from "./assert.ts";

/** Options of every kind of test. */
export interface TestOptions {
  /** Seconds after which the test fails, also in an endless loop. Default 120. */
  readonly timeout?: number;
  /** Do not look for operations and resources that outlive the test: for foreign code that ends later. Deno only. */
  readonly allowLeaks?: boolean;
}

/** Options of `gpuTest`. */
export interface GpuTestOptions extends TestOptions {
  /** Make a device with these options for this test alone, destroyed after it, instead of sharing one. */
  readonly device?: DeviceOptions;
}

/**
 * A device of its own for a test that counts what is live: on a shared one, what earlier tests left is collected at any
 * time.
 */
export const OWN_DEVICE: GpuTestOptions = { device: { poison: true } };

/** A test as a page holds it until the runner calls it. */
export interface BrowserTest {
  readonly name: string;
  readonly fn: () => void | Promise<void>;
  readonly timeout: number | undefined;
}

/** Where tests register in a browser; the runner's page reads it. */
export const browserTests: BrowserTest[] = [];

const inDeno = "Deno" in globalThis;

// Asked for an adapter, Deno on Linux also loads OpenGL. `deno test` ends without waiting for the threads its tests ran
// in, and the library of OpenGL then frees the memory of such a thread at the moment in which the thread does so itself:
// about one process in a hundred ended with "double free or corruption" after its last test. Nothing is lost with it.
if (inDeno && Deno.build.os === "linux" && !Deno.env.has("DENO_WEBGPU_BACKEND")) {
  Deno.env.set("DENO_WEBGPU_BACKEND", "vulkan");
}

/** `deno task test:mutants` runs tests again and again, which `Deno.test` cannot: there they register as in a browser. */
const listed = !inDeno || Reflect.get(globalThis, "wgradListTests") === true;
const DEFAULT_TIMEOUT = 120;

/**
 * Makes kernels be chosen for another adapter than there is; what is not named stays as it is.
 * @returns makes it as it was again
 */
export function pretendTarget(device: Device, changes: Partial<Target>): () => void {
  const own = Object.getOwnPropertyDescriptor(device, "target"); // of an outer pretence
  const value = { ...device.target, ...changes };
  Object.defineProperty(device, "target", { value, configurable: true }); // hides the class's getter
  return () => {
    if (own) Object.defineProperty(device, "target", own);
    else Reflect.deleteProperty(device, "target");
  };
}

/** A test that runs in Deno and in Chrome. */
export function test(
  name: string,
  fn: () => void | Promise<void>,
  options: TestOptions = {},
): void {
  if (listed) browserTests.push({ name, fn, timeout: options.timeout });
  else denoTest(name, fn, options);
}

/** A test that runs in Deno only, as it needs files or subprocesses; in a browser it does not exist. */
export function denoTest(
  name: string,
  fn: () => void | Promise<void>,
  options: TestOptions = {},
): void {
  if (listed) return;
  // Deno 2.9 has these two checks off by default; a file or a timer that outlives its test is a bug of ours. A shared
  // device passes them: after `sync` nothing of it is pending, and Deno does not count GPU objects as resources.
  Deno.test({
    name,
    fn,
    timeout: timeoutSeconds(options) * 1000,
    sanitizeOps: !options.allowLeaks,
    sanitizeResources: !options.allowLeaks,
  });
}

/** What a `chromeTest` can have done to its browser. */
export interface ChromeControl {
  /** Kills the process that drives the GPU, as a crash of the driver would; Chrome starts another by itself. */
  readonly crashGpuProcess: () => Promise<void>;
}

/** Under this name the runner puts `ChromeControl.crashGpuProcess` into each page. */
export const CRASH_GPU_PROCESS = "wgradCrashGpuProcess";

/** A test that runs in Chrome only, as it needs the browser's protocol; in Deno it does not exist. */
export function chromeTest(
  name: string,
  fn: (chrome: ChromeControl) => Promise<void>,
  options: TestOptions = {},
): void {
  if (inDeno) return;
  const crashGpuProcess = (): Promise<void> => Reflect.get(globalThis, CRASH_GPU_PROCESS)();
  browserTests.push({ name, fn: () => fn({ crashGpuProcess }), timeout: options.timeout });
}

/**
 * A test with a GPU device. The tests of one file share it (reused buffers are filled with NaN), which keeps them
 * quick; after each one `device.sync()` is awaited, so that a GPU error fails the test that made it.
 */
export function gpuTest(
  name: string,
  fn: (device: Device) => void | Promise<void>,
  options: GpuTestOptions = {},
): void {
  const run = async (): Promise<void> => {
    if (options.device === undefined) return await withShared(fn);
    const device = await makeDevice(options.device);
    try {
      await runAndSync(fn, device, true);
    } finally {
      device.destroy();
    }
  };
  test(name, run, options);
}

/** Loads the engine only where a GPU is asked for: tests of pure parts run without it. */
async function makeDevice(options: DeviceOptions): Promise<Device> {
  const { requestDevice } = await import("../engine/mod.ts");
  return await requestDevice({ limits: limitsUnderTest(), ...options });
}

/** `task test --limits default` runs every GPU test on a device with the specification's default limits. */
export function limitsUnderTest(): "adapter" | "default" {
  const asked = inDeno
    ? Deno.env.get("WGRAD_TEST_LIMITS")
    : Reflect.get(globalThis, "wgradTestLimits");
  return asked === "default" ? "default" : "adapter";
}

let shared: Promise<Device> | undefined;

/** Destroys the device that tests share; the next test makes a new one, which compiles everything again. */
export async function renewSharedDevice(): Promise<void> {
  const old = shared;
  shared = undefined;
  (await old?.catch(() => undefined))?.destroy();
}

async function withShared(fn: (device: Device) => void | Promise<void>): Promise<void> {
  shared ??= makeDevice({ poison: true });
  try {
    const device = await shared;
    await runAndSync(fn, device, false);
    // A loss is told in a task of its own; then the promise comes first, so it wins if the loss has happened.
    await new Promise((resolve) => setTimeout(resolve));
    const lost = await Promise.race([device.gpu.lost, Promise.resolve(null)]);
    if (lost !== null) {
      throw new DeviceLostError(
        "the test lost the device it shares: give it one with { device: {} }",
      );
    }
  } catch (error) {
    // One lost device must not fail all later tests of the file: they get a new one.
    if (error instanceof DeviceLostError) shared = undefined;
    throw error;
  }
}

/**
 * Runs a test and then waits for the GPU, also after a failure, so that its errors never reach the next test. A test
 * may destroy a device of its own: that its last wait then finds the device lost is no failure.
 */
async function runAndSync(
  fn: (device: Device) => void | Promise<void>,
  device: Device,
  own: boolean,
): Promise<void> {
  let failure: { error: unknown } | undefined;
  try {
    await fn(device);
  } catch (error) {
    failure = { error };
  }
  try {
    await device.sync();
  } catch (error) {
    const lost = error instanceof DeviceLostError;
    if (lost ? !own : failure === undefined) throw error;
  }
  if (failure !== undefined) throw failure.error;
}

/** Reads a file of `tests/`, by its path relative to that folder: from disk in Deno, over HTTP in Chrome. */
export async function loadFixture(path: string): Promise<Uint8Array<ArrayBuffer>> {
  if (inDeno) return await Deno.readFile(new URL(path, import.meta.url));
  const response = await fetch(`/tests/${path}`);
  if (!response.ok) throw new Error(`tests/${path}: the test server says ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

function timeoutSeconds(options: TestOptions): number {
  return options.timeout ?? Number(Deno.env.get("WGRAD_TEST_TIMEOUT") ?? DEFAULT_TIMEOUT);
}
