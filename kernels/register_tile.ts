/**
 * WGSL pieces of a register tile: the TM x TN sums that one invocation keeps in registers. Matrix products and
 * convolutions are made of the same pieces; they differ in where the two factors lie (`Factor`).
 *
 * A step along k multiplies a line of a (TM numbers) with a line of b (TN numbers). Four steps are taken at a time. A
 * factor whose k runs along memory gives four steps of one line in one vec4 load; one whose k runs across memory gives
 * four neighbouring lines of one step. The loaded blocks are the same, transposed by renaming registers.
 *
 * The pieces use these variables: `row` and `column`, where the tile begins after it was moved inward to end at the
 * matrix's edge; `row_begin` and `column_begin`, where it began before; `k`; sums `c0_0`, `c0_1`, ... of four columns each.
 * @module
 */

/** The block of sums that one invocation keeps. */
export interface RegisterTile {
  /** Rows; a multiple of 4 where k runs across the memory of a. */
  readonly tm: number;
  /** Columns, a multiple of 4. */
  readonly tn: number;
}

/** How one factor's block is loaded for some steps along k, and what its elements are called afterwards. */
export interface Factor {
  /** Loads that a group of lines shares: line i, or, where k runs across memory, all lines at line 0. */
  load(line: number): string[];
  /** WGSL of element (line, step). */
  element(line: number, step: number): string;
}

const XYZW = ["x", "y", "z", "w"];
const range = (n: number) => Array.from({ length: n }, (_, i) => i);

/** WGSL of component i of a vector. */
export function component(vector: string, i: number): string {
  return `${vector}.${XYZW[i]}`;
}

/**
 * A factor with equal strides: line i begins at `NAME_at + i NAME_row` where k runs along memory, step s at
 * `NAME_at + s NAME_row` where it runs across.
 * @param name the binding, `a` or `b`
 * @param along true when k runs along memory: one load gives a line's 4 steps
 * @param vector true when the binding is vec4; `NAME_at` and `NAME_row` then count vectors
 * @param lines rows (of a) or columns (of b) of the tile
 */
export function stridedFactor(
  name: string,
  along: boolean,
  vector: boolean,
  lines: number,
  steps: number,
): Factor {
  const at = (index: string, scalar: string) =>
    vector ? `${name}[${index}]` : `load4_${name}(${scalar})`;
  const row = `${name}_row`, first = `${name}_at`;
  if (along && steps === 1) { // a tail: k is no multiple of 4, so the binding is scalar
    return {
      load: (i) => [`let ${name}${i} = ${name}[${first} + ${i}u * ${row} + k];`],
      element: (i) => `${name}${i}`,
    };
  }
  if (along) {
    return {
      load: (i) => {
        const start = `${first} + ${i}u * ${row}`;
        return [`let ${name}${i} = ${at(`${start} + k / 4u`, `${start} + k`)};`];
      },
      element: (i, s) => component(`${name}${i}`, s),
    };
  }
  return {
    load: (i) =>
      i > 0 ? [] : range(steps).flatMap((s) =>
        range(lines / 4).map((q) => {
          const start = `${first} + (k + ${s}u) * ${row}`;
          return `let ${name}${s}_${q} = ${at(`${start} + ${q}u`, `${start} + ${4 * q}u`)};`;
        })
      ),
    element: (i, s) => component(`${name}${s}_${Math.floor(i / 4)}`, i % 4),
  };
}

/** WGSL: four neighbouring scalars of a binding as a vector. */
export function load4(name: string): string {
  return `fn load4_${name}(at: u32) -> vec4f {
  return vec4f(${name}[at], ${name}[at + 1u], ${name}[at + 2u], ${name}[at + 3u]);
}`;
}

/** WGSL: the sums, all 0. */
export function tileSums({ tm, tn }: RegisterTile): string {
  return range(tm).map((i) => range(tn / 4).map((q) => `var c${i}_${q} = vec4f();`).join(" "))
    .join("\n");
}

/**
 * WGSL: some steps along k. The block of b is loaded first, then a's rows one by one, each followed by all that is done
 * with it: few loaded numbers are alive at a time. A sum is assigned once, not once per step.
 */
export function tileSteps({ tm, tn }: RegisterTile, a: Factor, b: Factor, steps: number): string {
  const lines = range(tn).flatMap((j) => b.load(j));
  for (const s of range(steps)) {
    for (const q of range(tn / 4)) {
      const columns = range(4).map((c) => b.element(4 * q + c, s)).join(", ");
      lines.push(`let b_${s}_${q} = vec4f(${columns});`);
    }
  }
  for (const i of range(tm)) {
    lines.push(...a.load(i));
    for (const q of range(tn / 4)) {
      const products = range(steps).map((s) => `${a.element(i, s)} * b_${s}_${q}`);
      lines.push(`c${i}_${q} = ${[`c${i}_${q}`, ...products].join(" + ")};`);
    }
  }
  return lines.join("\n");
}

/**
 * WGSL: stores the tile, but for the rows and columns that the neighbour before it owns. A loop over rows, because the
 * epilogue and every store are long on a software adapter: written out for each row they took most of the compile time.
 * @param vectorY true when y is vec4
 * @param rowAt WGSL over `i`: where column `column` of row `row + i` lies in y, in y's elements
 */
export function tileStores({ tm, tn }: RegisterTile, vectorY: boolean, rowAt: string): string {
  const quads = range(tn / 4);
  const store = (j: number, value: string) =>
    `if (column + ${j}u >= column_begin) { ` +
    `store(at + ${vectorY ? j / 4 : j}u, bias_at + ${vectorY ? j / 4 : j}u, ${value}); }`;
  return `for (var i = row_begin - row; i < ${tm}u; i++) {
${quads.map((q) => `var out${q} = c0_${q};`).join(" ")}
switch i {
${
    range(tm).slice(1).map((i) =>
      `case ${i}u: { ${quads.map((q) => `out${q} = c${i}_${q};`).join(" ")} }`
    ).join("\n")
  }
default: {}
}
let at = ${rowAt};
${
    quads.flatMap((q) =>
      vectorY
        ? [store(4 * q, `out${q}`)]
        : range(4).map((c) => store(4 * q + c, component(`out${q}`, c)))
    ).join("\n")
  }
}`;
}
