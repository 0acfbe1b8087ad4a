/**
 * Textures that kernels read instead of buffers (kernels/texels.ts): what is bound, and the copies that fill it.
 *
 * A copy and the dispatch that reads it follow each other in the queue's order, so a texture is free for the next pair
 * at once: a device needs one for each size and each place in a kernel's bindings, however many kernels run.
 * @module
 */
import { type Binding, ELEMENT_BYTES, type ElementType, type Program } from "../kernels/kernel.ts";
import { MAX_TEXEL_ROWS, TEXEL_ROW } from "../kernels/texels.ts";
import type { BoundRange } from "./pipelines.ts";
import type { EngineRecord } from "./records.ts";

/** A copy of a buffer's range into a texture, row by row. */
export interface TexelCopy {
  readonly source: BoundRange;
  readonly texture: GPUTexture;
  /** Bytes of a row. */
  readonly bytesPerRow: number;
  /** Texels. */
  readonly count: number;
}

/** What a dispatch binds, and what has to be copied before it. */
export interface TexelBindings {
  readonly ranges: readonly BoundRange[];
  readonly copies: readonly TexelCopy[];
}

/** TEXTURE_BINDING | COPY_DST of GPUTextureUsage, as a number so that importing needs no WebGPU. */
const USAGE = 0x04 | 0x02;

/** Formats that hold what a buffer holds. */
const FORMATS: Partial<Record<ElementType, GPUTextureFormat>> = {
  "f32": "r32float",
  "vec4<f32>": "rgba32float",
  "f16": "r16float",
  "vec4<f16>": "rgba16float",
};

/** A texture as it has to be. */
interface Wanted {
  /** Tells it from others: its place in the bindings, its elements, its rows. */
  readonly key: string;
  readonly rows: number;
  readonly format: GPUTextureFormat;
  readonly bytes: number;
}

interface Held extends Wanted {
  readonly texture: GPUTexture;
  readonly view: GPUTextureView;
  /** Captured steps that bind it. */
  users: number;
}

/** The texture for `count` texels of a binding that is the `place`th of its program to be read so. */
function wanted(place: number, { type }: Binding, count: number): Wanted {
  const rows = texelRows(count);
  return {
    key: `${place} ${type} ${rows}`,
    rows,
    format: FORMATS[type]!,
    bytes: TEXEL_ROW * rows * ELEMENT_BYTES[type],
  };
}

/** The textures that dispatches will need, with their bytes. */
export function texturesOf(records: readonly EngineRecord[]): Map<string, number> {
  const textures = new Map<string, number>();
  for (const record of records) {
    if (record.kind !== "dispatch") continue;
    let place = 0;
    record.kernel.program.bindings.forEach((binding, i) => {
      if (!binding.texels) return;
      const count = record.ranges[i].bytes / ELEMENT_BYTES[binding.type];
      const { key, bytes } = wanted(place++, binding, count);
      textures.set(key, bytes);
    });
  }
  return textures;
}

/** The textures of one device. */
export class Texels {
  readonly #held = new Map<string, Held>();
  /** @param onDestroy told of every texture that is destroyed, so that bind groups naming it are forgotten */
  constructor(
    private readonly gpu: GPUDevice,
    private readonly onDestroy: (view: GPUTextureView) => void,
  ) {}

  /** Bytes of each texture there is. They stay until `trim`. */
  get held(): ReadonlyMap<string, number> {
    return new Map([...this.#held.values()].map(({ key, bytes }) => [key, bytes]));
  }

  /** Bytes of all textures. */
  get bytes(): number {
    let sum = 0;
    for (const { bytes } of this.#held.values()) sum += bytes;
    return sum;
  }

  /** Binds textures where the program reads through some; all else stays. */
  bind(program: Program, ranges: readonly BoundRange[]): TexelBindings {
    if (!program.bindings.some(({ texels }) => texels)) return { ranges, copies: [] };
    const copies: TexelCopy[] = [];
    const bound = ranges.map((range, i): BoundRange => {
      const binding = program.bindings[i];
      if (!binding.texels) return range;
      const size = ELEMENT_BYTES[binding.type], count = range.size / size;
      const { texture, view } = this.#take(wanted(copies.length, binding, count));
      copies.push({ source: range, texture, bytesPerRow: TEXEL_ROW * size, count });
      return { ...range, view };
    });
    return { ranges: bound, copies };
  }

  /** A captured step binds the textures of these copies (+1), or does no more (-1). */
  use(copies: readonly TexelCopy[], change: 1 | -1): void {
    for (const held of this.#held.values()) {
      if (copies.some(({ texture }) => texture === held.texture)) held.users += change;
    }
  }

  /** Gives back the textures that no captured step binds. */
  trim(): void {
    for (const { key, texture, view, users } of [...this.#held.values()]) {
      if (users > 0) continue;
      this.onDestroy(view);
      texture.destroy();
      this.#held.delete(key);
    }
  }

  #take(wanted: Wanted): Held {
    let held = this.#held.get(wanted.key);
    if (held === undefined) {
      const { key, rows, format } = wanted;
      const size = [TEXEL_ROW, rows];
      const texture = this.gpu.createTexture({
        label: `texels ${key}`,
        size,
        format,
        usage: USAGE,
      });
      held = { ...wanted, texture, view: texture.createView(), users: 0 };
      this.#held.set(key, held);
    }
    return held;
  }
}

/** Rows of the texture for so many texels: a power of two, so that there are few sizes. */
function texelRows(count: number): number {
  const rows = Math.ceil(count / TEXEL_ROW);
  return Math.min(MAX_TEXEL_ROWS, 2 ** Math.ceil(Math.log2(Math.max(1, rows))));
}

/**
 * Encodes copies, then begins a pass. Where its time is taken, it begins with the copies: an empty pass before them writes
 * the first timestamp.
 */
export function beginAfterCopies(
  encoder: GPUCommandEncoder,
  copies: readonly TexelCopy[],
  times?: GPUComputePassTimestampWrites,
): GPUComputePassEncoder {
  if (copies.length === 0) return encoder.beginComputePass({ timestampWrites: times });
  if (times) {
    const { querySet, beginningOfPassWriteIndex } = times;
    encoder.beginComputePass({ timestampWrites: { querySet, beginningOfPassWriteIndex } }).end();
  }
  for (const copy of copies) encodeTexelCopy(encoder, copy);
  return encoder.beginComputePass(
    times && {
      timestampWrites: {
        querySet: times.querySet,
        endOfPassWriteIndex: times.endOfPassWriteIndex,
      },
    },
  );
}

/** Encodes a copy, outside of a pass: whole rows, then what is left. */
function encodeTexelCopy(
  encoder: GPUCommandEncoder,
  { source, texture, bytesPerRow, count }: TexelCopy,
): void {
  const rows = Math.floor(count / TEXEL_ROW), rest = count % TEXEL_ROW;
  const { buffer, offset } = source;
  if (rows > 0) {
    encoder.copyBufferToTexture({ buffer, offset, bytesPerRow }, { texture }, [TEXEL_ROW, rows]);
  }
  if (rest > 0) {
    const from = { buffer, offset: offset + rows * bytesPerRow, bytesPerRow };
    encoder.copyBufferToTexture(from, { texture, origin: [0, rows] }, [rest, 1]);
  }
}
