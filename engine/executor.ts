/**
 * The executor: walks a record list, gives memory to virtual buffers, encodes, submits, and watches for errors.
 *
 * - Dispatches share one encoder, one compute pass (until a copy ends it) and one submit.
 * - All uniforms of a submit go up in one write before it. `queue.writeBuffer` takes its place in the queue's order,
 *   so one uniform buffer serves every submit.
 * - An upload whose target is used by commands that are encoded but not submitted must not overtake them: those are
 *   submitted first.
 * - A submit is cut where the predicted time of its dispatches gets too long, and a dispatch that is too long alone is
 *   divided (cost.ts).
 * - Each submit is wrapped in three error scopes, and its verdict is awaited before the next is encoded (that does not
 *   wait for the GPU to finish). A refused one ends its list; see `Failures`.
 * @module
 */
import type { LaunchPart } from "../kernels/divide.ts";
import { fill } from "../kernels/fill.ts";
import { type Kernel, packParams, paramBytes, type Program } from "../kernels/kernel.ts";
import { HALF_FEATURE, inHalf } from "../kernels/half.ts";
import { nonFinite } from "../kernels/non_finite.ts";
import type { AnomalyScan } from "./anomaly.ts";
import type { Allocation, BufferRange, VirtualBuffer } from "./buffers.ts";
import { inParts, isFull, type Rates, type TimedPart } from "./cost.ts";
import { assertWithinBudget, Forecast, mostBytes } from "./estimate.ts";
import type { Failures } from "./failures.ts";
import type { BoundRange, Pipelines } from "./pipelines.ts";
import type { BufferPool } from "./pool.ts";
import type { Profiler } from "./profile.ts";
import { encodeSegment, type Replay } from "./replay.ts";
import { ScopeError } from "./errors.ts";
import { InFlight } from "./in_flight.ts";
import { beginAfterCopies } from "./texels.ts";
import {
  type CopyRecord,
  type DispatchRecord,
  type EngineRecord,
  planReleases,
  rangesOf,
  type ReadRecord,
} from "./records.ts";

/** What the executor has done so far; `readbacks` is the counter that proves a step hides none. */
export interface ExecutorStats {
  /** Kernels encoded. */
  dispatches: number;
  /** Command buffers submitted. */
  submits: number;
  /** Copies from host to GPU. */
  uploads: number;
  /** Copies from GPU to host, each asked for by user code. */
  readbacks: number;
}

/** Who watches a list run. */
export interface Observers {
  /** Gives each dispatch a pass of its own with timestamps. */
  readonly profiler?: Profiler;
  /** Scans what each dispatch reads and writes for NaN and infinity. */
  readonly anomaly?: AnomalyScan;
}

/** A dispatch as it was encoded; kept until its submit is known to be good, to name the culprit if it is not. */
export interface EncodedDispatch {
  readonly record: DispatchRecord;
  readonly ranges: readonly BoundRange[];
}

/** What poisoned memory holds: a quiet NaN that no kernel makes, and as halves two NaN. */
export const NAN_PATTERN = 0x7fc0fead;
const FILL = fill(1, 0).program;

/** Runs record lists on one device, one after another. */
export class Executor {
  readonly stats: ExecutorStats = { dispatches: 0, submits: 0, uploads: 0, readbacks: 0 };
  #uniform: GPUBuffer | null = null;
  #uniformHost = new DataView(new ArrayBuffer(0));
  readonly #alignment: number;
  readonly #inFlight = new InFlight();

  constructor(
    private readonly gpu: GPUDevice,
    private readonly pool: BufferPool,
    private readonly pipelines: Pipelines,
    readonly failures: Failures,
    private readonly poison: boolean,
    private readonly budget: number,
    private readonly rates: () => Rates,
  ) {
    this.#alignment = gpu.limits.minUniformBufferOffsetAlignment;
  }

