/**
 * A captured list made ready to run again and again: memory assigned, bind groups made, uniforms uploaded. What is left
 * for each run is three encoder calls a dispatch; no graph is walked, nothing is allocated or hashed.
 *
 * The list is cut into segments, a submit each, where a host write must wait for commands before it and where a submit
 * would take too long (cost.ts).
 * @module
 */
import { fill } from "../kernels/fill.ts";
import { type Kernel, packParams, paramBytes } from "../kernels/kernel.ts";
import type { Allocation, BufferRange, VirtualBuffer } from "./buffers.ts";
import type { CapturedList } from "./capture.ts";
import { inParts, isFull, type Rates, type TimedPart } from "./cost.ts";
import { ScopeError } from "./errors.ts";
import { type EncodedDispatch, NAN_PATTERN } from "./executor.ts";
import type { BoundRange, Pipelines } from "./pipelines.ts";
import type { BufferPool } from "./pool.ts";
import { rangesOf, type UploadRecord } from "./records.ts";
import { beginAfterCopies, type TexelCopy } from "./texels.ts";

/** A host write of every run. */
export interface ReplayUpload {
  readonly memory: GPUBuffer;
  readonly offset: number;
  readonly refresh: () => Uint8Array<ArrayBuffer>;
}

/** A command of a run. */
export type ReplayCommand =
  | {
    readonly kind: "dispatch";
    readonly pipeline: GPUComputePipeline;
    readonly group: GPUBindGroup;
    readonly offsets: number[];
    readonly x: number;
    readonly y: number;
    readonly z: number;
    /** Encoded before it, outside of the pass. */
    readonly copies: readonly TexelCopy[];
  }
  | {
    readonly kind: "copy";
    readonly source: GPUBuffer;
    readonly sourceOffset: number;
    readonly target: GPUBuffer;
    readonly targetOffset: number;
    readonly bytes: number;
  };

/** Host writes, then commands of one submit. */
export interface ReplaySegment {
  readonly uploads: ReplayUpload[];
  readonly commands: ReplayCommand[];
  readonly encoded: EncodedDispatch[];
}

/** What `buildReplay` needs of the device. */
export interface ReplayHost {
  readonly gpu: GPUDevice;
  readonly pool: BufferPool;
  readonly pipelines: Pipelines;
  readonly poison: boolean;
  /** What kernels are predicted to take. */
  readonly rates: Rates;
}

/** A list that can run again. */
export interface Replay {
  readonly segments: readonly ReplaySegment[];
  /** Predicted milliseconds of a run. */
  readonly ms: number;
  /** Memory the plan holds. */
  readonly allocations: readonly Allocation[];
  readonly uniform: GPUBuffer | null;
  /** Copies into textures, which must stay alive. */
  readonly copies: readonly TexelCopy[];
  /** Buffers from outside that it uses; they must stay alive. */
  readonly external: readonly VirtualBuffer[];
  /** Buffers it writes that are read after it: its results and what it updates. */
  readonly written: readonly VirtualBuffer[];
}

