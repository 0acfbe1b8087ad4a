import {
  type AdapterClass,
  add,
  combineMerge,
  type Device,
  dispatchMerge,
  div,
  DTypeError,
  entmax15,
  matmul,
  permute,
  reshape,
  ShapeError,
  softmax,
  type Tensor,
} from "../../engine/mod.ts";
import { type RoutingKind, routingReference } from "../../kernels/routing_weights.ts";
import {
  type MergeShape,
  mergeSizes,
  toSlotsReference,
  toTokensReference,
} from "../../kernels/soft_merge.ts";
import { checkGradients, testValues } from "../gradcheck.ts";
import {
  assert,
  assertClose,
  assertEquals,
  assertThrows,
  gpuTest,
  pretendTarget,
} from "../harness.ts";

const SHAPES: MergeShape[] = [
  { batch: 1, tokens: 1, slots: 1, perExpert: 1, dim: 4 },
  { batch: 2, tokens: 10, slots: 12, perExpert: 1, dim: 16 },
  { batch: 2, tokens: 5, slots: 6, perExpert: 3, dim: 7 },
  { batch: 3, tokens: 33, slots: 10, perExpert: 2, dim: 12 },
  { batch: 2, tokens: 6, slots: 50, perExpert: 2, dim: 6 },
];
const expertsOf = (shape: MergeShape) => shape.slots / shape.perExpert;

gpuTest("dispatchMerge() and its gradients agree with the plain loop", async (device) => {
  for (const shape of SHAPES) {
    const { batch, tokens, slots, dim } = shape;
    const view = { outer: batch, n: tokens, inner: slots };
    for (const noisy of [false, true]) {
      await checkGradients({
        device,
        inputs: {
          x: { shape: [batch, tokens, dim] },
          c: { shape: [batch, tokens, slots] },
          t0: { shape: [], data: [0.7] },
          ...(noisy && { noise: { shape: [batch, tokens, slots], differentiable: false } }),
        },
        op: ({ x, c, t0, noise }) => dispatchMerge(x, c, t0, { experts: expertsOf(shape), noise }),
        reference: ({ x, c, t0, noise }) => {
          const { weights } = routingReference(view, "softmax", c, t0[0], noise);
          return toSlotsReference(shape, weights, x).u;
        },
        step: 1e-5, // the temperature's curvature is strong
      });
    }
  }
});

for (const kind of ["entmax15", "softmax"] as const) {
  gpuTest(
    `combineMerge() with ${kind} and its gradients agree with the plain loop`,
    async (device) => {
      for (const shape of SHAPES) {
        const { batch, tokens, slots, perExpert, dim } = shape;
        const view = { outer: batch * tokens, n: slots, inner: 1 };
        for (const noisy of [false, true]) {
          await checkGradients({
            device,
            inputs: {
              c: { shape: [batch, tokens, slots] },
              t1: { shape: [], data: [0.7] },
              y: { shape: [expertsOf(shape), batch * perExpert, dim] },
              ...(noisy && { noise: { shape: [batch, tokens, slots], differentiable: false } }),
            },
            op: ({ c, t1, y, noise }) => combineMerge(c, t1, y, { kind, noise }),
            reference: ({ c, t1, y, noise }) => {
              const { weights } = routingReference(view, kind, c, t1[0], noise);
              return toTokensReference(shape, weights, y).o;
            },
            step: 1e-6, // small, so that no difference crosses the edge of a support
          });
        }
      }
    },
  );
}

/** u [E, B s, D] from [B, S, D]; reversed with `back`. */
function expertMajor(u: Tensor, { batch, slots, perExpert, dim }: MergeShape): Tensor {
  const experts = slots / perExpert;
  const split = reshape(u, [batch, experts, perExpert, dim]);
  return reshape(permute(split, [1, 0, 2, 3]), [experts, batch * perExpert, dim]);
}

