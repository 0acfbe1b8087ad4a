/**
 * The record list: what ops append to and every way of running walks over.
 *
 * An op does no GPU work. It appends plain records over virtual buffers; `flush` hands the list to the executor. So
 * the life of every buffer of a step is known before its first kernel runs.
 * @module
 */
import type { Kernel } from "../kernels/kernel.ts";
import type { BufferRange, VirtualBuffer } from "./buffers.ts";

/** Run a kernel; `ranges` are in the order of the program's bindings. */
export interface DispatchRecord {
  readonly kind: "dispatch";
  readonly kernel: Kernel;
  readonly ranges: readonly BufferRange[];
  /** Where user code asked for it; formatted only when an error needs it. */
  readonly place: Error;
}

/** Copy host bytes into a buffer, in order with the dispatches around it. */
export interface UploadRecord {
  readonly kind: "upload";
  readonly target: BufferRange;
  /** What to copy; empty when a captured list asks `refresh` instead. */
  readonly data: Uint8Array<ArrayBuffer>;
  /** For values that change from run to run: asked again each time a captured list runs. */
  readonly refresh?: () => Uint8Array<ArrayBuffer>;
}

/** Copy between two buffers on the GPU. */
export interface CopyRecord {
  readonly kind: "copy";
  readonly source: BufferRange;
  readonly target: BufferRange;
}

/** Copy to the host; `resolve` gets the bytes when the GPU is done. */
export interface ReadRecord {
  readonly kind: "read";
  readonly source: BufferRange;
  readonly resolve: (bytes: ArrayBuffer) => void;
  readonly reject: (error: Error) => void;
}

/** The buffer's owner gave it up; its memory is free after the last record before this one that uses it. */
export interface ReleaseRecord {
  readonly kind: "release";
  readonly buffer: VirtualBuffer;
}

/** Anything the list may hold. */
export type EngineRecord = DispatchRecord | UploadRecord | CopyRecord | ReadRecord | ReleaseRecord;

/** The ranges a record touches. */
export function rangesOf(record: EngineRecord): readonly BufferRange[] {
  switch (record.kind) {
    case "dispatch":
      return record.ranges;
    case "upload":
      return [record.target];
    case "copy":
      return [record.source, record.target];
    case "read":
      return [record.source];
    case "release":
      return [];
  }
}

/**
 * Finds, for each index of the list, the buffers whose life ends there: those released in this list, at their last
 * use. Releases come at the end of a scope, when the whole step is recorded; the memory is free long before.
 */
export function planReleases(records: readonly EngineRecord[]): Map<number, VirtualBuffer[]> {
  const lastUse = new Map<VirtualBuffer, number>();
  records.forEach((record, i) => {
    for (const range of rangesOf(record)) lastUse.set(range.buffer, i);
  });
  const plan = new Map<number, VirtualBuffer[]>();
  records.forEach((record, i) => {
    if (record.kind !== "release") return;
    const at = lastUse.get(record.buffer) ?? i;
    const list = plan.get(at);
    if (list) list.push(record.buffer);
    else plan.set(at, [record.buffer]);
  });
  return plan;
}

/** The list with every release right after the last use of its buffer, so that the list can be run part by part. */
export function releasesInPlace(records: readonly EngineRecord[]): EngineRecord[] {
  const plan = planReleases(records);
  return records.flatMap((record, i) => [
    ...(record.kind === "release" ? [] : [record]),
    ...(plan.get(i) ?? []).map((buffer): EngineRecord => ({ kind: "release", buffer })),
  ]);
}
