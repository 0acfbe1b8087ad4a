/**
 * What went wrong on the GPU, and which buffers must therefore never be read.
 *
 * WebGPU reports errors later and elsewhere than they are made, and a read of a buffer that a refused submit should
 * have written quietly gives zeros or old values. Here a refused submit (none of which was executed) marks the buffers
 * it was the first to write; whatever is computed from them is marked too instead of being run; reading a marked buffer
 * rejects. Buffers that held good values before keep them. The error itself rejects the next awaited call.
 * @module
 */
import type { VirtualBuffer } from "./buffers.ts";
import { DeviceLostError, GpuError, OutOfMemoryError } from "./errors.ts";
import type { EncodedDispatch } from "./executor.ts";
import { type Pipelines, resourceOf } from "./pipelines.ts";
import { placeOf } from "./place.ts";

/** The errors of one device. */
export class Failures {
  #failed = new WeakMap<VirtualBuffer, Error>();
  #pending: Error | null = null;
  #lost: DeviceLostError | null = null;
  #refused: GpuError | null = null;
  /** Settles when the self-test has passed or failed. */
  selfTested: Promise<void> = Promise.resolve();
  /** Who waits for the GPU. (A race against one promise of the loss would keep a reaction for every race ever run.) */
  readonly #waiting = new Set<(error: DeviceLostError | null) => void>();

  constructor(private readonly gpu: GPUDevice, private readonly pipelines: Pipelines) {
    void gpu.lost.then(({ reason, message }) => this.lose(message || reason));
    gpu.addEventListener("uncapturederror", (event) => {
      const { message } = (event as GPUUncapturedErrorEvent).error;
      this.report(
        new GpuError(
          "The GPU refused a call that was made outside of any step, such as one of your own on device.gpu. " +
            `The driver says: ${message}`,
        ),
      );
    });
  }