function imageMajor(y: Tensor, { batch, slots, perExpert, dim }: MergeShape): Tensor {
  const split = reshape(y, [slots / perExpert, batch, perExpert, dim]);
  return reshape(permute(split, [1, 0, 2, 3]), [batch, slots, dim]);
}

/** The composed twin of `dispatchMerge`: the same equation from small ops. */
function composedDispatch(x: Tensor, c: Tensor, t0: Tensor, noise: Tensor, shape: MergeShape) {
  const weights = softmax(add(div(c, t0), noise), 1);
  return expertMajor(matmul(weights, x, { transposeA: true }), shape);
}

/** The composed twin of `combineMerge`. */
function composedCombine(
  c: Tensor,
  t1: Tensor,
  y: Tensor,
  noise: Tensor,
  kind: RoutingKind,
  shape: MergeShape,
) {
  const logits = add(div(c, t1), noise);
  const weights = kind === "softmax" ? softmax(logits) : entmax15(logits);
  return matmul(weights, imageMajor(y, shape));
}

/** A whole routing layer, forward and backward: output and gradients of x, c, t0, t1. */
async function routeBothWays(
  device: Device,
  shape: MergeShape,
  route: (x: Tensor, c: Tensor, t0: Tensor, t1: Tensor, noise: Tensor) => Tensor,
): Promise<Float32Array[]> {
  const { tokenRows, weights } = mergeSizes(shape);
  const { batch, tokens, slots, dim } = shape;
  const reads = await device.step(() => {
    const leaf = (values: Float32Array, dims: number[]) =>
      device.tensor(values, dims, { requiresGrad: true });
    const x = leaf(testValues(tokenRows), [batch, tokens, dim]);
    const c = leaf(testValues(weights, 2), [batch, tokens, slots]);
    const t0 = leaf(Float32Array.of(0.5), []), t1 = leaf(Float32Array.of(0.3), []);
    const noise = device.tensor(testValues(weights, 3).map((v) => v / 9), c.shape);
    const o = route(x, c, t0, t1, noise);
    o.backward(device.tensor(testValues(tokenRows, 4), o.shape));
    return [o, x.grad!, c.grad!, t0.grad!, t1.grad!].map((tensor) => tensor.data());
  });
  return await Promise.all(reads) as Float32Array[];
}

/** Runs `fn` while ops choose their kernels as they would on an adapter of another class. */
async function asClass<T>(
  device: Device,
  adapterClass: AdapterClass,
  fn: () => Promise<T>,
): Promise<T> {
  const restore = pretendTarget(device, { adapterClass });
  try {
    return await fn();
  } finally {
    restore();
  }
}

gpuTest("dispatchMerge() and combineMerge() agree with their composed twins", async (device) => {
  const shapes = [
    { batch: 4, tokens: 49, slots: 24, perExpert: 1, dim: 64 },
    { batch: 2, tokens: 50, slots: 66, perExpert: 2, dim: 48 },
  ];
  for (const shape of shapes) {
    for (const kind of ["entmax15", "softmax"] as const) {
      const composed = await routeBothWays(device, shape, (x, c, t0, t1, noise) => {
        const u = composedDispatch(x, c, t0, noise, shape);
        return composedCombine(c, t1, u, noise, kind, shape);
      });
      for (const adapterClass of ["software", "discrete"] as const) {
        const fused = await asClass(
          device,
          adapterClass,
          () =>
            routeBothWays(device, shape, (x, c, t0, t1, noise) => {
              const u = dispatchMerge(x, c, t0, { experts: expertsOf(shape), noise });
              return combineMerge(c, t1, u, { kind, noise });
            }),
        );
        ["output", "dx", "dc", "dt0", "dt1"].forEach((name, k) => {
          // temperatures: sums over all B N S entries, some thousand times larger than each
          const atol = name.startsWith("dt") ? 2e-3 : 2e-5;
          const label = `${kind} ${adapterClass} ${name}`;
          assertClose(fused[k], composed[k], { atol, rtol: 1e-4, name: label });
        });
      }
    }
  }
});

