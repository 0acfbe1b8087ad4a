import { addGradients } from "../../engine/gradients.ts";
import { combineMerge, concat, NonFiniteError, permute, sqrt, sum } from "../../engine/mod.ts";
import { entmaxCombineVariant } from "../../kernels/entmax_support_workgroup.ts";
import { testValues } from "../gradcheck.ts";
import { assert, assertEquals, assertRejects, gpuTest } from "../harness.ts";

gpuTest("detectAnomaly() names the op that made an infinity, and where", async (device) => {
  const big = device.tensor([3e38, 1]), one = device.tensor([1, 1]);
  await assertRejects(
    () =>
      device.detectAnomaly(() => void addGradients(addGradients(one, one), addGradients(big, big))),
    NonFiniteError,
    "add_gradients[readable] made NaN or infinity in its output y",
  );
});

gpuTest("detectAnomaly() names a value that came in from outside", async (device) => {
  const bad = device.tensor([1, NaN], [2], { label: "blocks.0.norm1.weight" });
  const one = device.tensor([1, 1]);
  await assertRejects(
    () => device.detectAnomaly(() => void addGradients(one, bad)),
    NonFiniteError,
    'found NaN or infinity in b ("blocks.0.norm1.weight")',
  );
});

gpuTest("detectAnomaly() lets a finite step pass and leaves its results usable", async (device) => {
  const one = device.tensor([1, 3.4e38]);
  let sum = one;
  await device.detectAnomaly(() => {
    sum = device.keep(addGradients(one, device.zeros([2])));
  });
  assert((await sum.data())[0] === 1);
});

gpuTest(
  "detectAnomaly() points at the forward call of the op whose backward failed",
  async (device) => {
    const x = device.tensor([1, 0], [2], { requiresGrad: true });
    const rootOfAll = () => sqrt(x);
    const step = () => rootOfAll().backward(device.tensor([1, 3e38]));
    const error = await device.detectAnomaly(() => void step()).catch((e) => e);
    assert(error instanceof NonFiniteError, String(error));
    assert(error.message.startsWith("sqrt.backward[readable] made NaN"), error.message);
    assert(error.message.includes("rootOfAll"), error.message);
  },
);

gpuTest("detectAnomaly() follows floats through kernels that only copy bits", async (device) => {
  const bad = device.tensor([1, NaN, 3, 4], [2, 2], { label: "cls_token" });
  const good = device.full([2, 2], 1);
  for (
    const [name, op] of [["concat", () => concat([good, bad], 1)], [
      "",
      () => permute(bad, [1, 0]),
    ]] as const
  ) {
    const error = await device.detectAnomaly(() => void op()).catch((e) => e);
    assert(error instanceof NonFiniteError && error.message.startsWith(name), String(error));
    assert(error.message.includes('("cls_token"), which came from outside'), error.message);
  }
});

gpuTest(
  "detectAnomaly() blames no kernel for what memory held before: lists that end early",
  async (device) => {
    const [batch, tokens, slots, dim] = [1, 5, 128, 4];
    const sizes = { batch, tokens, slots, dim, perExpert: 1 };
    const target = { ...device.target, adapterClass: "software" as const };
    assertEquals(entmaxCombineVariant(sizes, target), "lists");
    const c = device.tensor(testValues(tokens * slots, 1), [batch, tokens, slots], {
      requiresGrad: true,
    });
    const y = device.tensor(testValues(slots * dim, 2), [slots, 1, dim], { requiresGrad: true });
    await device.detectAnomaly(() => sum(combineMerge(c, 0.3, y, { kind: "entmax15" })).backward());
  },
);
