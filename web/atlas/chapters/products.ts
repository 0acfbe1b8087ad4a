/**
 * Pages on matrix products: the ladder to read first, and products of small groups.
 * @module
 */
import { biasActivationBackward } from "../../../kernels/bias_activation.ts";
import { groupedMatmul } from "../../../kernels/grouped_matmul.ts";
import { matmulReadable } from "../../../kernels/matmul.ts";
import type { MatmulShape } from "../../../kernels/matmul_shape.ts";
import { matmulTiled } from "../../../kernels/matmul_tiled.ts";
import { matmulWorkgroup } from "../../../kernels/matmul_workgroup.ts";
import { inTexels } from "../../../kernels/texels.ts";
import { type Chapter, pass, type PassSource } from "../chapter.ts";

interface Size {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

const SIZES = { picture: { m: 16, n: 16, k: 8 }, timed: { m: 384, n: 384, k: 384 } };

/** A pass of a linear layer, with the rungs of the ladder. */
function product(
  title: string,
  { transposeA = false, transposeB = false }: Pick<MatmulShape, "transposeA" | "transposeB">,
  more: PassSource<Size>["rungs"] = [],
) {
  const shapeOf = (size: Size): MatmulShape => ({ batch: 1, ...size, transposeA, transposeB });
  return pass<Size>({
    title,
    sizes: SIZES,
    size: "384 x 384 x 384",
    shapes: ({ m, n, k }) => ({
      a: transposeA ? [k, m] : [m, k],
      b: transposeB ? [n, k] : [k, n],
      y: [m, n],
    }),
    rungs: [
      {
        title: "One invocation, one element",
        file: "matmul.ts",
        launch: (size) => matmulReadable(shapeOf(size)),
      },
      {
        title: "4 x 4 sums in registers",
        file: "matmul_tiled.ts",
        launch: (size) => matmulTiled(shapeOf(size), {}, { tm: 4, tn: 4 }),
      },
      {
        title: "8 x 8 sums in registers",
        file: "matmul_tiled.ts",
        launch: (size) => matmulTiled(shapeOf(size), {}, { tm: 8, tn: 8 }),
      },
      {
        title: "A block of 32 x 32 in workgroup memory",
        file: "matmul_workgroup.ts",
        launch: (size) => matmulWorkgroup(shapeOf(size), {}, 32),
      },
      {
        title: "A block of 64 x 64 in workgroup memory",
        file: "matmul_workgroup.ts",
        launch: (size) => matmulWorkgroup(shapeOf(size), {}, 64),
      },
      ...more,
    ],
  });
}

/** The matrix product. */
export const MATMUL: Chapter = {
  slug: "matmul",
  title: "Matrix product",
  summary:
    "Read this first. Every linear layer of both systems is this product, and so are its two gradients. The readable " +
    "kernel gives each output element to one invocation, which loads two numbers for each multiply-add. The rungs " +
    "after it change one thing: how often a loaded number is used before it is loaded again.",
  formulas: [
    { caption: "Forward", tex: "y_{ij} = \\sum_{l} a_{il}\\, b_{lj}" },
    {
      caption: "Gradients, both of them products again",
      tex:
        "\\frac{\\partial L}{\\partial A} = \\frac{\\partial L}{\\partial Y} B^{\\top}, \\qquad " +
        "\\frac{\\partial L}{\\partial B} = A^{\\top} \\frac{\\partial L}{\\partial Y}",
    },
    {
      caption: "Operations a byte, with a tile of R by C sums in registers",
      tex: "\\frac{2 R C}{4 (R + C)}",
    },
  ],
  passes: [
    product("Forward: y = x Wᵀ", { transposeB: true }, [{
      title: "8 x 8 sums in registers, factors read through textures",
      file: "texels.ts",
      launch: ({ m, n, k }) =>
        inTexels(
          matmulTiled({ batch: 1, m, n, k, transposeB: true }, {}, { tm: 8, tn: 8 }),
          ["a", "b"],
        ),
    }]),
    product("Backward: dx = dy W", {}),
    product("Backward: dW = dyᵀ x", { transposeA: true }),
  ],
  files: [
    "matmul.ts",
    "matmul_tiled.ts",
    "matmul_workgroup.ts",
    "matmul_split_k.ts",
    "matmul_select.ts",
    "matmul_shape.ts",
    "register_tile.ts",
    "workgroup_tile.ts",
    "texels.ts",
    "rewrite.ts",
  ],
  tests: ["tests/kernels/matmul_test.ts", "tests/engine/matmul_test.ts"],
};

/** Products of many small groups: the experts. */
export const GROUPED_MATMUL: Chapter = {
  slug: "grouped-matmul",
  title: "Products of small groups",
  summary:
    "In a mixture of experts every expert sees a few rows only: one slot for each image. Its weights, not its rows, are " +
    "what memory has to deliver. So each weight is loaded once and used for all rows of its group, and tiles of 8 rows, " +
    "which would mostly be empty, are not made.",
  formulas: [{
    caption: "One product for each expert e, over the rows of its slots",
    tex: "Y^{(e)} = X^{(e)}\\, W^{(e)\\top}, \\qquad e = 1 \\dots E",
  }],
  passes: [
    pass<Size & { batch: number }>({
      title: "Forward",
      sizes: {
        picture: { batch: 2, m: 4, n: 8, k: 8 },
        timed: { batch: 98, m: 8, n: 192, k: 192 },
      },
      size: "98 experts, 8 rows each, 192 x 192",
      shapes: ({ batch, m, n, k }) => ({ a: [batch, m, k], b: [batch, n, k], y: [batch, m, n] }),
      rungs: [
        {
          title: "One invocation, one element",
          file: "matmul.ts",
          launch: (size) => matmulReadable({ ...size, transposeB: true }),
        },
        {
          title: "4 x 4 sums in registers",
          file: "matmul_tiled.ts",
          launch: (size) => matmulTiled({ ...size, transposeB: true }, {}, { tm: 4, tn: 4 }),
        },
        {
          title: "Weights streamed once",
          file: "grouped_matmul.ts",
          launch: (size) => groupedMatmul({ ...size, transposeB: true }, {}),
        },
      ],
    }),
  ],
  files: ["grouped_matmul.ts"],
  tests: ["tests/kernels/matmul_test.ts", "tests/nn/moe_layers_test.ts"],
};

/** What follows a product. */
export const BIAS_ACTIVATION: Chapter = {
  slug: "bias-activation",
  title: "Bias and activation",
  summary:
    "A bias and an activation need no kernel of their own forward: they are the epilogue of the product, applied while " +
    "the sum is still in a register. Backward they are one kernel that writes the gradient of what went into the " +
    "activation and, strip by strip, sums it over the rows for the bias.",
  formulas: [
    { caption: "Forward, in the product's epilogue", tex: "y = f(x W^{\\top} + b)" },
    {
      caption: "GELU, exact",
      tex: "f(z) = \\tfrac{z}{2} \\left(1 + \\operatorname{erf} \\tfrac{z}{\\sqrt 2}\\right)",
    },
    {
      caption: "Backward",
      tex: "dz_{ij} = f'(z_{ij})\\, dy_{ij}, \\qquad db_j = \\sum_i dz_{ij}",
    },
  ],
  passes: [
    pass<{ rows: number; cols: number; strip: number }>({
      title: "Backward",
      sizes: {
        picture: { rows: 8, cols: 8, strip: 4 },
        timed: { rows: 1576, cols: 768, strip: 64 },
      },
      size: "1576 rows of 768",
      shapes: ({ rows, cols, strip }) => ({
        pre: [rows, cols],
        dOut: [rows, cols],
        dPre: [rows, cols],
        dBias: [Math.ceil(rows / strip), cols],
      }),
      rungs: [{
        title: "A strip of rows for each invocation",
        file: "bias_activation.ts",
        launch: (size) => biasActivationBackward({ ...size, activation: "gelu", accumulate: 0 }),
      }],
    }),
  ],
  files: ["bias_activation.ts", "activations.ts", "column_sum.ts"],
  tests: ["tests/kernels/activations_test.ts", "tests/engine/linear_test.ts"],
};
