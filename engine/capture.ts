/**
 * Capture and replay: a step is recorded once and then runs as prepared GPU commands.
 *
 *     const train = device.capture((images: Tensor, labels: Tensor) => { …; return loss; });
 *     const loss = await train([images, [64, 1, 28, 28]], [labels, [64]]);
 *
 * Inputs are written in place. What changes from step to step is data that is written before each run: the random
 * step counter, an optimiser's rate. Inputs of another shape are recorded anew, each shape once.
 * @module
 */
import type { VirtualBuffer } from "./buffers.ts";
import { DTypeError, ShapeError } from "./errors.ts";
import { dtypeOf } from "./host_data.ts";
import type { SharedMemory } from "./planner.ts";
import type { EngineRecord } from "./records.ts";
import type { Replay } from "./replay.ts";
import { type DType, type HostArray, sameShape, type Tensor } from "./tensor.ts";

/** A host array with the shape it has as an input. */
export type CapturedInput = readonly [data: HostArray, shape: readonly number[]];

/** A function that was captured: takes one input for each of its tensor parameters. */
export interface CapturedFunction<R> {
  /** Runs one step; resolves to what the function returned: its tensors hold the values of the latest run. */
  (...inputs: CapturedInput[]): Promise<R>;
  /** How many shapes have been recorded. */
  readonly recordings: number;
  /** Gives the memory of all recordings back. */
  dispose(): void;
}

/** One recording: the function's list for one set of input shapes. */
export interface Recording<R> {
  readonly shapes: readonly (readonly number[])[];
  readonly dtypes: readonly DType[];
  readonly inputs: readonly Tensor[];
  readonly result: R;
  readonly replay: Replay;
}

/** A function's records, not run yet. */
export interface CapturedList<R> {
  readonly list: readonly EngineRecord[];
  /** Its parameters. */
  readonly inputs: readonly Tensor[];
  /** What it returned. */
  readonly result: R;
  /** The memory of what it returned, as far as the list makes it. */
  readonly results: ReadonlySet<VirtualBuffer>;
  /** Which buffers take turns in which memory. */
  readonly plan: readonly SharedMemory[];
}

/** @internal What `Device.dryRun` records with. */
export interface DryRecorder {
  /** The list of a step. */
  step(fn: () => unknown, name?: string): readonly EngineRecord[];
  /** The list of a captured step. */
  capture<R>(fn: (...inputs: Tensor[]) => R, inputs: readonly CapturedInput[]): CapturedList<R>;
}

/** @internal What capture needs of the device; made by `device.capture`. */
export interface CaptureHost<R> {
  record(inputs: readonly CapturedInput[]): Promise<Recording<R>>;
  replay(recording: Recording<R>, inputs: readonly HostArray[]): Promise<void>;
  free(recording: Recording<R>): void;
}

/** Wraps the recordings of one function. */
export function capturedFunction<R>(host: CaptureHost<R>): CapturedFunction<R> {
  const recordings: Recording<R>[] = [];
  const call = async (...inputs: CapturedInput[]): Promise<R> => {
    inputs.forEach((input, i) => {
      if (!Array.isArray(input) || !Array.isArray(input[1])) {
        throw new DTypeError(`capture(): input ${i} must be [values, shape]`);
      }
      const [data, shape] = input;
      const size = shape.reduce((a, b) => a * b, 1);
      dtypeOf(data, `capture(): input ${i}`);
      if (data.length !== size) {
        throw new ShapeError(
          `capture(): input ${i} has ${data.length} values, shape [${
            shape.join(", ")
          }] needs ${size}`,
        );
      }
    });
    let recording = recordings.find((r) =>
      r.shapes.length === inputs.length &&
      r.shapes.every((shape, i) => sameShape(shape, inputs[i][1])) &&
      r.dtypes.every((dtype, i) => dtype === dtypeOf(inputs[i][0], "input"))
    );
    if (!recording) recordings.push(recording = await host.record(inputs));
    await host.replay(recording, inputs.map(([data]) => data));
    return recording.result;
  };
  return Object.defineProperty(
    Object.assign(call, {
      dispose: () => recordings.splice(0).forEach((recording) => host.free(recording)),
    }),
    "recordings",
    { get: () => recordings.length },
  ) as unknown as CapturedFunction<R>;
}
