/** What a measurement may choose, and what becomes of a choice that is none. */
import {
  conv2dChoice,
  conv2dInputChoice,
  conv2dKey,
  type Conv2dShape,
  conv2dVariant,
  conv2dVariantName,
  conv2dWeightChoice,
  conv2dWeightVariant,
} from "../../kernels/mod.ts";
import { different, tileName } from "../../kernels/choice.ts";
import {
  matmulChoice,
  matmulKey,
  matmulVariant,
  matmulVariantName,
} from "../../kernels/matmul_select.ts";
import type { MatmulShape } from "../../kernels/matmul_shape.ts";
import { DEFAULT_TARGET, type Target } from "../../kernels/target.ts";
import { assert, assertEquals, test } from "../harness.ts";

const SOFTWARE: Target = { ...DEFAULT_TARGET, adapterClass: "software" };
const TARGETS = [SOFTWARE, DEFAULT_TARGET];
const PRODUCTS: MatmulShape[] = [
  { batch: 1, m: 197, n: 768, k: 192, transposeB: true },
  { batch: 1, m: 64, n: 192, k: 3136, transposeA: true },
  { batch: 294, m: 8, n: 768, k: 192, transposeB: true },
  { batch: 2, m: 1, n: 3, k: 1 },
];
const CONVOLUTION: Conv2dShape = {
  batch: 7,
  height: 28,
  width: 28,
  channels: 64,
  outChannels: 64,
  kernelHeight: 3,
  kernelWidth: 3,
  stride: 1,
  padding: 1,
};

test("a remembered product variant is taken, and no other call is touched", () => {
  for (const target of TARGETS) {
    for (const shape of PRODUCTS) {
      const { key, standard, candidates } = matmulChoice(shape, {}, target);
      assertEquals(matmulVariantName(matmulVariant(shape, {}, target)), standard);
      assert(candidates.some(({ name }) => name === standard), `${key} lacks its ${standard}`);
      for (const { name } of candidates) {
        const choices = new Map([[key, name]]);
        const chosen = (shape: MatmulShape) => matmulVariant(shape, {}, { ...target, choices });
        assertEquals(matmulVariantName(chosen(shape)), name);
        const other = { ...shape, m: shape.m + 1 };
        assertEquals(chosen(other), matmulVariant(other, {}, target));
      }
    }
  }
});

test("a name that is no variant of the call counts as none", () => {
  const [whole, long] = PRODUCTS, bias = { bias: "shared" } as const;
  for (const target of TARGETS) {
    const keys = [matmulKey(whole, {}), matmulKey(long, bias)];
    for (const name of ["", "tiled 3x5", "tiled 16x16, 5 splits", "__proto__", "workgroup 128"]) {
      const tuned = { ...target, choices: new Map(keys.map((key) => [key, name])) };
      assertEquals(matmulVariant(whole, {}, tuned), matmulVariant(whole, {}, target));
      // An epilogue needs whole sums: k must not be divided, whatever was remembered.
      const variant = matmulVariant(long, bias, tuned);
      assertEquals(variant, matmulVariant(long, bias, target));
      assert(!("splits" in variant) || variant.splits === 1);
    }
  }
});

test("remembered variants of a convolution and its gradients are taken", () => {
  for (const target of TARGETS) {
    const name = {
      forward: (target: Target) => conv2dVariantName(conv2dVariant(CONVOLUTION, "forward", target)),
      input_backward: (target: Target) =>
        conv2dVariantName(conv2dVariant(CONVOLUTION, "input_backward", target)),
      weight_backward: (target: Target) =>
        conv2dVariantName(conv2dWeightVariant(CONVOLUTION, target)),
    };
    const calls = {
      forward: conv2dChoice(CONVOLUTION, {}, target),
      input_backward: conv2dInputChoice(CONVOLUTION, target),
      weight_backward: conv2dWeightChoice(CONVOLUTION, 0, target),
    };
    for (const pass of ["forward", "input_backward", "weight_backward"] as const) {
      const { key, standard, candidates } = calls[pass];
      assertEquals(key, conv2dKey(CONVOLUTION, pass));
      assertEquals(name[pass](target), standard);
      assert(candidates.length >= 3, `${key} has ${candidates.length} candidates`);
      for (const candidate of candidates) {
        assertEquals(
          name[pass]({ ...target, choices: new Map([[key, candidate.name]]) }),
          candidate.name,
        );
      }
    }
  }
});

test("candidates of a call are different, and compute the same", () => {
  const choices = TARGETS.flatMap((target) => [
    ...PRODUCTS.map((shape) => matmulChoice(shape, {}, target)),
    conv2dChoice(CONVOLUTION, { bias: "shared", activation: "relu" }, target),
    conv2dInputChoice(CONVOLUTION, target),
    conv2dWeightChoice(CONVOLUTION, 1, target),
  ]);
  for (const { key, candidates } of choices) {
    const names = candidates.map(({ name }) => name);
    assertEquals(new Set(names).size, names.length, key);
    const results = candidates.map(({ kernels }) => kernels[kernels.length - 1].sizes.y);
    assertEquals(new Set(results).size, 1, key);
  }
});

test("names of variants, and lists without repeats", () => {
  assertEquals(tileName("tiled", { tm: 16, tn: 8 }, 1), "tiled 16x8");
  assertEquals(tileName("workgroup", 64, 3), "workgroup 64, 3 splits");
  assertEquals(different(["b", "a", "b", "c", "a"], (name) => name), ["b", "a", "c"]);
});
