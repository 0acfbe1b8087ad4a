/**
 * Seeded random numbers on the host: initial weights, data order and augmentation, the same bits in every engine.
 *
 * Stream  Word i of a stream is word i mod 4 of the Philox4x32-10 block with
 *           key     = (low 32 bits of the seed, stream number)
 *           counter = (floor(i / 4), a, b, high 32 bits of the seed)
 *         where (a, b) is the stream's cell, (0, 0) unless `cell` was called. A GPU kernel that hashes the same key
 *         and counter makes the same words, in any order.
 * Names   A stream's number is itself, or a hash of its name. `fork("x")` of stream "s" is the stream "s/x", so that
 *         one seed gives any number of independent streams, and a new user of randomness never shifts the others.
 * Values  Integers up to one exact conversion: uniforms are the top 24 bits of a word times 2^-24; normals come from
 *         an integer table (normal.ts). No log, cos or exp, whose last bits differ between engines.
 * @module
 */
import { DTypeError, ShapeError } from "../errors.ts";
import { philox4x32 } from "../../kernels/philox.ts";
import { normalFromWord } from "./normal.ts";

/** Where a generator stands, as plain JSON; goes into a checkpoint. */
export interface RngState {
  /** The 64-bit seed in decimal, as JSON numbers cannot hold it. */
  readonly seed: string;
  /** The stream's name or number. */
  readonly stream: string | number;
  /** The cell within the stream, see `Rng.cell`. */
  readonly cell: readonly [number, number];
  /** How many 32-bit words have been used. */
  readonly position: number;
}

/** Words a cell holds: 2^32 blocks of four. */
const MAX_POSITION = 2 ** 34;
/** Draws after which a truncated normal gives up; an interval with 1 % of the mass fails once in 10^43. */
const MAX_REJECTIONS = 10_000;

/** A stream of random numbers that only the seed, the stream's name and the position decide. */
export class Rng {
  /** The seed, in [0, 2^64). */
  readonly seed: bigint;
  /** The stream's name or number. */
  readonly stream: string | number;
  readonly #key: readonly [number, number];
  #cell: readonly [number, number] = [0, 0];
  readonly #block = new Uint32Array(4);
  #position = 0;

  /**
   * A generator at the start of a stream.
   * @param seed a whole number in [0, 2^53), or a bigint in [0, 2^64)
   * @param stream a name for this use of randomness, or a number in [0, 2^32) that is the stream number itself
   * @throws {ShapeError} a seed or stream number out of range
   */
  constructor(seed: number | bigint, stream: string | number = 0) {
    this.seed = checkSeed(seed);
    this.stream = stream;
    if (typeof stream === "number") checkWord("Rng: stream", stream);
    const number = typeof stream === "number" ? stream : hashName(stream);
    this.#key = [Number(this.seed & 0xffffffffn), number];
  }

  /** The next 32 random bits, in [0, 2^32). */
  word(): number {
    const at = this.#position;
    if (at >= MAX_POSITION) {
      throw new ShapeError(`Rng: stream ${this.stream} is used up (2^34 words); fork it`);
    }
    if (at % 4 === 0) this.#fillBlock(at / 4);
    this.#position = at + 1;
    return this.#block[at % 4];
  }

  /** A number in [0, 1), a whole multiple of 2^-24, which f32 holds exactly. One word. */
  uniform(): number {
    return (this.word() >>> 8) / 2 ** 24;
  }