gpuTest("the merges are equal bit by bit from run to run", async (device) => {
  const shape = { batch: 2, tokens: 50, slots: 66, perExpert: 2, dim: 48 };
  const once = () =>
    routeBothWays(device, shape, (x, c, t0, t1, noise) => {
      const u = dispatchMerge(x, c, t0, { experts: 33, noise });
      return combineMerge(c, t1, u, { kind: "entmax15", noise });
    });
  assertEquals(await once(), await once());
});

gpuTest(
  "the merges take numbers as temperatures, and skip gradients nobody asks for",
  async (device) => {
    const x = device.tensor(testValues(40), [2, 5, 4], { requiresGrad: true });
    const c = device.tensor(testValues(60, 2), [2, 5, 6]);
    const u = dispatchMerge(x, c, 1, { experts: 3 });
    assertEquals(u.shape, [3, 4, 4]);
    for (const kind of ["entmax15", "softmax"] as const) {
      const o = combineMerge(c, 1, u, { kind });
      assertEquals(o.shape, [2, 5, 4]);
      o.backward(device.full(o.shape, 1));
    }
    assertEquals(c.grad, null);
    // every row of weights sums to 1 both ways, so the gradient of the sum of all outputs by the tokens sums to their number
    const total = Float64Array.from(await x.grad!.data()).reduce((a, b) => a + b, 0);
    assertClose([total], [2 * 40], { atol: 1e-3 });
  },
);

gpuTest("the merges keep no weights for the backward", (device) => {
  const x = device.tensor(testValues(40), [2, 5, 4], { requiresGrad: true });
  const c = device.tensor(testValues(60, 2), [2, 5, 6], { requiresGrad: true });
  const u = dispatchMerge(x, c, 1, { experts: 3 });
  const o = combineMerge(c, 1, u, { kind: "entmax15" });
  for (const node of [u.node!, o.node!]) {
    const saved = Object.entries(node.saved).filter(([, tensor]) => tensor !== undefined);
    const scores = saved.filter(([, tensor]) => tensor!.size === c.size).map(([name]) => name);
    assertEquals(scores, ["c"]);
  }
});

gpuTest("the merges refuse wrong shapes and dtypes", (device) => {
  const x = device.zeros([2, 5, 4]), c = device.zeros([2, 5, 6]);
  const y = device.zeros([3, 4, 4]);
  const dispatch = (...[a, b, t, o]: Parameters<typeof dispatchMerge>) => () =>
    dispatchMerge(a, b, t, o);
  assertThrows(dispatch(x, c, 1, { experts: 4 }), ShapeError, "4 experts do not divide the 6");
  assertThrows(dispatch(x, c, 1, { experts: 0 }), ShapeError, "0 experts");
  assertThrows(dispatch(x, device.zeros([2, 4, 6]), 1, { experts: 3 }), ShapeError, "c has shape");
  assertThrows(dispatch(x, c, device.zeros([1]), { experts: 3 }), ShapeError, "dispatchMerge: t0");
  assertThrows(dispatch(x, c, 1, { experts: 3, noise: x }), ShapeError, "dispatchMerge: noise");
  const empty = [device.zeros([0, 5, 4]), device.zeros([0, 5, 6])] as const;
  assertThrows(dispatch(...empty, 1, { experts: 3 }), ShapeError, "none may be 0");
  const kind = "entmax15";
  assertThrows(() => combineMerge(c, 1, x, { kind }), ShapeError, "combineMerge: y has shape");
  assertThrows(() => combineMerge(x, 1, y, { kind }), ShapeError, "combineMerge: y has shape");
  assertThrows(() => combineMerge(device.zeros([2, 5]), 1, y, { kind }), ShapeError, "c has shape");
  const integers = device.zeros([2, 5, 6], "i32");
  assertThrows(() => combineMerge(integers, 1, y, { kind }), DTypeError, "combineMerge: c");
  assert(combineMerge(c, 1, y, { kind }).size === 40);
});