  /** The device is gone: whatever waits for it rejects now. WebGPU itself would let a pending map succeed. */
  lose(reason: string): void {
    if (this.#lost) return;
    this.#lost = new DeviceLostError(
      `The GPU device was lost (${reason}). Make a new one with requestDevice() and load the last checkpoint.`,
    );
    for (const tell of this.#waiting) tell(this.#lost);
    this.#waiting.clear();
  }

  /** Why the device is gone, or null. */
  get lost(): DeviceLostError | null {
    return this.#lost;
  }

  /** The driver computes wrong answers: nothing it returns may be used. */
  refuse(adapter: string, part: string): void {
    const error = new GpuError(
      `${adapter} computes ${part} wrongly (a known answer came out different), so its results cannot be ` +
        "trusted. Update its driver or choose another adapter; requestDevice({ selfTest: false }) uses it all the same.",
    );
    this.#refused = error;
  }

  /** Results are handed out only after the self-test's verdict. */
  waitFor(verdict: Promise<void>): void {
    this.selfTested = verdict.catch((error: Error) => this.report(error));
  }

  /** Rejects with `DeviceLostError` when the device is or gets lost before `promise` settles. */
  async unlessGone<T>(promise: Promise<T>): Promise<T> {
    await this.settledOrLost(promise);
    if (this.#lost) throw this.#lost;
    return await promise;
  }

  /** The same for what the GPU computed, which is handed out only after the self-test's verdict. */
  async unlessLost<T>(promise: Promise<T>): Promise<T> {
    const value = await this.unlessGone(promise);
    await this.settledOrLost(this.selfTested);
    if (this.#lost) throw this.#lost;
    if (this.#refused) throw this.#refused;
    return value;
  }

  /** Resolves when `promise` has settled either way, or the device is lost. What a lost device owes may never come. */
  async settledOrLost(promise: Promise<unknown>): Promise<void> {
    if (this.#lost) {
      promise.catch(() => {});
      return;
    }
    const { promise: told, resolve } = Promise.withResolvers<Error | null>();
    this.#waiting.add(resolve);
    promise.then(() => resolve(null), resolve);
    const error = await told;
    this.#waiting.delete(resolve);
    if (error !== null && !this.#lost) await this.#lossMayFollow();
  }

  /** When the driver goes, what it owed may fail a moment before the loss itself is told. */
  async #lossMayFollow(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, 100);
    const tell = (): void => resolve();
    this.#waiting.add(tell);
    await promise;
    clearTimeout(timer);
    this.#waiting.delete(tell);
  }

  /** Remembers an error for the next awaited call; the first one wins, later ones usually follow from it. */
  report(error: Error): void {
    this.#pending ??= error;
  }

  /** An error that was delivered by a rejected read need not be raised again. */
  delivered(error: Error): void {
    if (this.#pending === error) this.#pending = null;
  }

  /** Throws what has been reported since the last call. */
  raise(): void {
    if (this.#lost) throw this.#lost;
    if (this.#refused) throw this.#refused;
    const error = this.#pending;
    this.#pending = null;
    if (error) throw error;
  }

  /** Marks a buffer whose content was never computed. */
  fail(buffer: VirtualBuffer, error: Error): void {
    this.#failed.set(buffer, error);
  }

  /** Unmarks a buffer that was written anew. */
  clear(buffer: VirtualBuffer): void {
    this.#failed.delete(buffer);
  }

  /** The error that a buffer's content is missing for, or undefined. */
  of(buffer: VirtualBuffer): Error | undefined {
    return this.#failed.get(buffer);
  }

  /** The error of a submit, named after the dispatch that caused it, or null when all three scopes are clean. */
  async check(
    scopes: readonly Promise<GPUError | null>[],
    encoded: readonly EncodedDispatch[],
    created: readonly GPUBuffer[] = [],
  ): Promise<Error | null> {
    const all = Promise.all(scopes.map((scope) => scope.catch(() => null)));
    await this.settledOrLost(all);
    if (this.#lost) return this.#lost;
    const errors = await all;
    const found = errors.find((error) => error !== null);
    if (!found) return this.#lost;
    if (found instanceof GPUOutOfMemoryError) {
      return new OutOfMemoryError(
        `The GPU has no memory left${
          describeBuffers(created)
        }. Use a smaller batch or a smaller model; what was ` +
          `computed before is whole. The driver says: ${found.message}`,
      );
    }
    return new GpuError(
      `${await this.#culprit(
        encoded,
      )}was refused by the GPU, and with it all that was submitted together. What it ` +
        `should have written cannot be read, what was computed before is whole. The driver says: ${found.message}`,
    );
  }

  /** Encodes the dispatches one by one to find the first that the GPU refuses. */
  async #culprit(encoded: readonly EncodedDispatch[]): Promise<string> {
    for (const { record, ranges: bound } of encoded) {
      const { program, workgroups } = record.kernel;
      const { ranges } = this.pipelines.texels.bind(program, bound);
      this.gpu.pushErrorScope("validation");
      const encoder = this.gpu.createCommandEncoder();
      const pass = encoder.beginComputePass();
      const compiled = this.pipelines.get(program);
      const uniform = this.gpu.createBuffer({ size: 256, usage: 0x40 });
      const group = this.gpu.createBindGroup({
        layout: compiled.layout.layout,
        entries: [
          { binding: 0, resource: { buffer: uniform, size: 256 } },
          ...ranges.map((range, i) => ({ binding: i + 1, resource: resourceOf(range) })),
        ],
      });
      pass.setPipeline(compiled.pipeline);
      pass.setBindGroup(0, group, [0]);
      pass.dispatchWorkgroups(...workgroups);
      pass.end();
      encoder.finish();
      const error = await this.gpu.popErrorScope();
      uniform.destroy();
      if (error) {
        const names = program.bindings.map((b, i) => `${b.name}: ${ranges[i].size} bytes`);
        return `${program.name}[${program.variant}] (${names.join(", ")}), made ${
          placeOf(record.place)
        } with ${workgroups.join(" x ")} workgroups, `;
      }
    }
    return "A submit ";
  }
}

/** The largest of the buffers that a submit would have been the first to use. */
function describeBuffers(buffers: readonly GPUBuffer[]): string {
  if (buffers.length === 0) return "";
  const largest = [...buffers].sort((a, b) => b.size - a.size).slice(0, 5)
    .map(({ label, size }) => `"${label}" with ${size} bytes`);
  return ` for ${buffers.length} new buffer${
    buffers.length === 1 ? "" : "s"
  }, the largest of them ${largest.join(", ")}`;
}
