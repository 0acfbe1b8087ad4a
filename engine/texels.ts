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

interface Held {
  readonly texture: GPUTexture;
  readonly view: GPUTextureView;
}

/** The textures of one device. */
export class Texels {
  readonly #held = new Map<string, Held>();
  #bytes = 0;
  constructor(private readonly gpu: GPUDevice) {}

  /** Bytes of all textures; they stay until the device is destroyed. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Binds textures where the program reads through some; all else stays. */
  bind(program: Program, ranges: readonly BoundRange[]): TexelBindings {
    if (!program.bindings.some(({ texels }) => texels)) return { ranges, copies: [] };
    const copies: TexelCopy[] = [];
    const bound = ranges.map((range, i): BoundRange => {
      const binding = program.bindings[i];
      if (!binding.texels) return range;
      const size = texelBytes(binding), count = range.size / size;
      const { texture, view } = this.#take(copies.length, binding, count);
      copies.push({ source: range, texture, bytesPerRow: TEXEL_ROW * size, count });
      return { ...range, view };
    });
    return { ranges: bound, copies };
  }

  /** Gives all textures back. */
  destroy(): void {
    for (const { texture } of this.#held.values()) texture.destroy();
    this.#held.clear();
    this.#bytes = 0;
  }

  #take(place: number, binding: Binding, count: number): Held {
    const rows = texelRows(count), key = `${place} ${binding.type} ${rows}`;
    let held = this.#held.get(key);
    if (held === undefined) {
      const texture = this.gpu.createTexture({
        label: `texels ${key}`,
        size: [TEXEL_ROW, rows],
        format: FORMATS[binding.type]!,
        usage: USAGE,
      });
      this.#held.set(key, held = { texture, view: texture.createView() });
      this.#bytes += TEXEL_ROW * rows * texelBytes(binding);
    }
    return held;
  }
}

function texelBytes({ type }: Binding): number {
  return ELEMENT_BYTES[type];
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