  /** Waits until the GPU is not too far behind for another list. */
  async throttle(): Promise<void> {
    for (let list = this.#inFlight.next(); list !== null; list = this.#inFlight.next()) {
      await this.failures.unlessLost(list);
    }
  }

  /** Waits until the GPU has finished every list. */
  async drain(): Promise<void> {
    for (let list = this.#inFlight.oldest(); list !== null; list = this.#inFlight.oldest()) {
      await this.failures.unlessLost(list);
    }
  }

  /** A list was submitted that is predicted to take `ms`. */
  #submitted(ms: number): void {
    this.#inFlight.add(this.gpu.queue.onSubmittedWorkDone().then(() => {}, () => {}), ms);
  }

  /**
   * Compiles what the list needs, then encodes and submits it. Never rejects: see `Failures`.
   * @param observers watch the dispatches: time them, or scan what they read and write
   */
  async run(records: readonly EngineRecord[], observers: Observers = {}): Promise<void> {
    try {
      await this.#run(records, observers);
    } catch (error) {
      // WebGPU's calls do not throw for valid arguments; should one do, as on a device that is gone, later lists
      // must still run, or fail for their own reasons.
      this.#abandon(records, 0, this.failures.lost ?? error as Error);
    }
  }

  async #run(records: readonly EngineRecord[], observers: Observers): Promise<void> {
    try {
      const { pool, pipelines: { texels } } = this;
      if (pool.stats.reservedBytes + texels.bytes + mostBytes(records) > this.budget) {
        this.expectRoom("This step", (forecast) => forecast.run(records));
      }
      await this.prepare(records, observers);
    } catch (error) {
      return this.#abandon(records, 0, error as Error);
    }
    const rates = this.rates();
    const parts = records.map((r) => r.kind === "dispatch" ? inParts(r.kernel, rates) : []);
    this.#reserveUniforms(records, parts, observers);
    const plan = planReleases(records);
    let batch = this.#begin(observers);
    for (let i = 0; i < records.length; i++) {
      const record = records[i];
      if (record.kind === "upload") {
        const { target } = record;
        const whole = target.bytes === target.buffer.bytes;
        const memory = this.#assign(batch, target.buffer, whole ? null : target);
        if (batch.touched.has(memory)) {
          const error = await this.#submit(batch);
          if (error) return this.#abandon(records, i, error);
          batch = this.#begin(observers);
        }
        this.gpu.queue.writeBuffer(memory, target.offset, record.data);
        batch.uploadBytes += record.data.byteLength;
        this.stats.uploads++;
        batch.written.add(target.buffer);
        if (whole) this.failures.clear(target.buffer);
      } else if (record.kind === "copy") {
        if (!this.#skip([record.source], [record.target])) this.#copy(batch, record);
      } else if (record.kind === "read") {
        this.#read(batch, record);
      } else if (record.kind === "dispatch") {
        const access = record.kernel.program.bindings.map((b) => b.access);
        const inputs = record.ranges.filter((_, k) => access[k] !== "write");
        const outputs = record.ranges.filter((_, k) => access[k] !== "read");
        for (const part of this.#skip(inputs, outputs) ? [] : parts[i]) {
          if (isFull(batch.ms, part.ms)) {
            const error = await this.#submit(batch);
            if (error) return this.#abandon(records, i, error);
            batch = this.#begin(observers);
          }
          this.#dispatch(batch, record, part);
        }
      }
      for (const { allocation } of plan.get(i) ?? []) {
        // Its release destroys it, which commands that are encoded but not submitted do not survive.
        const used = allocation.exclusive && batch.touched.has(allocation.gpu!);
        if (used) batch.dying.push(allocation);
        else this.pool.release(allocation);
      }
    }
    const error = await this.#submit(batch);
    if (error === null && isWork(batch)) {
      this.#submitted(parts.flat().reduce((sum, part) => sum + part.ms, 0));
    }
  }

  /**
   * Gives the pool's free buffers back if what comes does not fit beside them.
   * @throws {OutOfMemoryError} when it does not fit at all; nothing is allocated then
   */
  expectRoom(what: string, play: (forecast: Forecast) => Forecast): void {
    const forecast = () => play(new Forecast(this.pool.state, this.pipelines.texels.held)).estimate;
    if (forecast().reservedBytes <= this.budget) return;
    this.pool.trim();
    this.pipelines.texels.trim();
    assertWithinBudget(what, forecast(), this.budget);
  }

  /**
   * Refuses a whole list that does not fit, before any of it runs: for walks that run it in parts.
   * @throws {OutOfMemoryError} when it does not fit
   */
  admit(records: readonly EngineRecord[]): void {
    try {
      this.expectRoom("This step", (forecast) => forecast.run(records));
    } catch (error) {
      this.#abandon(records, 0, error as Error);
      this.failures.delivered(error as Error);
      throw error;
    }
  }

  /** Compiles programs. @throws {WgradError} when the device is lost or one does not compile */
  async prepare(records: readonly EngineRecord[], observers: Observers = {}): Promise<void> {
    const own = this.#filled(observers) === null ? [] : [FILL];
    if (observers.anomaly) {
      const scan = nonFinite(1, 0, 1), { features } = this.gpu;
      own.push(scan.program);
      if (features.has(HALF_FEATURE)) own.push(inHalf(scan, ["x"]).program);
    }
    const places = placesOf(records);
    await this.failures.unlessGone(this.pipelines.prepare([...own, ...places.keys()], places));
  }

  /** Runs a prepared list once more. Never rejects: see `Failures`. */
  async replay(replay: Replay): Promise<void> {
    try {
      await this.#replay(replay);
    } catch (error) {
      this.failures.report(this.failures.lost ?? error as Error);
    }
  }

  async #replay(replay: Replay): Promise<void> {
    const stale = replay.external.find((buffer) => buffer.released);
    const error = this.failures.lost ??
      (stale
        ? new ScopeError(
          `A captured function uses "${stale.label}", which was released by ${stale.releasedBy}; ` +
            "keep it with device.keep(), or capture the function again",
        )
        : undefined) ??
      replay.external.map((buffer) => this.failures.of(buffer)).find((e) => e !== undefined);
    if (error && !replay.written.some((b) => this.failures.of(b) === error)) {
      this.failures.report(error);
      return;
    }
    for (const segment of replay.segments) {
      const scopes = this.#pushScopes();
      for (const { memory, offset, refresh } of segment.uploads) {
        this.gpu.queue.writeBuffer(memory, offset, refresh());
      }
      this.stats.uploads += segment.uploads.length;
      const encoder = this.gpu.createCommandEncoder();
      encodeSegment(segment, encoder);
      this.gpu.queue.submit([encoder.finish()]);
      this.stats.submits++;
      this.stats.dispatches += segment.encoded.length;
      const error = await this.failures.check(scopes(), segment.encoded);
      if (error) {
        this.failures.report(error);
        for (const buffer of replay.written) this.failures.fail(buffer, error);
        return;
      }
    }
    for (const buffer of replay.written) {
      buffer.written = true;
      this.failures.clear(buffer);
    }
    this.#submitted(replay.ms);
  }

  /** Opens the three error scopes; the returned function closes them. */
  #pushScopes(): () => Promise<GPUError | null>[] {
    for (const filter of ["internal", "out-of-memory", "validation"] as const) {
      this.gpu.pushErrorScope(filter);
    }
    return () => [0, 1, 2].map(() => this.gpu.popErrorScope());
  }

  /** True when an input was never computed: then nothing runs, and outputs without older content are marked too. */
  #skip(inputs: readonly BufferRange[], outputs: readonly BufferRange[]): boolean {
    for (const input of inputs) {
      const error = this.failures.of(input.buffer);
      if (!error) continue;
      for (const output of outputs) this.#invalidate(output.buffer, error);
      this.failures.report(error);
      return true;
    }
    for (const output of outputs) this.failures.clear(output.buffer);
    return false;
  }

  #invalidate(buffer: VirtualBuffer, error: Error): void {
    if (!buffer.written) this.failures.fail(buffer, error);
  }

  #begin(observers: Observers): Batch {
    return {
      scopes: this.#pushScopes(),
      observers,
      encoder: this.gpu.createCommandEncoder({ label: `submit ${this.stats.submits + 1}` }),
      pending: [],
      uniformBytes: 0,
      touched: new Set(),
      ms: 0,
      written: new Set(),
      half: new Set(),
      created: [],
      dying: [],
      encoded: [],
      reads: [],
      encodedAny: false,
      uploadBytes: 0,
    };
  }

  #dispatch(batch: Batch, record: DispatchRecord, part: TimedPart): void {
    batch.ms += part.ms;
    const { bindings } = record.kernel.program;
    const isFirst = part.first === 0, isLast = part.last;
    const ranges = record.ranges.map((range, i): BoundRange => {
      const writes = bindings[i].access !== "read";
      const buffer = this.#assign(batch, range.buffer, writes ? range : null);
      if (writes) batch.written.add(range.buffer);
      if (writes && !isFirst) batch.half.add(range.buffer);
      return { buffer, offset: range.offset, size: range.bytes };
    });
    if (isFirst) this.#scan(batch, record, ranges, false);
    this.#encode(batch, record.kernel, ranges, record, part);
    if (isLast) this.#scan(batch, record, ranges, true);
    batch.encoded.push({ record, ranges });
  }

  #scan(
    batch: Batch,
    record: DispatchRecord,
    ranges: readonly BoundRange[],
    writes: boolean,
  ): void {
    const { anomaly } = batch.observers;
    if (!anomaly) return;
    for (const { kernel, binding } of anomaly.scans(record, writes)) {
      const flags = { buffer: anomaly.flags, offset: 0, size: anomaly.bytes };
      this.#encode(batch, kernel, [ranges[binding], flags], null);
    }
  }

  #encode(
    batch: Batch,
    kernel: Kernel,
    ranges: readonly BoundRange[],
    record: DispatchRecord | null,
    part: LaunchPart = { first: 0, workgroups: kernel.workgroups, share: 1, last: true },
  ): void {
    const offset = batch.uniformBytes;
    batch.uniformBytes += this.#aligned(paramBytes(kernel.program));
    packParams(kernel.program, kernel.params, this.#uniformHost, offset, part.first);
    batch.pending.push({ kernel, ranges, offset, record, part });
    for (const range of ranges) batch.touched.add(range.buffer);
    batch.encodedAny = true;
    this.stats.dispatches++;
  }

  #aligned(bytes: number): number {
    return Math.ceil(bytes / this.#alignment) * this.#alignment;
  }

  /** Makes the uniform buffer large enough for a whole list, so that it never changes within a submit. */
  #reserveUniforms(
    records: readonly EngineRecord[],
    parts: readonly (readonly LaunchPart[])[],
    observers: Observers,
  ): void {
    const fills = this.#filled(observers) !== null;
    let bytes = (observers.anomaly?.slots ?? 0) * this.#aligned(16);
    records.forEach((record, i) => {
      if (record.kind === "dispatch") {
        bytes += parts[i].length * this.#aligned(paramBytes(record.kernel.program));
      }
      if (fills) bytes += this.#aligned(16) * rangesOf(record).length;
    });
    if (this.#uniform !== null && this.#uniform.size >= bytes) return;
    const size = Math.max(65536, 2 * bytes);
    if (this.#uniform !== null) this.pipelines.forget(this.#uniform);
    // An older, smaller one may still be named by submitted work; WebGPU keeps it alive until that is done.
    this.#uniform = this.gpu.createBuffer({ label: "uniforms", size, usage: 0x40 | 0x08 });
    this.#uniformHost = new DataView(new ArrayBuffer(size));
  }

  /** What memory holds before it is first written, or null where that is left as it is. */
  #filled({ anomaly }: Observers): number | null {
    if (anomaly) return 0;
    return this.poison ? NAN_PATTERN : null;
  }

  /**
   * The memory of a virtual buffer, assigned now if this is its first use.
   * @param write the range about to be written if the buffer must be filled first, else null
   */
  #assign(batch: Batch, buffer: VirtualBuffer, write: BufferRange | null): GPUBuffer {
    const { allocation } = buffer;
    if (allocation.gpu !== null) return allocation.gpu;
    const reused = this.pool.acquire(allocation, buffer.label);
    const memory = allocation.gpu!;
    if (!reused) batch.created.push(memory);
    const pattern = this.#filled(batch.observers);
    if (pattern !== null && write !== null && !allocation.exclusive) {
      const words = buffer.bytes / 4;
      this.#encode(batch, fill(words, pattern), [
        { buffer: memory, offset: 0, size: buffer.bytes },
      ], null);
    }
    return memory;
  }

  /** Encodes the pending dispatches, in one pass (or one each, when profiling). */
  #drain(batch: Batch): void {
    if (batch.pending.length === 0) return;
    const { encoder, observers: { profiler } } = batch;
    let pass = profiler ? null : encoder.beginComputePass();
    let last: GPUComputePipeline | null = null;
    for (const { kernel, ranges, offset, record, part } of batch.pending) {
      const compiled = this.pipelines.get(kernel.program);
      const texels = this.pipelines.texels.bind(kernel.program, ranges);
      const group = this.pipelines.group(compiled, kernel.program, this.#uniform!, texels.ranges);
      if (profiler || texels.copies.length > 0) {
        pass?.end();
        last = null;
        const times = profiler && record ? profiler.timestamps(record, part.share) : undefined;
        pass = beginAfterCopies(encoder, texels.copies, times);
      }
      if (compiled.pipeline !== last) pass!.setPipeline(last = compiled.pipeline);
      pass!.setBindGroup(0, group, [offset]);
      pass!.dispatchWorkgroups(...part.workgroups);
    }
    pass!.end();
    batch.pending.length = 0;
  }

  #copy(batch: Batch, { source, target }: CopyRecord): void {
    const from = this.#assign(batch, source.buffer, null);
    const to = this.#assign(batch, target.buffer, target);
    this.#drain(batch);
    batch.encoder.copyBufferToBuffer(from, source.offset, to, target.offset, target.bytes);
    batch.encodedAny = true;
    batch.touched.add(from).add(to);
    batch.written.add(target.buffer);
  }

  #read(batch: Batch, record: ReadRecord): void {
    const { source } = record;
    const error = this.failures.of(source.buffer);
    if (error) {
      this.failures.delivered(error);
      return record.reject(error);
    }
    const from = this.#assign(batch, source.buffer, null);
    this.#drain(batch);
    const staging = this.gpu.createBuffer({
      label: `read ${source.buffer.label}`,
      size: Math.max(4, source.bytes),
      usage: 0x01 | 0x08, // MAP_READ | COPY_DST
    });
    if (source.bytes > 0) {
      batch.encoder.copyBufferToBuffer(from, source.offset, staging, 0, source.bytes);
    }
    batch.encodedAny = true;
    batch.touched.add(from);
    batch.reads.push({ record, staging });
    this.stats.readbacks++;
  }

  /** Submits; returns why the GPU refused it, or null. */
  async #submit(batch: Batch): Promise<Error | null> {
    this.#drain(batch);
    const commands = batch.encoder.finish();
    if (isWork(batch)) {
      if (batch.uniformBytes > 0) {
        this.gpu.queue.writeBuffer(
          this.#uniform!,
          0,
          this.#uniformHost.buffer,
          0,
          batch.uniformBytes,
        );
      }
      this.gpu.queue.submit([commands]);
      this.stats.submits++;
    }
    for (const allocation of batch.dying) this.pool.release(allocation);
    const error = await this.failures.check(batch.scopes(), batch.encoded, batch.created);
    if (error === null) {
      for (const buffer of batch.written) buffer.written = true;
      for (const read of batch.reads) void this.#finishRead(read);
      return null;
    }
    this.failures.report(error);
    this.pool.discard(batch.created);
    for (const buffer of batch.written) this.#invalidate(buffer, error);
    for (const buffer of batch.half) this.failures.fail(buffer, error);
    for (const { record, staging } of batch.reads) {
      staging.destroy();
      this.failures.delivered(error);
      record.reject(error);
    }
    return error;
  }

  async #finishRead({ record, staging }: PendingRead): Promise<void> {
    try {
      await this.failures.unlessLost(staging.mapAsync(0x1));
      record.resolve(staging.getMappedRange().slice(0, record.source.bytes));
    } catch (error) {
      record.reject(this.failures.lost ?? error as Error);
    } finally {
      staging.destroy();
    }
  }

  /** The list cannot go on from `first`: its reads reject, what it would have computed is marked. */
  #abandon(records: readonly EngineRecord[], first: number, error: Error): void {
    this.failures.report(error);
    for (const record of records.slice(first)) {
      if (record.kind === "read") {
        this.failures.delivered(error);
        record.reject(error);
      } else if (record.kind === "release") {
        this.pool.release(record.buffer.allocation);
      } else {
        const written = record.kind === "dispatch"
          ? record.ranges.filter((_, i) => record.kernel.program.bindings[i].access !== "read")
          : [record.target];
        for (const range of written) this.#invalidate(range.buffer, error);
      }
    }
  }
}