  /**
   * A whole number in [0, n), each equally likely; now and then takes more than one word.
   * @throws {ShapeError} n is not a whole number in [1, 2^32]
   */
  integer(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > 2 ** 32) {
      throw new ShapeError(`Rng.integer: n must be a whole number in [1, 2^32], got ${n}`);
    }
    // The words above the last whole multiple of n would make small results likelier: draw again.
    const limit = 2 ** 32 - (2 ** 32 % n);
    let word = this.word();
    while (word >= limit) word = this.word();
    return word % n;
  }

  /** A standard normal number, within 6.34 of 0, a whole multiple of 2^-21. One word. */
  normal(): number {
    return normalFromWord(this.word());
  }

  /**
   * A standard normal number conditioned on lying in [lower, upper], by drawing until one does. Scale it afterwards.
   * @throws {ShapeError} the interval is empty or so narrow or far out that 10,000 draws missed it
   */
  truncatedNormal(lower = -2, upper = 2): number {
    if (!(lower < upper)) {
      throw new ShapeError(`Rng.truncatedNormal: [${lower}, ${upper}] is not an interval`);
    }
    for (let i = 0; i < MAX_REJECTIONS; i++) {
      const z = this.normal();
      if (z >= lower && z <= upper) return z;
    }
    throw new ShapeError(
      `Rng.truncatedNormal: no draw fell into [${lower}, ${upper}]; widen it or move it towards 0`,
    );
  }

  /** Puts the elements of an array into a random order, in place (Fisher-Yates). */
  shuffle(array: { readonly length: number; [index: number]: unknown }): void {
    for (let i = array.length - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      [array[i], array[j]] = [array[j], array[i]];
    }
  }

  /**
   * The numbers 0 to n - 1 in a random order.
   * @throws {ShapeError} n is not a whole number in [0, 2^32)
   */
  permutation(n: number): Uint32Array {
    checkWord("Rng.permutation: n", n);
    const order = new Uint32Array(n);
    for (let i = 0; i < n; i++) order[i] = i;
    this.shuffle(order);
    return order;
  }

  /** The independent stream `<this stream>/<name>` from its start; where this one stands does not matter. */
  fork(name: string): Rng {
    return new Rng(this.seed, `${this.stream}/${name}`);
  }

  /**
   * An independent stream numbered by two integers, such as (epoch, image), from its start. Cheaper than `fork`, and
   * what makes a loader resumable: the randomness of image 7 of epoch 3 needs no history.
   * @throws {ShapeError} a number is not a whole number in [0, 2^32)
   */
  cell(a: number, b = 0): Rng {
    return new Rng(this.seed, this.stream).#moveTo(a, b, 0);
  }

  /** Where this generator stands, for `Rng.restore`. */
  state(): RngState {
    return {
      seed: String(this.seed),
      stream: this.stream,
      cell: this.#cell,
      position: this.#position,
    };
  }

  /**
   * A generator that goes on exactly where the one of `state` stood.
   * @throws {DTypeError} a field is missing or of another kind
   * @throws {ShapeError} a field is out of range
   */
  static restore(state: RngState): Rng {
    const { seed, stream, cell, position } = state;
    const wellTyped = typeof seed === "string" && /^[0-9]{1,20}$/.test(seed) &&
      (typeof stream === "string" || typeof stream === "number") &&
      Array.isArray(cell) && cell.length === 2;
    if (!wellTyped) {
      throw new DTypeError(
        `Rng.restore: want { seed: decimal string, stream: string or number, cell: [a, b], position }, ` +
          `got ${JSON.stringify(state)}`,
      );
    }
    return new Rng(BigInt(seed), stream).#moveTo(cell[0], cell[1], position);
  }

  #moveTo(a: number, b: number, position: number): this {
    checkWord("Rng: cell", a);
    checkWord("Rng: cell", b);
    if (!Number.isInteger(position) || position < 0 || position > MAX_POSITION) {
      throw new ShapeError(`Rng: position must be a whole number in [0, 2^34], got ${position}`);
    }
    this.#cell = [a, b];
    this.#position = position;
    if (position % 4 !== 0) this.#fillBlock(Math.floor(position / 4));
    return this;
  }

  #fillBlock(index: number): void {
    const [a, b] = this.#cell;
    philox4x32(this.#key, [index, a, b, Number(this.seed >> 32n)], this.#block);
  }
}

function checkSeed(seed: number | bigint): bigint {
  const whole = typeof seed === "bigint" || Number.isSafeInteger(seed);
  if (!whole || seed < 0 || seed >= 2n ** 64n) {
    throw new ShapeError(
      `Rng: seed must be a whole number in [0, 2^53) or a bigint in [0, 2^64), got ${seed}`,
    );
  }
  return BigInt(seed);
}

function checkWord(what: string, value: number): void {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** 32) {
    throw new ShapeError(`${what} must be a whole number in [0, 2^32), got ${value}`);
  }
}

/** The stream number of a name: FNV-1a over its UTF-8 bytes, then a mix so that short names differ in all bits. */
function hashName(name: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(name)) {
    hash = Math.imul(hash ^ byte, 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x7feb352d);
  hash = Math.imul(hash ^ (hash >>> 15), 0x846ca68b);
  return (hash ^ (hash >>> 16)) >>> 0;
}
