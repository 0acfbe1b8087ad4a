/**
 * Anomaly mode: which op was the first to see or make a NaN or an infinity, in forward or backward.
 *
 * Beside every dispatch of the list, each of its float tensors is scanned by bit pattern: what it reads before it runs,
 * what it writes after. Memory is zeroed before it is first written: some kernels fill a tensor in parts or not to its
 * end, and what the memory held before is nobody's fault. The first flag in list order is the culprit: a written buffer means that this op made it, a
 * read one that the value came into the step from outside (a parameter, an input).
 * @module
 */
import { inHalf } from "../kernels/half.ts";
import { nonFinite } from "../kernels/non_finite.ts";
import { type Binding, type Kernel, readsBefore } from "../kernels/kernel.ts";
import { type BufferRange, nameOf } from "./buffers.ts";
import { NonFiniteError } from "./errors.ts";
import { placeOf } from "./place.ts";
import { type DispatchRecord, type EngineRecord, rangesOf } from "./records.ts";

/** A scan of one buffer of one dispatch. */
export interface Scan {
  readonly kernel: Kernel;
  /** Which of the dispatch's ranges. */
  readonly binding: number;
}

/** Whether a binding sees floats, be it as bits. */
function holdsFloats({ type }: Binding, { dtype }: BufferRange): boolean {
  return /f(32|16)/.test(dtype ?? type);
}

/** The scans of one list and their flags. */
export class AnomalyScan {
  /** One word for each buffer of each dispatch. */
  readonly flags: GPUBuffer;
  readonly #slots: number;
  readonly #scanned: { record: DispatchRecord; binding: number }[] = [];

  constructor(private readonly gpu: GPUDevice, records: readonly EngineRecord[]) {
    this.#slots = Math.max(1, records.reduce((n, record) => n + rangesOf(record).length, 0));
    this.flags = gpu.createBuffer({
      label: "anomaly flags",
      size: 4 * this.#slots,
      usage: 0x80 | 0x04, // STORAGE | COPY_SRC
    });
  }

  /** How many scans a list may need; each takes one uniform. */
  get slots(): number {
    return this.#slots;
  }

  /** Bytes of `flags`. */
  get bytes(): number {
    return 4 * this.#slots;
  }

  /** The scans before (`writes` false) or after a dispatch. */
  scans(record: DispatchRecord, writes: boolean): Scan[] {
    const scans: Scan[] = [];
    record.kernel.program.bindings.forEach((bound, binding) => {
      const wanted = writes ? bound.access !== "read" : readsBefore(record.kernel, bound);
      if (!wanted || !holdsFloats(bound, record.ranges[binding])) return;
      const slot = this.#scanned.length;
      this.#scanned.push({ record, binding });
      const count = record.kernel.sizes[bound.name];
      const halves = bound.type.includes("f16") ? ["x"] : [];
      scans.push({ kernel: inHalf(nonFinite(count, slot, this.#slots), halves), binding });
    });
    return scans;
  }

  /** Reads the flags; the error that names the first offender, or null. */
  async finish(): Promise<NonFiniteError | null> {
    const staging = this.gpu.createBuffer({ size: this.bytes, usage: 0x01 | 0x08 });
    const encoder = this.gpu.createCommandEncoder();
    encoder.copyBufferToBuffer(this.flags, 0, staging, 0, this.bytes);
    this.gpu.queue.submit([encoder.finish()]);
    await staging.mapAsync(0x1);
    const first = new Uint32Array(staging.getMappedRange()).indexOf(1);
    staging.destroy();
    this.flags.destroy();
    return first < 0 ? null : this.#describe(this.#scanned[first]);
  }

  #describe({ record, binding }: { record: DispatchRecord; binding: number }): NonFiniteError {
    const { program, params } = record.kernel;
    const { name, access } = program.bindings[binding];
    const range = record.ranges[binding];
    const sizes = Object.entries(params).map(([key, value]) => `${key} ${value}`).join(", ");
    const what = access === "write"
      ? `made NaN or infinity in its output ${name}`
      : `found NaN or infinity in ${name} ("${
        nameOf(range)
      }"), which came from outside the step or was updated by it`;
    const wayOut = access === "write"
      ? "What it read was finite: keep that in the range of this op, by a clamp, an epsilon or a lower learning rate."
      : "Look at where that was loaded or last updated; a lower learning rate or a bound on the gradient's norm helps.";
    return new NonFiniteError(
      `${program.name}[${program.variant}] ${what}: ${
        record.kernel.sizes[name]
      } values, ${sizes}; asked for ${placeOf(record.place)}. ${wayOut}`,
    );
  }
}