/** Prepares a list whose programs are compiled. */
export function buildReplay(
  { list: records, results, plan }: Omit<CapturedList<unknown>, "result" | "inputs">,
  host: ReplayHost,
): Replay {
  const { gpu, pool, pipelines, poison, rates } = host;
  const memoryOf = new Map<VirtualBuffer, Place>();
  const firstUse = new Map<VirtualBuffer, number>();
  const allocations: Allocation[] = [];
  for (const { bytes, tenants } of plan) {
    const allocation: Allocation = { gpu: null, bytes: Math.ceil(bytes / 4) * 4, exclusive: true };
    pool.acquire(allocation, "captured");
    allocations.push(allocation);
    for (const { buffer, first, offset } of tenants) {
      memoryOf.set(buffer, { gpu: allocation.gpu!, offset });
      if (results.has(buffer)) {
        buffer.allocation.gpu = allocation.gpu;
        buffer.allocation.borrowed = true;
      }
      firstUse.set(buffer, first);
    }
  }
  const external = new Set<VirtualBuffer>();
  const written = new Set<VirtualBuffer>(results);
  /** Where a range of a virtual buffer lies. */
  const bound = ({ buffer, offset, bytes: size }: BufferRange): BoundRange => {
    const own = memoryOf.get(buffer);
    if (own) return { buffer: own.gpu, offset: own.offset + offset, size };
    external.add(buffer);
    if (buffer.allocation.gpu === null) pool.acquire(buffer.allocation, buffer.label);
    return { buffer: buffer.allocation.gpu!, offset, size };
  };

  const uniforms = new UniformWriter(gpu);
  const copies: TexelCopy[] = [];
  const segments: ReplaySegment[] = [];
  const deferred: (() => void)[] = []; // bind groups need the uniform buffer, whose size is known at the end
  let segment: ReplaySegment = { uploads: [], commands: [], encoded: [] };
  let touched = new TouchedRanges();
  let ms = 0, total = 0; // what the segment and the whole are predicted to take
  segments.push(segment);
  const cut = (): void => {
    segments.push(segment = { uploads: [], commands: [], encoded: [] });
    touched = new TouchedRanges();
    ms = 0;
  };

  const dispatch = (kernel: Kernel, ranges: BoundRange[], part: TimedPart): void => {
    const { program } = kernel;
    if (isFull(ms, part.ms)) cut();
    ms += part.ms;
    total += part.ms;
    const offset = uniforms.add(kernel, part.first);
    const { commands } = segment;
    const at = commands.length;
    commands.length++;
    const [x, y, z] = part.workgroups;
    deferred.push(() => {
      const compiled = pipelines.get(program);
      const texels = pipelines.texels.bind(program, ranges);
      pipelines.texels.use(texels.copies, 1);
      copies.push(...texels.copies);
      const group = pipelines.group(compiled, program, uniforms.buffer!, texels.ranges);
      commands[at] = {
        kind: "dispatch",
        pipeline: compiled.pipeline,
        group,
        offsets: [offset],
        x,
        y,
        z,
        copies: texels.copies,
      };
    });
    ranges.forEach((range) => touched.add(range));
  };

  records.forEach((record, i) => {
    if (record.kind === "release") return;
    if (record.kind === "read") {
      throw new ScopeError(
        "capture(): a value is read inside the captured function; return the tensor and read it outside",
      );
    }
    if (poison && record.kind !== "upload") {
      for (const { buffer } of rangesOf(record)) {
        if (firstUse.get(buffer) !== i) continue;
        const whole = bound({ buffer, offset: 0, bytes: buffer.bytes });
        const poisoning = fill(buffer.bytes / 4, NAN_PATTERN);
        for (const part of inParts(poisoning, rates)) dispatch(poisoning, [whole], part);
      }
    }
    if (record.kind === "upload") {
      const target = bound(record.target);
      if (touched.has(target)) cut();
      segment.uploads.push({
        memory: target.buffer,
        offset: target.offset,
        refresh: refresher(record),
      });
      if (!memoryOf.has(record.target.buffer)) written.add(record.target.buffer);
    } else if (record.kind === "copy") {
      const source = bound(record.source), target = bound(record.target);
      segment.commands.push({
        kind: "copy",
        source: source.buffer,
        sourceOffset: source.offset,
        target: target.buffer,
        targetOffset: target.offset,
        bytes: target.size,
      });
      touched.add(source);
      touched.add(target);
      if (!memoryOf.has(record.target.buffer)) written.add(record.target.buffer);
    } else {
      const ranges = record.ranges.map(bound);
      for (const part of inParts(record.kernel, rates)) {
        dispatch(record.kernel, ranges, part);
        segment.encoded.push({ record, ranges });
      }
      record.kernel.program.bindings.forEach((binding, k) => {
        const { buffer } = record.ranges[k];
        if (binding.access !== "read" && !memoryOf.has(buffer)) written.add(buffer);
      });
    }
  });
  uniforms.finish();
  deferred.forEach((make) => make());
  return {
    segments,
    ms: total,
    allocations,
    uniform: uniforms.buffer,
    copies,
    external: [...external],
    written: [...written],
  };
}

/** Where a virtual buffer begins. */
interface Place {
  readonly gpu: GPUBuffer;
  readonly offset: number;
}

/** What encoded commands use: a host write to it must wait for them. */
class TouchedRanges {
  readonly #ranges = new Map<GPUBuffer, BoundRange[]>();

  add(range: BoundRange): void {
    const known = this.#ranges.get(range.buffer);
    if (known) known.push(range);
    else this.#ranges.set(range.buffer, [range]);
  }

  has({ buffer, offset, size }: BoundRange): boolean {
    return (this.#ranges.get(buffer) ?? [])
      .some((range) => range.offset < offset + size && offset < range.offset + range.size);
  }
}

/** Encodes the commands of a segment. */
export function encodeSegment(segment: ReplaySegment, encoder: GPUCommandEncoder): void {
  let pass: GPUComputePassEncoder | null = null;
  let last: GPUComputePipeline | null = null;
  for (const command of segment.commands) {
    if (command.kind === "dispatch") {
      if (pass === null || command.copies.length > 0) {
        pass?.end();
        pass = beginAfterCopies(encoder, command.copies);
        last = null;
      }
      if (command.pipeline !== last) pass.setPipeline(last = command.pipeline);
      pass.setBindGroup(0, command.group, command.offsets);
      pass.dispatchWorkgroups(command.x, command.y, command.z);
    } else {
      pass?.end();
      pass = null;
      const { source, sourceOffset, target, targetOffset, bytes } = command;
      encoder.copyBufferToBuffer(source, sourceOffset, target, targetOffset, bytes);
    }
  }
  pass?.end();
}

/** Constants of the function are written again each time: their memory may have been lent to another buffer since. */
function refresher(record: UploadRecord): () => Uint8Array<ArrayBuffer> {
  return record.refresh ?? (() => record.data);
}

/** Collects uniforms of a list and uploads them once. */
class UniformWriter {
  buffer: GPUBuffer | null = null;
  #kernels: { kernel: Kernel; offset: number; first: number }[] = [];
  #bytes = 0;
  constructor(private readonly gpu: GPUDevice) {}

  add(kernel: Kernel, first: number): number {
    const offset = this.#bytes;
    this.#kernels.push({ kernel, offset, first });
    const alignment = this.gpu.limits.minUniformBufferOffsetAlignment;
    this.#bytes += Math.ceil(paramBytes(kernel.program) / alignment) * alignment;
    return offset;
  }

  finish(): void {
    if (this.#bytes === 0) return;
    this.buffer = this.gpu.createBuffer({
      label: "captured uniforms",
      size: this.#bytes,
      usage: 0x40 | 0x08, // UNIFORM | COPY_DST
    });
    const host = new DataView(new ArrayBuffer(this.#bytes));
    for (const { kernel, offset, first } of this.#kernels) {
      packParams(kernel.program, kernel.params, host, offset, first);
    }
    this.gpu.queue.writeBuffer(this.buffer, 0, host.buffer);
  }
}
