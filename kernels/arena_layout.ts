/**
 * How many tensors lie in one arena: what the kernels that run over whole models at once know of it.
 *
 *     floats   | weight (100)      |pad| bias (10)    pad| …
 *     blocks   |   0     |   0         |   1             | …     span of each block of 64 floats
 *     spans    | span 0: (x, y, z, w)  | span 1: …       | …     numbers of each tensor
 *
 * A *span* is a tensor's part of the arena. It starts at a multiple of 64 floats: 256 bytes, so that it can be bound
 * alone, and so that a vec4 never has two owners. The padding after it holds zeros and stays zero.
 *
 * A *window* is what one launch covers: a whole buffer, or a part of one that is larger than an adapter can bind.
 * @module
 */

/** Floats of a block: 256 bytes, WebGPU's alignment of bindings. */
export const BLOCK = 64;

/** Sizes of a launch over a window. */
export interface ArenaShape {
  /** Floats of the window, a multiple of 64. */
  readonly floats: number;
  /** Rows of the span table. */
  readonly spans: number;
  /** Gradients are multiplied by a coefficient that lies on the GPU. */
  readonly clip: boolean;
  /** A word on the GPU says whether to leave everything as it is (grad_scaler.ts). */
  readonly skip?: boolean;
}

/** A tensor's place. */
export interface ArenaSpan {
  /** Index of the buffer. */
  readonly buffer: number;
  /** First float within the buffer. */
  readonly start: number;
  /** Floats, padding included; a multiple of 64. */
  readonly floats: number;
}

/** What one launch covers. */
export interface ArenaWindow {
  /** Index of the buffer. */
  readonly buffer: number;
  /** First float within the buffer. */
  readonly start: number;
  /** Floats; a multiple of 64. */
  readonly floats: number;
}

/** Places of all tensors and the launches that cover them. Equal for parameters, gradients and moments. */
export interface ArenaLayout {
  /** Place of each tensor, in the order given. */
  readonly spans: readonly ArenaSpan[];
  /** Floats of each buffer. */
  readonly buffers: readonly number[];
  /** Parts that can be bound, covering all buffers. */
  readonly windows: readonly ArenaWindow[];
}

/**
 * Packs tensors in order into buffers that can be bound whole; a tensor that is larger gets a buffer of its own.
 * @param sizes elements of each tensor
 * @param maxBytes the most an adapter binds
 */
export function arenaLayout(sizes: readonly number[], maxBytes: number): ArenaLayout {
  const most = Math.floor(maxBytes / 4 / BLOCK) * BLOCK;
  const buffers: number[] = [];
  const spans = sizes.map((size): ArenaSpan => {
    const floats = Math.ceil(size / BLOCK) * BLOCK;
    const last = buffers.length - 1;
    if (last < 0 || buffers[last] + floats > most) {
      buffers.push(floats);
      return { buffer: last + 1, start: 0, floats };
    }
    const start = buffers[last];
    buffers[last] += floats;
    return { buffer: last, start, floats };
  });
  const windows: ArenaWindow[] = [];
  buffers.forEach((floats, buffer) => {
    for (let start = 0; start < floats; start += most) {
      windows.push({ buffer, start, floats: Math.min(most, floats - start) });
    }
  });
  return { spans, buffers, windows };
}

/** The span of each block of a window. */
export function blockTable(layout: ArenaLayout, window: ArenaWindow): Uint32Array<ArrayBuffer> {
  const table = new Uint32Array(window.floats / BLOCK);
  layout.spans.forEach((span, index) => {
    if (span.buffer !== window.buffer) return;
    const first = (span.start - window.start) / BLOCK;
    table.fill(index, Math.max(0, first), Math.max(0, first + span.floats / BLOCK));
  });
  return table;
}