/** The programs of a list, each with the place that asked for it first. */
export function placesOf(records: readonly EngineRecord[]): Map<Program, Error> {
  const places = new Map<Program, Error>();
  for (const record of records) {
    if (record.kind !== "dispatch") continue;
    const { kernel: { program }, place } = record;
    if (!places.has(program)) places.set(program, place);
  }
  return places;
}

interface PendingRead {
  readonly record: ReadRecord;
  readonly staging: GPUBuffer;
}

interface PendingDispatch {
  readonly kernel: Kernel;
  readonly ranges: readonly BoundRange[];
  /** Of its uniform. */
  readonly offset: number;
  /** What it came from; null for what only fills or scans. */
  readonly record: DispatchRecord | null;
  /** How much of it. */
  readonly part: LaunchPart;
}

interface Batch {
  /** Closes the error scopes. */
  readonly scopes: () => Promise<GPUError | null>[];
  readonly observers: Observers;
  readonly encoder: GPUCommandEncoder;
  readonly pending: PendingDispatch[];
  uniformBytes: number;
  /** Memory that encoded commands use: a host write to it must wait for them. */
  readonly touched: Set<GPUBuffer>;
  /** What its dispatches are predicted to take. */
  ms: number;
  readonly written: Set<VirtualBuffer>;
  /** Written by the later parts of a divided dispatch: whatever they held before is overwritten by half. */
  readonly half: Set<VirtualBuffer>;
  readonly created: GPUBuffer[];
  /** Memory of its own kind that is destroyed after the submit. */
  readonly dying: Allocation[];
  readonly encoded: EncodedDispatch[];
  readonly reads: PendingRead[];
  encodedAny: boolean;
  /** What was uploaded before it; the browser holds a copy until the next submit. */
  uploadBytes: number;
}

/** Uploads that are submitted although nothing else is: a model is loaded without a second copy of it on the host. */
const UPLOADS_ALONE = 16 * 1024 * 1024;

/** Whether a batch is worth a submit. */
function isWork({ encodedAny, uploadBytes }: Batch): boolean {
  return encodedAny || uploadBytes >= UPLOADS_ALONE;
}
